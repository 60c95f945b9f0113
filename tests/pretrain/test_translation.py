"""CoVe's objective: its loss is the plain one, its batches a function of seed and step."""

import gzip
import sys
from dataclasses import replace
from itertools import islice, pairwise

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from headstart.errors import DataError, MissingExtraError, SettingsError
from headstart.models.cove import Cove, CoveConfig
from headstart.pretrain.translation import (
    Objective,
    Pairs,
    Translation,
    bleu,
    hold_out,
    translate,
)
from headstart.tokenize.subwords import SubwordTokenizer
from headstart.tokenize.words import WordTokenizer
from headstart.training.optimizers import adamw

WHO = {"cat": "Katze", "cow": "Kuh", "mouse": "Maus", "goose": "Gans"}
HOW = {"red": "rote", "old": "alte", "small": "kleine", "clever": "kluge"}
DOES = {"eats": "isst", "sings": "singt", "sleeps": "schläft", "sees me": "sieht mich"}


def generated_pairs(number):
    random = np.random.default_rng(0)
    found = {}
    while len(found) < number:
        who, how, other = (random.choice(list(each)) for each in (WHO, HOW, HOW))
        does = random.choice(list(DOES))
        english = f"The {how} and {other} {who} {does}."
        found[english] = f"Die {HOW[how]} und {HOW[other]} {WHO[who]} {DOES[does]}."
    return list(found), list(found.values())


def make_pairs(english, german):
    words = WordTokenizer.train(english, min_count=1)
    pieces = SubwordTokenizer.train(german, kind="bpe", vocabulary_size=400, lowercase=False)
    pairs = Pairs(words.encode_batch(english), pieces.encode_batch(german), english, german)
    return pairs, pieces, len(words.vocabulary)


def make_model(source, target, hidden=12, **settings):
    config = CoveConfig(
        source_vocabulary=source,
        vector_width=10,
        hidden=hidden,
        target_vocabulary=target,
        **{"dropout": 0.0, **settings},
    )
    return Cove(config, generator=torch.Generator().manual_seed(0)).eval()


@pytest.fixture(scope="module")
def text():
    return make_pairs(*generated_pairs(90))


@pytest.fixture
def make(text):
    pairs, pieces, source = text
    fresh = make_model(source, len(pieces.vocabulary))

    def make(*, model=fresh, share=(0, 1), seed=0, given=pairs, **how):
        settings = Translation(**{"pairs_per_step": 16, "pairs_at_once": 99, **how})
        return Objective(model, given, pieces, settings, seed=seed, share=share)

    return make


def plain_loss(objective, rows):
    """Return the summed loss of pairs read alone, with torch's own softmax."""
    model, pairs, total = objective.model, objective.pairs, torch.zeros(())
    for row in rows:
        source = torch.from_numpy(pairs.sources[row].astype(np.int64))[None]
        target = torch.tensor([objective.end, *pairs.targets[row].tolist(), objective.end])
        memory = model.decoder.look_at(
            model.read(source, torch.ones_like(source).bool()), torch.ones_like(source).bool()
        )
        place = model.decoder.begin(memory)
        for before, after in pairwise(target):
            scores, place, _ = model.decoder.step(memory, place, before[None])
            total = total + F.cross_entropy(scores, after[None])
    return total


def test_the_loss_is_that_of_each_pair_alone_with_its_gradients(make):
    objective = make()
    (batch,) = next(objective.batches(1))
    total, count = objective.loss(batch)
    expected = plain_loss(objective, batch.pairs)
    tokens = sum(len(objective.pairs.targets[row]) + 1 for row in batch.pairs)
    assert count == objective.tokens(batch) == tokens
    assert (total / count).item() == pytest.approx((expected / count).item(), abs=1e-5)
    parameters = list(objective.model.parameters())
    for ours, theirs in zip(
        *(torch.autograd.grad(each / count, parameters) for each in (total, expected)), strict=True
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("at_once", "size"), [(1, 1), (5, 1), (99, 2), (3, 3)])
def test_splitting_and_sharing_a_step_change_nothing(make, at_once, size):
    (batch,) = next(make().batches(1))
    total, count = make().loss(batch)
    objectives = [make(pairs_at_once=at_once, share=(rank, size)) for rank in range(size)]
    parts = [part for objective in objectives for part in next(objective.batches(1))]
    assert sorted(row for part in parts for row in part.pairs) == sorted(batch.pairs)
    losses = [make().loss(part) for part in parts]
    assert sum(part[1] for part in losses) == count
    assert sum(part[0] for part in losses).item() == pytest.approx(total.item(), rel=1e-5)


def same(first, second):
    return [each.pairs.tolist() for each in first] == [each.pairs.tolist() for each in second]


def test_a_step_is_a_function_of_the_seed_and_its_number(make):
    objective = make()
    steps = list(islice(objective.batches(1), 3 * objective.steps_per_epoch))
    assert objective.epochs(len(steps)) == 3.0
    for number in (1, 2, objective.steps_per_epoch + 1, len(steps)):
        assert same(next(make().batches(number)), steps[number - 1])
    first, second = steps[: objective.steps_per_epoch], steps[objective.steps_per_epoch :][:3]
    read = sorted(row for step in first for batch in step for row in batch.pairs.tolist())
    assert read == objective.training.tolist()
    assert not same(first[0], second[0])
    assert not same(next(make(seed=1).batches(1)), steps[0])
    assert steps[0][0].describe().startswith(f"pairs {steps[0][0].pairs[0]}, ")


def test_held_out_pairs_share_no_source_with_those_trained_on():
    texts = [f"sentence {number % 400}" for number in range(1000)]
    training, held_out = hold_out(texts, seed=0)
    assert 15 <= len(held_out) <= 20
    assert np.array_equal(np.sort(np.concatenate([training, held_out])), np.arange(1000))
    assert not {texts[row] for row in training} & {texts[row] for row in held_out}
    assert np.array_equal(hold_out(texts, seed=0)[1], held_out)
    assert not np.array_equal(hold_out(texts, seed=1)[1], held_out)
    assert len(hold_out(texts[:49], seed=0)[1]) == 0


def test_where_sources_repeat_one_of_them_is_held_out_with_all_its_translations():
    held_out = hold_out([f"sentence {number % 40}" for number in range(120)], seed=0)[1]
    assert len(held_out) == 3
    assert len(set(held_out % 40)) == 1
    few = [f"sentence {number % 9}" for number in range(120)]  # over a tenth of the pairs each
    assert len(hold_out(few, seed=0)[1]) == 0


def test_validation_is_on_held_out_pairs(make):
    objective = make()
    scores = objective.validate()
    tokens = sum(len(objective.pairs.targets[row]) + 1 for row in objective.held_out)
    loss = plain_loss(objective, objective.held_out).item() / tokens
    assert scores["loss"] == pytest.approx(loss, abs=1e-5)
    assert scores["perplexity"] == pytest.approx(np.exp(loss), rel=1e-4)
    assert 0.0 <= scores["bleu"] < 20.0
    assert objective.report() == {"pairs_held_out": len(objective.held_out), "pairs_too_long": 0}


def test_a_validation_may_be_on_fewer_pairs_than_are_held_out():
    pairs, pieces, source = make_pairs(*generated_pairs(220))
    model = make_model(source, len(pieces.vocabulary))
    how = {"seed": 0, "most_validated": 2}
    objective = Objective(model, pairs, pieces, Translation(), **how)
    assert len(objective.held_out) == 4
    assert set(objective.validated) < set(objective.held_out)
    assert objective.report()["pairs_validated"] == len(objective.validated) == 2
    tokens = sum(len(pairs.targets[row]) + 1 for row in objective.validated)
    loss = plain_loss(objective, objective.validated).item() / tokens
    assert objective.validate()["loss"] == pytest.approx(loss, abs=1e-5)
    whole = Objective(model, pairs, pieces, Translation(), **{**how, "most_validated": 4})
    assert np.array_equal(whole.validated, whole.held_out)
    assert np.array_equal(whole.training, objective.training)


def overfit(english, german, *, steps, hidden):
    pairs, pieces, source = make_pairs(english, german)
    model = make_model(source, len(pieces.vocabulary), hidden=hidden)
    objective = Objective(model, pairs, pieces, Translation(pairs_per_step=25), seed=0)
    objective.training = np.arange(len(pairs))
    optimizer = adamw(model, learning_rate=1e-2, betas=(0.9, 0.98))
    for _, (batch,) in zip(range(steps), objective.batches(1), strict=False):
        optimizer.zero_grad()
        total, count = objective.loss(batch)
        (total / count).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    written, scores = {}, {}
    for beam in (1, 4):
        found = translate(model, pairs.sources, end=objective.end, beam=beam)
        written[beam] = [pieces.decode(each.tokens) for each in found]
        scores[beam] = [each.score for each in found]
        for row, each in enumerate(found):
            assert each.attention_TS.shape == (len(each.tokens) + 1, len(pairs.sources[row]))
            torch.testing.assert_close(each.attention_TS.sum(1), torch.ones(len(each.tokens) + 1))
    return written, scores


@pytest.mark.slow
def test_fifty_pairs_are_learnt_by_heart():
    english, german = generated_pairs(50)
    written, scores = overfit(english, german, steps=100, hidden=32)
    assert bleu(written[1], german) > 95.0
    assert bleu(written[4], german) > 95.0
    assert all(wide >= one - 1e-5 for one, wide in zip(scores[1], scores[4], strict=True))


@pytest.mark.slow
def test_fifty_pairs_of_multi30k_are_learnt_by_heart(shared_data):
    sides = []
    for side in ("en", "de"):
        with gzip.open(shared_data / f"multi30k/train.{side}.gz", "rt", encoding="utf-8") as file:
            sides.append([line.rstrip("\n") for line in islice(file, 50)])
    written, _ = overfit(*sides, steps=80, hidden=64)
    assert bleu(written[1], sides[1]) > 95.0


def test_bleu_is_sacrebleus():
    texts = ["Der Hund schläft.", "Eine Katze isst den Fisch, sagt er."]
    assert bleu(texts, texts) == pytest.approx(100.0)
    # 4 of 4, 3 of 3, 2 of 2 and 1 of 1 n-grams, and a brevity penalty for 4 tokens of 5
    assert bleu(["a b c d"], ["a b c d e"]) == pytest.approx(100 * np.exp(1 - 5 / 4))


def test_without_sacrebleu_the_error_names_it(make, monkeypatch):
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    with pytest.raises(MissingExtraError, match="pip install sacrebleu"):
        make()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pairs_per_step": 0}, "pairs_per_step must be a whole number from 1, got 0"),
        ({"pairs_at_once": 1.5}, "pairs_at_once must be a whole number from 1, got 1.5"),
        ({"max_tokens": True}, "max_tokens must be a whole number from 1, got True"),
        ({"train_vectors": 1}, "train_vectors must be true or false, got 1"),
        ({"learning_rate": -1.0}, "learning_rate must be above 0, got -1.0"),
    ],
)
def test_impossible_settings_are_refused(make, settings, message):
    with pytest.raises(SettingsError, match=message):
        make(**settings)


def test_pairs_that_are_too_long_are_left_out(make):
    lengths = make().pairs.targets.lengths
    objective = make(max_tokens=int(np.median(lengths)))
    kept = lengths[objective.training]
    assert kept.max() == np.median(lengths)
    assert objective.report()["pairs_too_long"] > 0
    with pytest.raises(
        DataError, match="every pair has a side of more than 2 tokens; raise max_tokens"
    ):
        make(max_tokens=2)


def test_a_held_out_pair_that_is_too_long_is_left_out_too(text):
    pairs, pieces, source = text
    row = hold_out(pairs.source_texts, seed=0)[1][0]
    targets = [*pairs.references[:row], "Die Kuh singt. " * 60, *pairs.references[row + 1 :]]
    given = replace(pairs, targets=pieces.encode_batch(targets))
    model = make_model(source, len(pieces.vocabulary))
    objective = Objective(model, given, pieces, Translation(), seed=0)
    assert row not in {*objective.training, *objective.held_out, *objective.validated}
    held_out = len(hold_out(pairs.source_texts, seed=0)[1]) - 1
    assert objective.report() == {"pairs_held_out": held_out, "pairs_too_long": 1}


def test_a_beam_is_a_whole_number(make):
    objective = make()
    with pytest.raises(SettingsError, match="beam must be a whole number from 1, got 0"):
        translate(objective.model, objective.pairs.sources, end=objective.end, beam=0)
