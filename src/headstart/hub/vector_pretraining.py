"""Pretrain word vectors on a corpus: word2vec or GloVe."""

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np

from headstart.data.corpora import Corpus
from headstart.devices import available_cores
from headstart.errors import SettingsError
from headstart.hub.bundle import Pretrained, Tokenizer, load_tokenizer
from headstart.hub.foreign.trial import try_reading
from headstart.hub.kinds import KINDS
from headstart.hub.pretraining import Plan, settings_of
from headstart.models.word_vectors import WordVectors
from headstart.pretrain import glove, skip_gram
from headstart.progress import Progress
from headstart.storage import fingerprint, working_folder
from headstart.tokenize.encoded import encode_corpus
from headstart.tokenize.subwords import Kind, SubwordTokenizer
from headstart.tokenize.words import PAD, UNKNOWN, Split, WordTokenizer

_MOST_WORDS, _MOST_PIECES = 400_000, 8192
_OBJECTIVES = {"word2vec": skip_gram, "glove": glove}


def pretrain_vectors(
    method: str,
    text: Corpus,
    plan: Plan,
    *,
    width: int,
    tokenizer: Tokenizer | str | Path,
    min_count: int,
) -> Pretrained:
    """Pretrain word vectors on a corpus.

    Args:
        method: `word2vec` or `glove`.
        text: The corpus.
        plan: Budget, seed and options: those of `SkipGram` or `GloVe`, and `vocabulary_size`.
        width: Dimensions of each vector, unless the options have a `dim`.
        tokenizer: The kind of tokenizer to learn, a tokenizer, or its file.
        min_count: Words that occur less often get no vector.

    Raises:
        SettingsError: An option or the tokenizer is invalid, or `run_folder` contains another run.
        DataError: The corpus is too small.
        NonFiniteError: Training diverged.
        InterruptedRunError: Training was stopped; the same call resumes it from `run_folder`.
    """
    kind: type[skip_gram.SkipGram | glove.GloVe]
    kind = skip_gram.SkipGram if method == "word2vec" else glove.GloVe
    options = {"dim": width, **plan.options}
    vocabulary_size = options.pop("vocabulary_size", None)
    config = settings_of(kind, method, options, others=("vocabulary_size",))
    started = time.perf_counter()
    threads = plan.threads or available_cores()
    if isinstance(tokenizer, str | Path):
        tokenizer = _make_tokenizer(str(tokenizer), text, min_count, vocabulary_size, plan.progress)
    if tokenizer.vocabulary[:2] != [PAD, UNKNOWN]:
        raise SettingsError(
            f"word vectors need a tokenizer with {PAD} as id 0 and {UNKNOWN} as id 1"
        )
    identity = {"tokenizer": fingerprint(tokenizer.vocabulary)}
    if plan.run_folder is not None:
        identity["corpus"] = text.fingerprint()
    with working_folder() as folder:
        encoded = encode_corpus(text.texts(), tokenizer, folder, progress=plan.progress)
        prepared = time.perf_counter() - started
        result = _OBJECTIVES[method].train(
            encoded,
            config,
            budget=plan.budget,
            seed=plan.seed,
            threads=threads,
            run_folder=plan.run_folder,
            identity=identity,
            save_minutes=plan.save_minutes,
            progress=plan.progress,
        )
    matrix = result.vectors
    matrix[0] = 0.0
    return KINDS[method](
        method,
        WordVectors.from_matrix(matrix),
        tokenizer,
        config={
            "vocabulary": int(np.count_nonzero(encoded.counts)),
            "width": matrix.shape[1],
            "min_count": min_count,
            **asdict(config),
            "learning_rate": (
                config.rate if isinstance(config, skip_gram.SkipGram) else config.learning_rate
            ),
        },
        lineage={
            "corpus": text.description,
            "documents": encoded.documents,
            "words": encoded.words,
            "seed": plan.seed,
            "threads": threads,
            "seconds": prepared + _seconds(result.report),
            **result.report,
        },
    )


def _seconds(report: Mapping[str, Any]) -> float:
    """Return the training time, including that of the processes before it was resumed."""
    return float(report["training_seconds"] + report.get("counting_seconds", 0.0))


def _make_tokenizer(
    kind: str, text: Corpus, min_count: int, vocabulary_size: int | None, progress: Progress
) -> Tokenizer:
    """Learn a tokenizer of this kind from the text, or load it from this file."""
    if kind in get_args(Split):
        most = _MOST_WORDS if vocabulary_size is None else vocabulary_size
        return _most_frequent(most, cast("Split", kind), text, min_count, progress)
    if kind in get_args(Kind):
        return SubwordTokenizer.train(
            text.texts,
            kind=cast("Kind", kind),
            vocabulary_size=_MOST_PIECES if vocabulary_size is None else vocabulary_size,
            min_count=min_count,
            progress=progress,
        )
    if Path(kind).is_file():
        try_reading("tokenizer", Path(kind))
        return load_tokenizer(Path(kind))
    raise SettingsError(
        f"tokenizer must be words, whitespace, bpe, wordpiece or a tokenizer.json, got {kind!r}"
    )


def _most_frequent(
    most: int, split: Split, text: Corpus, min_count: int, progress: Progress
) -> WordTokenizer:
    """Learn a tokenizer of the `most` most frequent words (with PAD and UNKNOWN); note if cut."""
    if type(most) is not int or most < 3:
        raise SettingsError(f"vocabulary_size must be a whole number from 3, got {most!r}")
    made = WordTokenizer.train(
        text.texts(),
        vocabulary_size=most + 1,  # one more shows whether any word is left out
        min_count=min_count,
        split=split,
        progress=progress,
    )
    if made.vocabulary_size <= most:
        return made
    progress.note(
        f"only the {most - 2:,} most frequent of the words that occur at least {min_count} times "
        f"get a vector; for more, raise vocabulary_size (--set vocabulary_size={2 * most})"
    )
    return WordTokenizer.from_vocabulary(
        made.vocabulary[2:most], lowercase=made.lowercase, split=split
    )
