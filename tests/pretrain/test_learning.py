"""A tiny model learns a hundred sentences by heart: the proof that losses pull the right way."""

import itertools

import numpy as np
import pytest
import torch

from headstart.budget import Budget
from headstart.models.bert import Bert, BertConfig
from headstart.models.gpt import Gpt, GptConfig
from headstart.pretrain import causal_lm, masked_lm
from headstart.tokenize.documents import EncodedDocuments
from headstart.training.runs import RunSettings, run

SIZES = {"width": 64, "layers": 1, "heads": 2, "feed_forward": 128, "dropout": 0.0}


@pytest.fixture
def hundred_sentences():
    """Make 20 documents of five sentences, each document with three words of its own in turn."""

    def make(first):
        words = first + np.arange(60).reshape(20, 3)
        ids = np.tile(words, (1, 10)).ravel().astype(np.int32)
        return EncodedDocuments(ids, np.arange(0, 601, 6), np.arange(0, 101, 5))

    return make


def mean_loss(model, objective, *, steps):
    settings = RunSettings(
        budget=Budget(steps=steps), learning_rate=3e-3, bf16=False, validate_every=10_000
    )
    objective.validation = []  # these sentences are all there is
    run(model, objective, settings=settings)
    total = count = 0.0
    with torch.no_grad():
        for step in range(steps + 1, steps + 9):
            for batch in next(objective.batches(step)):
                loss, size = objective.loss(batch)
                total, count = total + loss.item(), count + size.item()
    return total / count


def bert(documents, tokenizer, **settings):
    sizes = {**SIZES, "vocabulary_size": 95, "positions": 48}
    model = Bert(BertConfig(**sizes), generator=torch.Generator().manual_seed(0))
    how = masked_lm.MaskedLm(tokens_per_row=48, rows_per_step=16, **settings)
    return model, masked_lm.Objective(model, documents, tokenizer, how, seed=0)


@pytest.mark.slow
def test_masked_tokens_are_learnt_by_heart(hundred_sentences, for_bert, monkeypatch):
    monkeypatch.setattr(masked_lm, "_SHORT", 0.0)  # nobody guesses a text of one hidden word
    model, objective = bert(hundred_sentences(5), for_bert, nsp=False)
    assert mean_loss(model, objective, steps=200) < 0.2


@pytest.mark.slow
def test_pairs_are_learnt_by_heart(hundred_sentences, for_bert):
    model, objective = bert(hundred_sentences(5), for_bert, mlm=False)
    step = next(objective.batches(1))
    assert 0 < step[0].random_P.mean() < 1
    objective.batches = lambda _: itertools.repeat(step)
    assert mean_loss(model, objective, steps=60) < 0.05


@pytest.mark.slow
def test_next_tokens_are_learnt_by_heart(hundred_sentences, for_gpt):
    documents = hundred_sentences(3)
    sizes = {**SIZES, "vocabulary_size": 93, "positions": 64}
    model = Gpt(GptConfig(**sizes), generator=torch.Generator().manual_seed(0))
    how = causal_lm.CausalLm(tokens_per_row=64, rows_per_step=8)
    objective = causal_lm.Objective(model, documents, for_gpt, how, seed=0)
    assert mean_loss(model, objective, steps=150) < 0.25
