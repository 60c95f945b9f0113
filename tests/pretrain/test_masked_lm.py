"""BERT's loss is the textbook's, however its rows are packed, split and shared out."""

from dataclasses import replace
from itertools import islice, pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from headstart.errors import DataError, SettingsError
from headstart.models.bert import Bert, BertConfig
from headstart.pretrain.masked_lm import Batch, MaskedLm, Objective
from headstart.tokenize.batches import Encoded, pack

SIZES = {"width": 16, "layers": 2, "heads": 2, "feed_forward": 24, "positions": 32, "dropout": 0.0}


@pytest.fixture(scope="module")
def bert():
    model = Bert(
        BertConfig(vocabulary_size=95, **SIZES), generator=torch.Generator().manual_seed(0)
    )
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


@pytest.fixture
def make(bert, make_documents, for_bert):
    documents = make_documents()

    def make(*, model=bert, share=(0, 1), seed=0, documents=documents, tokenizer=for_bert, **how):
        given = {"tokens_per_row": 32, "rows_per_step": 6, "rows_at_once": 99, **how}
        return Objective(model, documents, tokenizer, MaskedLm(**given), seed=seed, share=share)

    return make


def whole(objective, step=1):
    (batch,) = next(objective.batches(step))
    return batch


def gradients(model, total):
    return torch.autograd.grad(
        total, list(model.parameters()), allow_unused=True, materialize_grads=True
    )


def textbook_losses(model, batch):
    """Return the mean loss of targets and that of pairs, one example a row, all scores at once."""
    packed, places = batch.packed, batch.packed.sequences_BT.ravel()
    count = len(packed.first_N)
    longest = int((packed.last_N - packed.first_N).max()) + 1
    ids, segments = torch.zeros(2, count, longest, dtype=torch.long)
    mask = torch.zeros(count, longest, dtype=torch.bool)
    labels = torch.full((count, longest), -100)
    for number in range(count):
        at = np.flatnonzero(places == number)
        ids[number, : len(at)] = torch.from_numpy(batch.corrupted_BT.ravel()[at])
        segments[number, : len(at)] = torch.from_numpy(batch.segments_BT.ravel()[at])
        mask[number, : len(at)] = True
        for column in np.flatnonzero(np.isin(at, batch.targets_N)):
            labels[number, column] = int(packed.ids_BT.ravel()[at[column]])
    states = model.encode(ids, mask, segments)[-1]
    scores = model.token_scores(states.flatten(0, 1))
    mlm = F.cross_entropy(scores, labels.flatten(), ignore_index=-100)
    if model.nsp is None:
        return mlm, torch.zeros(())
    nsp = F.cross_entropy(
        model.nsp(model.pool(states[:, 0])), torch.from_numpy(batch.random_P).long()
    )
    return mlm, nsp


@pytest.mark.parametrize(
    ("mlm", "nsp"), [(True, True), (True, False), (False, True)], ids=["both", "mlm", "nsp"]
)
def test_the_loss_is_the_textbooks_with_its_gradients(make, bert, mlm, nsp):
    objective = make(mlm=mlm, nsp=nsp)
    batch = whole(objective)
    total, count = objective.loss(batch)
    mlm_mean, nsp_mean = textbook_losses(bert, batch)
    expected = mlm * mlm_mean + nsp * nsp_mean
    assert (total / count).item() == pytest.approx(expected.item(), abs=1e-5)
    pairs = zip(gradients(bert, total / count), gradients(bert, expected), strict=True)
    for found, wanted in pairs:
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("rows_at_once", [1, 2, 4])
def test_splitting_a_step_changes_nothing(make, bert, rows_at_once):
    one, several = make(), make(rows_at_once=rows_at_once)
    batch, parts = whole(one), next(several.batches(1))
    assert len(parts) == -(-len(batch.packed.ids_BT) // rows_at_once)
    total, count = one.loss(batch)
    losses = [several.loss(part) for part in parts]
    assert sum(part[1] for part in losses) == count
    together = sum(part[0] for part in losses)
    assert together.item() == pytest.approx(total.item(), rel=1e-6)
    for found, wanted in zip(gradients(bert, together), gradients(bert, total), strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
    assert sum(map(several.tokens, parts)) == one.tokens(batch)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=20), st.integers(1, 7), st.randoms())
def test_the_parts_of_a_step_are_the_step(lengths, rows_at_once, random):
    encoded = Encoded.from_lists([list(range(1, length + 1)) for length in lengths])
    packed = pack(encoded, np.arange(len(lengths)), tokens=30)
    filled = np.flatnonzero(packed.sequences_BT.ravel() >= 0)
    targets = np.sort(random.sample(filled.tolist(), random.randint(0, len(filled))))
    numbers = np.arange(len(lengths))
    step = Batch(
        packed, packed.ids_BT, packed.positions_BT, targets.astype(int), numbers, 1.5, numbers
    )
    parts = step.split(rows_at_once)
    assert all(len(part.packed.ids_BT) <= rows_at_once for part in parts)
    assert np.array_equal(np.concatenate([part.corrupted_BT for part in parts]), packed.ids_BT)
    kept, found = [], []
    for number, part in enumerate(parts):
        begins = number * rows_at_once * 30
        sequences = part.packed.sequences_BT.ravel()
        for place, (first, last) in enumerate(
            zip(part.packed.first_N, part.packed.last_N, strict=True)
        ):
            assert set(sequences[first : last + 1]) == {place}
            assert last - first + 1 == lengths[part.documents[place]]
        assert (sequences >= 0).sum() == sum(lengths[one] for one in part.documents)
        kept += part.random_P.tolist()
        found += (part.targets_N + begins).tolist()
        assert part.pair_weight == 1.5
    assert sorted(kept) == numbers.tolist()
    assert found == targets.tolist()


@pytest.mark.parametrize("size", [2, 3, 5])
def test_processes_share_a_step_without_gaps_or_doubles(make, size):
    rows = [row.tobytes() for row in whole(make()).corrupted_BT]
    shares = [next(make(share=(rank, size)).batches(1)) for rank in range(size)]
    found = [row.tobytes() for share in shares for part in share for row in part.corrupted_BT]
    assert sorted(found) == sorted(rows)
    losses = [make().loss(part) for share in shares for part in share]
    total, count = make().loss(whole(make()))
    together = sum(part[0] for part in losses)
    assert (together / count).item() == pytest.approx((total / count).item(), abs=1e-5)


def same(first, second):
    return all(
        np.array_equal(getattr(one, name), getattr(two, name))
        for one, two in zip(first, second, strict=True)
        for name in ("corrupted_BT", "segments_BT", "targets_N", "random_P", "documents")
    )


def test_a_step_is_a_function_of_the_seed_and_its_number(make):
    steps = list(islice(make(rows_at_once=4).batches(1), 40))
    again = make(rows_at_once=4)
    assert again.epochs(40) > 1  # so that some of these steps are of later epochs
    for number in (1, 2, 9, 25, 40):
        assert same(next(make(rows_at_once=4).batches(number)), steps[number - 1])
        assert same(next(again.batches(number)), steps[number - 1])
    assert not same(steps[0][:1], steps[1][:1])
    assert not same(next(make(rows_at_once=4, seed=1).batches(1))[:1], steps[0][:1])


def test_a_run_that_goes_on_makes_the_examples_of_an_epoch_before_once(make, monkeypatch):
    walked = make(rows_per_step=20)
    steps = list(islice(walked.batches(1), 20))
    made, epoch = [], Objective._epoch

    def making(self, number):
        made.append(number)
        return epoch(self, number)

    monkeypatch.setattr(Objective, "_epoch", making)
    for before in range(20):
        done = int(np.searchsorted(walked.steps_before, before, "left"))  # epochs, begun or over
        now = int(np.searchsorted(walked.steps_before, before + 1, "left")) - 1
        for asks in (True, False):
            made.clear()
            again = make(rows_per_step=20)
            assert not asks or again.epochs(before) == walked.epochs(before)
            assert same(next(again.batches(before + 1)), steps[before])
            assert made == [*range(done), now]
    assert now > 2


def test_targets_are_drawn_afresh_at_each_step(make, make_documents):
    alike = make_documents(60, sentences=(1, 2), tokens=(30, 31))  # each of them fills a row
    objective = make(documents=alike, nsp=False)
    steps = [whole(objective, step) for step in range(1, 9)]
    layouts = {step.packed.positions_BT.tobytes() for step in steps[:6]}
    assert len(layouts) < 6
    assert len({step.targets_N.tobytes() for step in steps}) == 8


def test_epochs_are_counted_whether_or_not_there_were_batches(make):
    asked, walked = make(), make()
    for number, _ in enumerate(islice(walked.batches(1), 50), start=1):
        assert asked.epochs(number) == walked.epochs(number)
    counts = [asked.epochs(step) for step in range(51)]
    assert counts[0] == 0
    assert all(after > before for before, after in pairwise(counts))
    assert 1.0 in counts
    assert 2.0 in counts


def test_no_document_is_both_trained_on_and_held_out(make):
    objective = make()
    trained = np.concatenate([whole(objective, step).documents for step in range(1, 10)])
    held_out = np.concatenate([batch.documents for batch in objective.validation])
    assert len(held_out)
    assert not set(trained) & set(held_out)


def test_validation_scores_are_those_of_the_held_out_batches(make, bert, make_documents):
    objective = make(documents=make_documents(300, sentences=(2, 9)))
    (batch,) = objective.validation
    mlm, nsp = textbook_losses(bert, batch)
    scores = objective.validate()
    assert scores["mlm_loss"] == pytest.approx(mlm.item(), abs=1e-5)
    assert scores["nsp_loss"] == pytest.approx(nsp.item(), abs=1e-5)
    assert scores["loss"] == scores["mlm_loss"] + scores["nsp_loss"]
    assert scores["perplexity"] == pytest.approx(np.exp(scores["mlm_loss"]))
    right = scores["nsp_accuracy"] * len(batch.random_P)
    assert right == pytest.approx(round(right))
    assert make(documents=make_documents(5)).validate() is None


def test_few_documents_are_validated_on_too(make, make_documents):
    objective = make(documents=make_documents(60))
    assert len({int(each) for batch in objective.validation for each in batch.documents}) == 2
    assert objective.validate()["nsp_loss"] > 0


def test_a_batch_names_its_documents(make):
    batch = whole(make(rows_per_step=2))
    assert batch.describe() == f"documents {', '.join(map(str, sorted(set(batch.documents))))}"
    assert whole(make(rows_per_step=20)).describe().endswith(", ..")
    assert replace(batch, documents=np.array([3] * 9)).describe() == "documents 3"


# What is refused


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"mlm": False, "nsp": False}, "BERT needs an objective: mlm, nsp, or both"),
        ({"nsp": "False"}, "nsp must be true or false, got 'False'"),
        ({"whole_words": 1}, "whole_words must be true or false, got 1"),
        ({"mask_share": 0}, "mask_share must be between 0 and 1, got 0"),
        ({"mask_share": "all"}, "mask_share must be between 0 and 1, got 'all'"),
        ({"tokens_per_row": 7}, "tokens_per_row must be a whole number from 8, got 7"),
        ({"rows_per_step": 0}, "rows_per_step must be a whole number from 1, got 0"),
        ({"rows_at_once": 1.5}, "rows_at_once must be a whole number from 1, got 1.5"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0, got 0.0"),
        ({"learning_rate": "high"}, "learning_rate must be above 0, got 'high'"),
        (
            {"tokens_per_row": 33},
            "rows of 33 tokens are longer than the model's 32 positions; lower tokens_per_row",
        ),
    ],
)
def test_impossible_settings_are_refused(make, how, message):
    with pytest.raises(SettingsError, match=message):
        make(**how)


def test_documents_in_which_nothing_follows_anything_are_refused(make, make_documents):
    single = make_documents(20, sentences=(1, 2))
    with pytest.raises(DataError, match=r"nsp: no document .* has two sentences.* without nsp"):
        make(documents=single)
    assert len(whole(make(documents=single, nsp=False)).targets_N)
    with pytest.raises(DataError, match="nsp needs at least two documents"):
        next(make(documents=make_documents(1, sentences=(4, 5))).batches(1))


def test_a_tokenizer_without_a_mask_is_refused(make, for_gpt, make_tokenizer):
    for tokenizer in (for_gpt, make_tokenizer("[PAD]", "[UNK]", "[CLS]", "[SEP]")):
        with pytest.raises(SettingsError, match=r"needs a tokenizer with \[CLS\], \[SEP\] and"):
            make(tokenizer=tokenizer)


def test_a_model_without_a_head_is_told_from_one_with_it(make):
    config = BertConfig(vocabulary_size=95, **SIZES)
    batch = whole(make())
    with pytest.raises(SettingsError, match=r"no head for nsp; pretrain it without \(nsp=false"):
        make(model=Bert(config, nsp=False)).loss(batch)
    with pytest.raises(SettingsError, match="no head for masked tokens"):
        make(model=Bert(config, mlm=False)).loss(batch)
