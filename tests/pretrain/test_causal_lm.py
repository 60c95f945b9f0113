from itertools import islice

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from headstart.errors import DataError, SettingsError
from headstart.models.gpt import Gpt, GptConfig
from headstart.pretrain.causal_lm import CausalLm, Objective, next_token_loss

END = 2


@pytest.fixture(scope="module", params=[True, False], ids=["norm first", "norm last"])
def gpt(request):
    config = GptConfig(
        vocabulary_size=93,
        width=16,
        layers=2,
        heads=2,
        feed_forward=24,
        positions=32,
        dropout=0.0,
        norm_first=request.param,
    )
    return Gpt(config, generator=torch.Generator().manual_seed(0)).eval()


@pytest.fixture
def make(make_documents, for_gpt):
    config = GptConfig(
        vocabulary_size=93, width=16, layers=1, heads=2, feed_forward=24, positions=32, dropout=0.0
    )
    fresh = Gpt(config, generator=torch.Generator().manual_seed(0))
    several = make_documents(40, sentences=(1, 2), tokens=(1, 60), first=3)

    def make(*, model=fresh, share=(0, 1), seed=0, documents=several, tokenizer=for_gpt, **how):
        given = {"tokens_per_row": 24, "rows_per_step": 8, "rows_at_once": 99, **how}
        return Objective(model, documents, tokenizer, CausalLm(**given), seed=seed, share=share)

    return make


def gradients(model, total):
    return torch.autograd.grad(total, list(model.parameters()))


def textbook_loss(model, batch):
    """Return the summed loss of every piece of a document read alone."""
    total = torch.zeros(())
    for row, sequences in enumerate(batch.sequences_BT):
        for number in np.unique(sequences):
            here = sequences == number
            ids = torch.from_numpy(batch.ids_BT[row, here])[None]
            states = model.encode(ids, torch.ones_like(ids).bool())[-1]
            targets = torch.from_numpy(batch.targets_BT[row, here])
            total = total + F.cross_entropy(model.token_scores(states)[0], targets, reduction="sum")
    return total


def test_the_loss_is_that_of_each_document_alone_with_its_gradients(make, gpt):
    objective = make(model=gpt)
    (batch,) = next(objective.batches(1))
    total, count = objective.loss(batch)
    expected = textbook_loss(gpt, batch)
    assert count == batch.ids_BT.size
    assert (total / count).item() == pytest.approx((expected / count).item(), abs=1e-5)
    for found, wanted in zip(
        gradients(gpt, total / count), gradients(gpt, expected / count), strict=True
    ):
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("rows_at_once", "size"), [(1, 1), (3, 1), (99, 2), (2, 3)])
def test_splitting_and_sharing_a_step_change_nothing(make, rows_at_once, size):
    one = make()
    (batch,) = next(one.batches(1))
    total, count = one.loss(batch)
    shares = [
        next(make(rows_at_once=rows_at_once, share=(rank, size)).batches(1)) for rank in range(size)
    ]
    parts = [part for share in shares for part in share]
    assert len(parts) >= max(8 // rows_at_once, size)
    losses = [one.loss(part) for part in parts]
    assert sum(part[1] for part in losses) == count
    assert sum(part[0] for part in losses).item() == pytest.approx(total.item(), rel=1e-6)
    rows = sorted(row.tobytes() for part in parts for row in part.ids_BT)
    assert rows == sorted(row.tobytes() for row in batch.ids_BT)


def test_every_position_is_a_token_and_every_token_is_read_once(make):
    objective = make(rows_per_step=1)
    batches = [step[0] for step in islice(objective.batches(1), objective.steps_per_epoch)]
    assert objective.epochs(len(batches)) == 1.0
    ids = np.concatenate([batch.ids_BT.ravel() for batch in batches])
    documents = objective.documents
    trained = [
        documents.ids[documents.starts[n] : documents.starts[n + 1]] for n in objective.training
    ]
    expected = np.bincount(np.concatenate(trained), minlength=93)
    expected[END] = len(trained)
    missing = expected - np.bincount(ids, minlength=93)
    assert (missing >= 0).all()
    assert missing.sum() <= 24  # what does not fill a row
    assert all((batch.sequences_BT >= 0).all() for batch in batches)
    assert objective.report() == {"positions_filled": 1.0}
    assert objective.tokens(batches[0]) == 24


def test_a_pass_is_as_many_rows_as_there_are(make):
    rows = make().rows_per_epoch
    for rows_per_step in (1, rows // 2 + 1, rows - 1, rows, 10 * rows):
        objective = make(rows_per_step=rows_per_step)
        steps = next(step for step in range(1, 999) if objective.epochs(step) >= 3.0)
        assert steps == max(3, -(-3 * rows // rows_per_step))
        read = [sum(map(objective.tokens, step)) for step in islice(objective.batches(1), steps)]
        assert sum(read) >= 3 * rows * 24 > sum(read[:-1])


def test_no_part_of_a_single_document_is_left_over_in_every_epoch(make, make_documents):
    alone = make_documents(1, sentences=(1, 2), tokens=(40, 41), first=3)
    objective = make(documents=alone, rows_per_step=1)
    assert (objective.rows_per_epoch, objective.left_over) == (1, len(alone.ids) - 24)
    steps = list(islice(objective.batches(1), 60))
    assert len({step[0].ids_BT.tobytes() for step in steps}) > 10
    read = np.unique(np.concatenate([step[0].ids_BT[0] for step in steps]))
    assert set(read) >= set(alone.ids[:-1])  # the last one is only predicted
    again = [step for _, step in zip(range(9), objective.batches(52), strict=False)]
    for (one,), (other,) in zip(steps[51:], again, strict=True):
        assert np.array_equal(one.ids_BT, other.ids_BT)


def test_documents_stand_end_to_end_and_apart(make, make_documents):
    documents = make_documents(8, sentences=(1, 2), tokens=(1, 60), first=3)
    objective = make(documents=documents, rows_per_step=1)
    by_text = {}  # every document, with the tokens that may follow its end
    for number in range(len(documents)):
        text = documents.ids[documents.starts[number] : documents.starts[number + 1]].tolist()
        by_text[number] = [END, *text]
    stream = [token for number in range(8) for token in by_text[number]]
    for step in islice(objective.batches(1), objective.steps_per_epoch):
        (batch,) = step
        ids, targets = batch.ids_BT[0].tolist(), batch.targets_BT[0].tolist()
        sequences, positions = batch.sequences_BT[0], batch.positions_BT[0]
        assert targets[:-1] == ids[1:]
        begins = np.array(ids) == END
        begins[0] = True
        assert np.array_equal(np.flatnonzero(np.diff(sequences)) + 1, np.flatnonzero(begins)[1:])
        assert sequences[0] == 0
        expected = np.arange(24) - np.maximum.accumulate(np.where(begins, np.arange(24), 0))
        assert positions.tolist() == expected.tolist()
        for number in np.unique(sequences)[1:]:
            piece = [token for token, of in zip(ids, sequences, strict=True) if of == number]
            assert any(text[: len(piece)] == piece for text in by_text.values())
        assert set(batch.documents) <= set(range(8))
    assert len(stream) // 24 >= objective.rows_per_epoch > 0


def test_without_an_end_token_documents_are_apart_too(make, make_tokenizer, make_documents):
    documents = make_documents(5, sentences=(1, 2), tokens=(5, 9), first=2)
    objective = make(
        documents=documents, tokenizer=make_tokenizer("[PAD]", "[UNK]"), rows_per_step=1
    )
    (batch,) = next(objective.batches(1))
    ends = np.cumsum(np.diff(documents.starts))
    assert batch.ids_BT.size == min(24, ends[-1] - 1)
    lengths = np.bincount(batch.sequences_BT[0])
    assert set(lengths[:-1]) <= set(np.diff(documents.starts))
    starts = np.flatnonzero(batch.positions_BT[0] == 0)
    assert len(starts) == len(lengths)


def same(first, second):
    return all(
        np.array_equal(getattr(one, name), getattr(two, name))
        for one, two in zip(first, second, strict=True)
        for name in ("ids_BT", "targets_BT", "sequences_BT", "positions_BT", "documents")
    )


def test_a_step_is_a_function_of_the_seed_and_its_number(make):
    how = {"rows_at_once": 3, "rows_per_step": 5}
    steps = list(islice(make(**how).batches(1), 30))
    again = make(**how)
    assert again.epochs(30) > 2
    for number in (1, 2, again.steps_per_epoch, again.steps_per_epoch + 1, 30):
        assert same(next(make(**how).batches(number)), steps[number - 1])
        assert same(next(again.batches(number)), steps[number - 1])
    assert not same(steps[0], steps[again.steps_per_epoch])
    assert not same(next(make(**how, seed=1).batches(1)), steps[0])


def test_validation_is_on_documents_that_are_not_trained_on(make):
    objective = make()
    held_out = {int(number) for batch in objective.validation for number in batch.documents}
    assert held_out
    assert not held_out & set(objective.training.tolist())
    scores = objective.validate()
    total = sum(textbook_loss(objective.model, batch).item() for batch in objective.validation)
    count = sum(batch.targets_BT.size for batch in objective.validation)
    assert scores["loss"] == pytest.approx(total / count, abs=1e-5)
    assert scores["perplexity"] == pytest.approx(np.exp(total / count), rel=1e-4)


def test_a_held_out_part_too_short_to_predict_is_no_error(make, make_documents):
    objective = make(documents=make_documents(12, sentences=(1, 2), tokens=(1, 2), first=3))
    assert len(objective.training) == 11
    assert objective.validate() is None


def test_a_batch_names_its_documents(make):
    (batch,) = next(make(rows_per_step=1).batches(1))
    assert batch.describe() == f"documents {', '.join(map(str, batch.documents))}"


def test_a_small_corpus_makes_one_row(make, make_documents):
    documents = make_documents(1, sentences=(1, 2), tokens=(4, 5), first=3)
    objective = make(documents=documents)
    (batch,) = next(objective.batches(1))
    assert batch.ids_BT.tolist() == [[END, *documents.ids[:3]]]
    assert batch.targets_BT.tolist() == [documents.ids.tolist()]
    assert objective.validate() is None
    assert next_token_loss(objective.model, batch).item() > 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tokens_per_row": 1}, "tokens_per_row must be a whole number from 2, got 1"),
        ({"rows_per_step": 0}, "rows_per_step must be a whole number from 1, got 0"),
        ({"rows_at_once": True}, "rows_at_once must be a whole number from 1, got True"),
        ({"learning_rate": -1.0}, "learning_rate must be above 0, got -1.0"),
        ({"learning_rate": None}, "learning_rate must be above 0, got None"),
        ({"optimizer": "sgd"}, "optimizer must be one of adamw, muon, got 'sgd'"),
        ({"optimizer": ["muon"]}, r"optimizer must be one of adamw, muon, got \['muon'\]"),
        (
            {"tokens_per_row": 33},
            "rows of 33 tokens are longer than the model's 32 positions; lower tokens_per_row",
        ),
    ],
)
def test_impossible_settings_are_refused(make, settings, message):
    with pytest.raises(SettingsError, match=message):
        make(**settings)


def test_a_corpus_of_two_tokens_is_refused(make, make_documents):
    with pytest.raises(DataError, match="fewer than three tokens"):
        make(documents=make_documents(1, sentences=(1, 2), tokens=(1, 2), first=3))
