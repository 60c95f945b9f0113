"""The encoders of a comparison: loaded, or pretrained or adapted once on its corpus."""

import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from headstart import __version__
from headstart.compare.contestants import WORD_VECTORS, Contestant
from headstart.data.corpora import Corpus
from headstart.data.parallel import ParallelText
from headstart.errors import DataError, SettingsError
from headstart.hub.bundle import Pretrained, PretrainedWordVectors
from headstart.hub.store import adapt, load_encoder, pretrain
from headstart.progress import Progress
from headstart.storage import cache_folder, fingerprint, folder_lock

PRETRAIN_EPOCHS = {"word2vec": 30, "glove": 50}
MIN_COUNT = 3  # a task's corpus is small
_CODE = 6  # increase it when the same corpus and limits would give another encoder


@dataclass(frozen=True)
class Encoders:
    """The encoders of a comparison, by the names that its methods use.

    Attributes:
        folders: The folder of each encoder.
        loaded: Each encoder, loaded from its folder.
        notes: Decisions that were made on the way, one sentence each.
    """

    folders: dict[str, Path] = field(default_factory=dict)
    loaded: dict[str, Pretrained] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def num_pretrained(contestants: Sequence[Contestant]) -> int:
    """Return how many models are pretrained or adapted here, not counting word vectors."""
    return len(_pretrained_here(contestants))


def _pretrained_here(contestants: Sequence[Contestant]) -> set[str]:
    found = set()
    for one in contestants:
        if one.is_adapted:
            found.add(one.encoder)
        if one.base and not one.source and one.base not in WORD_VECTORS:
            found.add(one.base)
    return found


def notes_of_unread(contestants: Sequence[Contestant], settings: Mapping[str, Any]) -> list[str]:
    """Return a note for each given pretraining setting that no method uses."""
    here = [one for one in contestants if one.base and not one.source]
    readers = {
        "pretrain_minutes": [*here, *(one for one in contestants if one.is_adapted)],
        "pretrain_size": [one for one in here if one.base not in WORD_VECTORS],
        "parallel": [one for one in here if _is_cove(one)],
    }
    use = {
        "pretrain_minutes": "pretrains or adapts an encoder",
        "pretrain_size": "pretrains CoVe, ELMo, BERT or GPT",
        "parallel": "pretrains CoVe",
    }
    return [
        f"{name} has no effect: no method in this comparison {use[name]}"
        for name, reads in readers.items()
        if settings.get(name) is not None and not reads
    ]


def make_encoders(
    contestants: Sequence[Contestant],
    corpus: Corpus,
    parallel: ParallelText | None = None,
    *,
    minutes: float,
    size: str,
    progress: Progress,
) -> Encoders:
    """Return every encoder and its folder; pretrained encoders are cached for all later calls.

    Args:
        contestants: The methods that use them.
        corpus: The corpus to pretrain and adapt on.
        parallel: The translations that CoVe learns from.
        minutes: The limit for each pretraining and each adaptation; infinite only if nothing but
            word vectors is pretrained, because these end after their epochs.
        size: The size of CoVe, ELMo, BERT and GPT, if they are pretrained here.
        progress: Where progress is reported.

    Raises:
        SettingsError: An encoder does not fit its transfer, or there are no translations for CoVe.
        InterruptedRunError: Pretraining was stopped; the same call resumes it.
    """
    if parallel is None and any(map(_is_cove, contestants)):
        raise SettingsError(
            "cove: no translations to learn from; give them with --parallel (two aligned files or "
            "a TSV, the language of the texts first), or load an existing CoVe with cove=FOLDER"
        )
    made = Encoders()
    text = _Text(corpus, parallel)
    for one in sorted(contestants, key=_is_cove):  # CoVe last: it uses GloVe's vectors, if any
        if not one.encoder:
            continue
        if one.base not in made.loaded:
            _add(made, one, text, minutes, size, progress)
        one.check(made.loaded[one.base])
        if one.is_adapted and one.encoder not in made.loaded:
            _add_adapted(made, one, corpus, minutes, progress)
    return made


@dataclass(frozen=True)
class _Text:
    """The text that encoders are pretrained on."""

    corpus: Corpus
    parallel: ParallelText | None


def _is_cove(one: Contestant) -> bool:
    return one.base == "cove" and not one.source


def _add(
    made: Encoders,
    one: Contestant,
    text: _Text,
    minutes: float,
    size: str,
    progress: Progress,
) -> None:
    """Load the encoder from its source, or pretrain it."""
    name = one.base
    if one.source:
        encoder = load_encoder(one.source, progress=progress)
        folder = Path(one.source)
        if not folder.is_dir():  # every worker process loads a folder faster
            folder = _kept(f"{encoder.kind}-{encoder.identity}")
            with _made_once(folder) as missing:
                if missing:
                    encoder.save(folder)
        made.folders[name], made.loaded[name] = folder, encoder
        return
    if name == "cove" and text.parallel is not None:
        _add_cove(made, text.parallel, minutes, size, progress)
        return
    corpus = text.corpus
    limits: dict[str, Any] = {"minutes": None if math.isinf(minutes) else minutes}
    if name in WORD_VECTORS:
        limits |= {"epochs": PRETRAIN_EPOCHS[name], "min_count": MIN_COUNT}
    else:
        limits |= {"size": size}
    key = fingerprint(_CODE, corpus.fingerprint(), limits, __version__)
    make, what = partial(pretrain, name, corpus, **limits), f"pretraining {name} on the corpus"
    try:
        _make(made, name, _kept(f"{name}-{key}"), make, progress, what=what)
    except DataError as error:
        raise DataError(
            f"{name} cannot be pretrained on {corpus.description}: {error}; or compare "
            "methods without it (--methods)"
        ) from None


def _add_cove(
    made: Encoders, parallel: ParallelText, minutes: float, size: str, progress: Progress
) -> None:
    """Pretrain CoVe on parallel text, with the word vectors that are named `glove` here."""
    glove = made.loaded.get("glove")
    vectors = glove if isinstance(glove, PretrainedWordVectors) else None
    read = None if vectors is None else vectors.fingerprint
    limits: dict[str, Any] = {"minutes": minutes, "size": size}
    key = fingerprint(_CODE, parallel.fingerprint(), read, limits, __version__)
    make = partial(pretrain, "cove", parallel=parallel, vectors=vectors, **limits)
    what = f"pretraining cove on {len(parallel):,} translations"
    _make(made, "cove", _kept(f"cove-{key}"), make, progress, what=what)


def _add_adapted(
    made: Encoders, one: Contestant, corpus: Corpus, minutes: float, progress: Progress
) -> None:
    """Continue the encoder's pretraining on the corpus."""
    before = made.loaded[one.base]
    limits: dict[str, Any] = {"minutes": minutes}
    key = fingerprint(_CODE, before.identity, corpus.fingerprint(), limits, __version__)
    folder, make = _kept(f"{before.kind}-adapted-{key}"), partial(adapt, before, corpus, **limits)
    _make(made, one.encoder, folder, make, progress, what=f"adapting {one.base} to the corpus")


def _make(
    made: Encoders,
    name: str,
    folder: Path,
    make: Callable[..., Pretrained],
    progress: Progress,
    *,
    what: str,
) -> None:
    """Make the encoder unless it is cached; a stopped run is resumed the next time.

    `make` takes `options`, a `run_folder` and `progress`, as `pretrain` and `adapt` do.
    """
    with progress.stage(what), _made_once(folder) as missing:
        if missing:
            run = folder.with_name(f"{folder.name}.run")
            try:
                encoder = make(options={}, run_folder=run, progress=progress)
            except DataError as error:  # NSP needs a second sentence and a second document
                if name != "bert":
                    raise
                run = folder.with_name(f"{folder.name}.run-without-nsp")
                try:
                    encoder = make(options={"nsp": False}, run_folder=run, progress=progress)
                except DataError:
                    raise error from None
            encoder.save(folder)
            for leftover in folder.parent.glob(f"{folder.name}.run*"):
                shutil.rmtree(leftover, ignore_errors=True)
    encoder = load_encoder(folder)
    if encoder.config.get("nsp") is False:  # an adapted encoder does not record it
        made.notes.append(
            f"{name} was pretrained without next-sentence prediction: the corpus has too few "
            "documents with several sentences."
        )
    made.folders[name], made.loaded[name] = folder, encoder


def _kept(name: str) -> Path:
    return cache_folder() / "encoders" / name


@contextmanager
def _made_once(folder: Path) -> Iterator[bool]:
    """Yield whether the folder must be made; other processes that need it wait."""
    if folder.exists():
        yield False
        return
    with folder_lock(cache_folder() / "locks" / folder.name, wait=True):
        yield not folder.exists()
