"""Pretrain an ELMo on a corpus."""

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from headstart.data.corpora import Corpus
from headstart.errors import SettingsError
from headstart.hub.elmo import PretrainedElmo
from headstart.hub.pretraining import Plan, compute_threads, run_plan, settings_of
from headstart.models.elmo import Elmo, ElmoConfig
from headstart.pretrain.bidirectional_lm import BidirectionalLm, Objective
from headstart.seeds import derive
from headstart.storage import fingerprint, working_folder
from headstart.tokenize.documents import encode_documents
from headstart.tokenize.words import Split, WordTokenizer
from headstart.training.distributed import process_group, rank_and_size

_NARROW = ((1, 16), (2, 32), (3, 64), (4, 64))
_MIDDLE = ((1, 32), (2, 32), (3, 64), (4, 128), (5, 128))
_PUBLISHED = ((1, 32), (2, 32), (3, 64), (4, 128), (5, 256), (6, 512), (7, 1024))
SIZES: Mapping[str, Mapping[str, Any]] = {  # from small on, as in the published models
    "tiny": {"cells": 256, "projection": 64, "filters": _NARROW},
    "mini": {"cells": 512, "projection": 128, "filters": _MIDDLE},
    "small": {"cells": 1024, "projection": 128, "filters": _PUBLISHED},
    "medium": {"cells": 2048, "projection": 256, "filters": _PUBLISHED},
    "base": {"cells": 4096, "projection": 512, "filters": _PUBLISHED, "highways": 2},
}
_VOCABULARY = 30_000
_LEAST_COUNT = 2  # rarer words are predicted as unknown, so that training includes unknown words
_MOST_WORDS = 1_000_000  # words with characters as input; rarer ones are all the unknown word
_NEW_MODEL = ("vocabulary_size", "lowercase", "dropout")


def pretrain_elmo(
    text: Corpus, plan: Plan, *, size: str, tokenizer: WordTokenizer | Split | None
) -> PretrainedElmo:
    """Pretrain an ELMo on a corpus.

    Under `torchrun`, each process computes its share of every step, and all end with the same
    weights.

    Args:
        text: The corpus.
        plan: Budget, seed and options: those of `BidirectionalLm`, and `vocabulary_size`,
            `lowercase` and `dropout`.
        size: One of `SIZES`.
        tokenizer: How texts are split into words; or a tokenizer that splits them. Its vocabulary,
            sorted by decreasing frequency, is then what the model predicts.

    Raises:
        SettingsError: The size or an option is invalid, or `run_folder` contains another run.
        DataError: The corpus contains no words.
        NonFiniteError: Training diverged.
        InterruptedRunError: Training was stopped; the same call resumes it.
    """
    if size not in SIZES:
        raise SettingsError(f"unknown size {size!r}; choose from {', '.join(SIZES)}")
    options = dict(plan.options)
    vocabulary_size = options.pop("vocabulary_size", _VOCABULARY)
    if type(vocabulary_size) is not int or vocabulary_size < 3:
        raise SettingsError(f"vocabulary_size must be a whole number from 3, got {vocabulary_size}")
    lowercase, dropout = options.pop("lowercase", False), options.pop("dropout", 0.1)
    settings = settings_of(BidirectionalLm, "elmo", options, others=_NEW_MODEL)
    with process_group(), compute_threads(plan.threads):
        started = time.perf_counter()
        given = tokenizer if isinstance(tokenizer, WordTokenizer) else None
        every = WordTokenizer.train(
            text.texts(),
            vocabulary_size=_MOST_WORDS,
            min_count=1,
            lowercase=lowercase if given is None else given.lowercase,
            split=given.split if given else (tokenizer or "words"),  # type: ignore[arg-type]
            progress=plan.progress,
        )
        if given is not None:
            every = extended(given, every)
        with working_folder() as folder:
            documents = encode_documents(
                text.texts(), every, folder, by_sentence=True, progress=plan.progress
            )
            if given is None:
                counts = np.bincount(documents.ids)[2:]
                known = max(1, int((counts >= _LEAST_COUNT).sum()))
                known = min(known, vocabulary_size - 2)
                own = WordTokenizer.from_vocabulary(
                    every.vocabulary[2 : known + 2], lowercase=every.lowercase, split=every.split
                )
            else:
                own = given
            sizes = {
                **SIZES[size],
                "vocabulary_size": len(own.vocabulary),
                "dropout": dropout,
            }
            fresh = torch.Generator().manual_seed(derive(plan.seed, "weights"))
            model = Elmo(ElmoConfig(**sizes), generator=fresh)
            objective = Objective(
                model,
                documents,
                every.vocabulary,
                settings,
                seed=plan.seed,
                share=rank_and_size(),
            )
            prepared = time.perf_counter() - started
            lineage = run_plan(
                model,
                objective,
                documents,
                text,
                plan,
                settings=settings,
                identity={"sizes": sizes, "tokenizer": fingerprint(own.vocabulary)},
                description="pretraining ELMo",
            )
        lineage["seconds"] = prepared + lineage["training_seconds"]  # also those before a resume
    return PretrainedElmo.of(
        model, own, lineage=lineage, settings={**asdict(settings), "size": size}
    )


def extended(first: WordTokenizer, second: WordTokenizer) -> WordTokenizer:
    """Return the first tokenizer, with the words that only the second has appended."""
    more = [word for word in second.vocabulary[2:] if word not in first.ids]
    return WordTokenizer.from_vocabulary(
        [*first.vocabulary[2:], *more], lowercase=first.lowercase, split=first.split
    )
