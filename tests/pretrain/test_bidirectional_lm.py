from itertools import islice, pairwise

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from headstart.budget import Budget
from headstart.errors import DataError, SettingsError
from headstart.models.elmo import Elmo, ElmoConfig
from headstart.pretrain.bidirectional_lm import BidirectionalLm, LogUniform, Objective
from headstart.tokenize.characters import words_to_characters
from headstart.tokenize.documents import EncodedDocuments
from headstart.training.runs import RunSettings, run

WORDS = ["[PAD]", "[UNK]", *(f"w{n}" for n in range(92))]
VOCABULARY = 60
SIZES = {"filters": ((1, 4), (2, 6)), "character_width": 5, "projection": 12, "cells": 20}


def make_model(**how):
    config = ElmoConfig(**{**SIZES, "vocabulary_size": VOCABULARY, "dropout": 0.0, **how})
    return Elmo(config, generator=torch.Generator().manual_seed(0)).eval()


@pytest.fixture
def make(make_documents):
    several = make_documents(40, sentences=(1, 4), tokens=(1, 30), first=2)

    def make(*, model=None, share=(0, 1), seed=0, documents=several, **how):
        given = {"words_per_row": 24, "rows_per_step": 8, "rows_at_once": 99, **how}
        settings = BidirectionalLm(**given)
        return Objective(model or make_model(), documents, WORDS, settings, seed=seed, share=share)

    return make


def sentences_of(documents, number):
    first, last = documents.documents[number : number + 2]
    return [
        documents.ids[documents.sentences[at] : documents.sentences[at + 1]].tolist()
        for at in range(first, last)
    ]


def textbook_losses(model, rows):
    """Return the summed loss of each direction over rows, every row and direction by itself."""
    losses = []
    for backward in (False, True):
        total = torch.zeros(())
        for row in rows:
            ids = row[::-1] if backward else row
            letters = [
                ([259, 258 if backward else 257, 260] + [261] * 47)
                if identity == 0
                else words_to_characters([WORDS[identity]])[0].tolist()
                for identity in ids[:-1]
            ]
            x_TP = model.tokens(torch.tensor(letters))
            x_DTBP = torch.stack([x_TP, x_TP])[:, :, None]
            top_TP = model.run_lstms(x_DTBP, None)[0][-1][int(backward), :, 0]
            known = torch.tensor([n if n < VOCABULARY else 1 for n in ids[1:]])
            total = total + F.cross_entropy(model.softmax(top_TP), known, reduction="sum")
        losses.append(total)
    return losses


def test_the_loss_is_that_of_both_directions_with_their_gradients(make):
    objective = make(samples=1000)  # all of the vocabulary, so that nothing is estimated
    model = objective.model
    (batch,) = next(objective.batches(1))
    assert (batch.ids_BT >= VOCABULARY).any()
    total, count = objective.loss(batch)
    expected = sum(textbook_losses(model, batch.ids_BT.tolist()))
    assert count == 2 * 8 * 24
    assert total.item() == pytest.approx(expected.item(), rel=1e-5)
    found, wanted = (
        torch.autograd.grad(each / count, list(model.parameters())) for each in (total, expected)
    )
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_validation_is_exact_on_documents_that_are_not_trained_on(make):
    objective = make(samples=3)
    held_out = {int(number) for batch in objective.validation for number in batch.documents}
    assert held_out
    assert not held_out & set(objective.training.tolist())
    scores = objective.validate()
    rows = [row for batch in objective.validation for row in batch.ids_BT.tolist()]
    losses = [total.item() / (24 * len(rows)) for total in textbook_losses(objective.model, rows)]
    assert scores["loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    assert scores["perplexity"] == pytest.approx(np.exp(np.mean(losses)), rel=1e-4)
    assert scores["forward_perplexity"] == pytest.approx(np.exp(losses[0]), rel=1e-4)
    assert scores["backward_perplexity"] == pytest.approx(np.exp(losses[1]), rel=1e-4)


def test_sentences_stand_end_to_end_with_a_boundary_between(make):
    objective = make(rows_per_step=1)
    steps = list(islice(objective.batches(1), objective.steps_per_epoch))
    assert objective.epochs(len(steps)) == 1.0
    rows = {tuple(step[0].ids_BT[0].tolist()) for step in steps}
    assert len(rows) == objective.rows_per_epoch
    documents = objective.documents
    starts = {}
    for row in rows:
        starts.setdefault(row[0], []).append(row)
    whole = np.concatenate([np.array(row[:-1]) for row in rows])
    expected = np.zeros(len(WORDS), int)
    for number in objective.training:
        for sentence in sentences_of(documents, number):
            expected += np.bincount([0, *sentence], minlength=len(WORDS))
    missing = expected - np.bincount(whole, minlength=len(WORDS))
    assert (missing >= 0).all()
    assert missing.sum() < 24  # what does not fill a row
    known = {tuple(s) for number in objective.training for s in sentences_of(documents, number)}
    for row in rows:
        ends = [at for at, identity in enumerate(row) if identity == 0]
        for start, end in pairwise(ends):
            assert row[start + 1 : end] in known
    assert objective.tokens(steps[0][0]) == 24


def test_no_part_of_a_single_document_is_left_over_in_every_epoch(make, make_documents):
    alone = make_documents(1, sentences=(1, 2), tokens=(25, 26), first=2)
    objective = make(documents=alone, words_per_row=20, rows_per_step=1)
    assert (objective.rows_per_epoch, objective.left_over) == (1, 6)
    steps = list(islice(objective.batches(1), 60))
    assert len({step[0].ids_BT.tobytes() for step in steps}) == 7
    for (one,), (other,) in zip(steps[51:], objective.batches(52), strict=False):
        assert np.array_equal(one.ids_BT, other.ids_BT)


def test_the_last_boundary_is_predicted(make, make_documents):
    documents = make_documents(1, sentences=(1, 2), tokens=(4, 5), first=2)
    objective = make(documents=documents)
    (batch,) = next(objective.batches(1))
    assert batch.ids_BT.tolist() == [[0, *documents.ids.tolist(), 0]]
    assert objective.validate() is None


@pytest.mark.parametrize(("rows_at_once", "size"), [(1, 1), (3, 1), (99, 2), (2, 3)])
def test_splitting_and_sharing_a_step_change_nothing(make, rows_at_once, size):
    one = make(samples=20)
    (batch,) = next(one.batches(1))
    total, count = one.loss(batch)
    shares = [
        next(make(rows_at_once=rows_at_once, share=(rank, size), samples=20).batches(1))
        for rank in range(size)
    ]
    losses = [one.loss(part) for share in shares for part in share]
    assert sum(part[1] for part in losses) == count
    assert sum(part[0] for part in losses).item() == pytest.approx(total.item(), rel=1e-5)


def test_a_step_is_a_function_of_the_seed_and_its_number(make):
    how = {"rows_at_once": 3, "rows_per_step": 5, "samples": 20}

    def told(step):
        return [(part.ids_BT.tolist(), part.sampled_K.tolist()) for part in step]

    steps = list(map(told, islice(make(**how).batches(1), 30)))
    again = make(**how)
    assert again.epochs(30) > 2
    for number in (1, 2, again.steps_per_epoch, again.steps_per_epoch + 1, 30):
        assert told(next(again.batches(number))) == steps[number - 1]
    assert steps[0] != steps[again.steps_per_epoch]
    assert told(next(make(**how, seed=1).batches(1))) != steps[0]


def test_samples_have_the_wanted_size_and_favor_frequent_words():
    sampler = LogUniform(5000, 300)
    assert sampler.chances.sum() == pytest.approx(300)
    assert (np.diff(sampler.chances) < 0).all()
    draws = [sampler.draw(np.random.default_rng(n)) for n in range(300)]
    assert np.mean(list(map(len, draws))) == pytest.approx(300, rel=0.02)
    found = np.bincount(np.concatenate(draws), minlength=5000) / 300
    np.testing.assert_allclose(found[:50], sampler.chances[:50], atol=0.12)
    assert LogUniform(50, 50).draw(np.random.default_rng(0)).tolist() == list(range(50))


def test_a_batch_names_its_documents(make):
    (batch,) = next(make(rows_per_step=1).batches(1))
    assert batch.describe() == f"documents {', '.join(map(str, batch.documents))}"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"words_per_row": 1}, "words_per_row must be a whole number from 2, got 1"),
        ({"rows_per_step": 0}, "rows_per_step must be a whole number from 1, got 0"),
        ({"samples": True}, "samples must be a whole number from 1, got True"),
        ({"learning_rate": -1.0}, "learning_rate must be above 0, got -1.0"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(SettingsError, match=message):
        BidirectionalLm(**settings)


def test_a_corpus_without_words_is_refused(make):
    nothing = EncodedDocuments(np.zeros(0, np.int32), np.array([0, 0]), np.array([0, 1]))
    with pytest.raises(DataError, match="contains no words"):
        make(documents=nothing)


def regular(number, *, seed):
    """Make documents of sentences in which a word tells the two after it, so each side helps."""
    random = np.random.default_rng(seed)
    first = random.integers(0, 20, 6 * number)
    triples = np.stack([2 + first, 22 + first, 42 + first % 9, np.full_like(first, 51)], 1)
    ids = triples.ravel().astype(np.int32)
    return EncodedDocuments(ids, np.arange(0, len(ids) + 1, 4), np.arange(0, 6 * number + 1, 6))


@pytest.mark.slow
def test_a_regular_language_is_learnt_from_both_sides(make):
    model = make_model(projection=32, cells=48, filters=((1, 8), (2, 24), (3, 24)))
    objective = make(model=model, documents=regular(60, seed=0), samples=30, rows_per_step=16)
    settings = RunSettings(
        budget=Budget(steps=300), learning_rate=2e-2, bf16=False, validate_every=50
    )
    report = run(model, objective, settings=settings)
    counts = np.bincount(np.concatenate([b.ids_BT.ravel() for b in objective.validation]))
    chances = counts[counts > 0] / counts.sum()
    unigram = np.exp(-(chances * np.log(chances)).sum())
    best = report["validation"]
    assert unigram > 10
    # Of five predictions one is free, 20 or 9 words long, from either side.
    assert best["forward_perplexity"] < 2.5
    assert best["backward_perplexity"] < 3.0
