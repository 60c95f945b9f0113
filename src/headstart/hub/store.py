"""Where encoders come from: loaded from what others published or we saved, or pretrained here."""

import tempfile
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
from numpy.typing import NDArray

from headstart.budget import Budget
from headstart.data.corpora import Corpus, as_corpus
from headstart.devices import available_cores
from headstart.errors import FormatError, SettingsError
from headstart.hub.bundle import (
    CONFIG,
    TOKENIZER,
    WEIGHTS,
    Pretrained,
    PretrainedWordVectors,
    Tokenizer,
    read_folder,
    read_word_tokenizer,
)
from headstart.hub.foreign.text_rows import Matrix
from headstart.hub.foreign.vectors import read_vectors
from headstart.hub.kinds import KINDS, PRETRAINABLE
from headstart.models.word_vectors import WordVectors
from headstart.pretrain import glove, skip_gram
from headstart.progress import SILENT, Progress
from headstart.settings import suggestion
from headstart.storage import cache_folder, disk_errors
from headstart.tokenize.encoded import encode_corpus
from headstart.tokenize.subwords import Kind, SubwordTokenizer
from headstart.tokenize.words import PAD, UNKNOWN, Split, WordTokenizer

WIDTHS = {"tiny": 25, "mini": 50, "small": 100, "medium": 200, "base": 300}
EPOCHS = {"word2vec": 5, "glove": 25}
_OBJECTIVES = {"word2vec": skip_gram, "glove": glove}


def load_encoder(
    source: str | Path,
    *,
    vocabulary: Collection[str] | None = None,
    progress: Progress = SILENT,
) -> Pretrained:
    """Load an encoder: a folder of ours, or a file of published vectors in any usual format.

    Args:
        source: The folder or file.
        vocabulary: Read only these words of a file; the rest of it is skipped.
        progress: Where progress goes.

    Raises:
        FormatError: There is nothing there, or it is not what its format promises.
    """
    path = Path(source)
    if path.is_dir():
        return _load_folder(path)
    if not path.exists():
        raise FormatError(f"{path}: no such file or folder")
    file = read_vectors(path, vocabulary=vocabulary, progress=progress)
    for note in file.notes:
        progress.note(note)
    if not file.words:
        raise FormatError(f"{path}: holds none of the {len(vocabulary or ())} words asked for")
    lineage: dict[str, Any] = {
        "source": path.name,
        "format": file.format,
        "notes": list(file.notes),
    }
    if vocabulary is not None:
        lineage |= {"coverage": file.coverage, "missing": len(file.missing)}
    kind = "glove" if file.format == "GloVe text" else "vectors"
    words, matrix, unknown = _without_specials(file.words, file.matrix)
    return PretrainedWordVectors.from_words(
        kind,
        words,
        matrix,
        config={"vocabulary": len(words), "width": matrix.shape[1]},
        lineage=lineage,
        unknown=unknown,
        consume=True,
    )


def _without_specials(
    words: list[str], matrix: Matrix
) -> tuple[list[str], Matrix, NDArray[np.float32] | None]:
    """Take out the rows of padding and unknown words, where a file has them; return the latter."""
    special = {PAD, UNKNOWN}.intersection(words)
    if not special:
        return words, matrix, None
    kept = [row for row, word in enumerate(words) if word not in special]
    unknown = matrix[words.index(UNKNOWN)].copy() if UNKNOWN in special else None
    return [words[row] for row in kept], matrix[kept], unknown


def _load_folder(folder: Path) -> Pretrained:
    config, tensors = read_folder(folder)
    kind = config["kind"]
    if kind not in KINDS:
        hint = "; load it with headstart.load" if kind == "classifier" else ""
        raise FormatError(f"{folder}: holds a {kind!r}, which is no encoder{hint}")
    try:
        model = WordVectors.from_matrix(tensors["embedding.weight"])
    except (KeyError, SettingsError) as error:
        raise FormatError(f"{folder / WEIGHTS}: holds no word vectors: {error}") from None
    about: dict[str, Any] = {name: config.get(name) for name in ("config", "lineage")}
    for name, value in about.items():
        if not isinstance(value, dict):
            raise FormatError(f"{folder / CONFIG}: {name!r} is missing")
    tokenizer = read_word_tokenizer(folder / TOKENIZER)
    if len(tokenizer.vocabulary) != len(model.embedding.weight):
        raise FormatError(
            f"{folder}: {len(tokenizer.vocabulary):,} words but "
            f"{len(model.embedding.weight):,} vectors"
        )
    return KINDS[kind](kind, model, tokenizer, **about)


def pretrain(  # noqa: PLR0913 - what a user may decide, each by its name
    method: str,
    corpus: str | Path | Sequence[str] | Sequence[Path] | Corpus,
    *,
    text_column: str | None = None,
    size: str = "small",
    epochs: float | None = None,
    minutes: float | None = None,
    tokens: int | None = None,
    seed: int = 0,
    threads: int | None = None,
    tokenizer: Tokenizer | str | Path = "words",
    min_count: int = 5,
    options: Mapping[str, Any] | None = None,
    progress: Progress = SILENT,
) -> Pretrained:
    """Pretrain an encoder on unlabelled text.

    Args:
        method: `word2vec` or `glove`.
        corpus: A file, folder or glob, a list of such paths, or a list of documents.
        text_column: The column of a table that holds the text.
        size: `tiny` 25, `mini` 50, `small` 100, `medium` 200 or `base` 300 numbers a vector.
        epochs: Passes over the corpus; with `minutes` or `tokens` too, the first reached ends it.
        minutes: Wall-clock minutes of training.
        tokens: Words read, over all passes.
        seed: Decides everything random; with one thread the result is the same bit for bit, unless
            `minutes` end it.
        threads: How many to train with; all cores by default.
        tokenizer: `words`, `whitespace` (text that is tokenized already), `bpe` or `wordpiece`,
            learnt from the corpus; or a tokenizer that exists, or its `tokenizer.json`.
        min_count: Rarer words get no vector.
        options: More settings of the method, by the names of `SkipGram` or `GloVe`.
        progress: Where progress goes.

    Raises:
        SettingsError: A setting is impossible.
        DataError: The corpus cannot be read or holds too little.
        NonFiniteError: Training diverged.
    """
    if method not in PRETRAINABLE:
        raise SettingsError(f"cannot pretrain {method!r}; there are {', '.join(PRETRAINABLE)}")
    if size not in WIDTHS:
        raise SettingsError(f"no size {size!r}; there are {', '.join(WIDTHS)}")
    if epochs is None and minutes is None and tokens is None:
        epochs = EPOCHS[method]
    budget = Budget(epochs=epochs, minutes=minutes, tokens=tokens)
    threads = available_cores() if threads is None else threads
    if threads < 1:
        raise SettingsError(f"threads must be 1 or more, got {threads}")
    config = _configure(method, {"dim": WIDTHS[size], **(options or {})})
    text = as_corpus(corpus, text_column=text_column)
    for note in text.notes:
        progress.note(note)
    started = time.perf_counter()
    if isinstance(tokenizer, str | Path):
        tokenizer = _make_tokenizer(str(tokenizer), text, min_count, progress)
    with disk_errors(cache_folder()):
        cache_folder().mkdir(parents=True, exist_ok=True)
        working = tempfile.TemporaryDirectory(prefix="corpus-", dir=cache_folder())
    with working as folder:
        encoded = encode_corpus(text.texts(), tokenizer, Path(folder), progress=progress)
        result = _OBJECTIVES[method].train(
            encoded, config, budget=budget, seed=seed, threads=threads, progress=progress
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
            "seed": seed,
            "threads": threads,
            "seconds": time.perf_counter() - started,
            **result.report,
        },
    )


def _configure(method: str, settings: Mapping[str, Any]) -> skip_gram.SkipGram | glove.GloVe:
    kind = skip_gram.SkipGram if method == "word2vec" else glove.GloVe
    known = {field.name for field in fields(kind)}
    if unknown := sorted(set(settings) - known):
        raise SettingsError(
            f"{method} has no setting {unknown[0]!r}{suggestion(unknown[0], known)}"
        )
    return kind(**settings)


def _make_tokenizer(kind: str, text: Corpus, min_count: int, progress: Progress) -> Tokenizer:
    """Learn a tokenizer of this kind from the text, or read the file that it names."""
    if kind in get_args(Split):
        return WordTokenizer.train(
            text.texts(), min_count=min_count, split=cast("Split", kind), progress=progress
        )
    if kind in get_args(Kind):
        return SubwordTokenizer.train(
            text.texts(), kind=cast("Kind", kind), min_count=min_count, progress=progress
        )
    if Path(kind).is_file():
        return read_word_tokenizer(Path(kind))
    raise SettingsError(
        f"tokenizer must be words, whitespace, bpe, wordpiece or a tokenizer.json, not {kind!r}"
    )
