"""Where encoders come from: loaded from what others published or we saved, or pretrained here."""

import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from headstart.budget import Budget
from headstart.data.corpora import Corpus, as_corpus, read_corpus
from headstart.data.parallel import Pair, ParallelText, as_parallel
from headstart.data.unspaced import note_unspaced
from headstart.devices import check_threads, compute_device, reuse_freed_memory, torch_defaults
from headstart.errors import FormatError, SettingsError
from headstart.hub.bundle import (
    CONFIG,
    Pretrained,
    PretrainedWordVectors,
    Tokenizer,
    read_folder,
)
from headstart.hub.cove import PretrainedCove
from headstart.hub.cove_pretraining import check_cove, pretrain_cove, vector_width
from headstart.hub.elmo import load_original_elmo
from headstart.hub.elmo_pretraining import pretrain_elmo
from headstart.hub.foreign import cove as published_cove
from headstart.hub.foreign import huggingface
from headstart.hub.foreign.sentence_folders import transformer_folder
from headstart.hub.kinds import EPOCHS, KINDS, PRETRAINABLE, RUNS, by_method
from headstart.hub.pretraining import Plan, adapt_model, pretrain_model
from headstart.hub.published import load_published
from headstart.models.interface import device_of
from headstart.progress import SILENT, Progress
from headstart.storage import folder_lock, read_json
from headstart.tokenize.subwords import Kind, SubwordTokenizer
from headstart.tokenize.words import PAD, UNKNOWN, Split, WordTokenizer
from headstart.training.array_runs import SAVE_MINUTES
from headstart.training.checkpoints import open_run
from headstart.training.distributed import from_first, process_group, rank_and_size

WIDTHS = {"tiny": 25, "mini": 50, "small": 100, "medium": 200, "base": 300}
_MIN_COUNT, _MIN_COUNT_OF_PAIRS = 5, 2  # a rare word of a sentence pair has a translation, too
MINUTES = 20.0  # of a model, where no limit is given
_OF_VOCABULARIES = ("vocabulary_size", "lowercase")
_VECTORS = "vectors"  # in a run's folder
_VECTORS_SHARE = 0.25  # of CoVe's minutes, at most
_Ours = TypeVar("_Ours", SubwordTokenizer, WordTokenizer)


def load_encoder(
    source: str | Path,
    *,
    vectors: Pretrained | str | Path | None = None,
    vocabulary: Collection[str] | None = None,
    revision: str | None = None,
    local_files_only: bool = False,
    progress: Progress = SILENT,
) -> Pretrained:
    """Load an encoder: a folder of ours or of `transformers`, a file of vectors, or a hub id.

    BERT, RoBERTa, GPT-1 and GPT-2 become headstart's own models; any other encoder is used by way
    of `transformers`, the extra `hf`.

    Args:
        source: The folder, the file, or the id (`owner/name`) of a model on the Hugging Face hub.
        vectors: What the published CoVe's encoder reads, for `source` holds its LSTMs only: GloVe
            840B, or its file, of which `vocabulary` are read.
        vocabulary: Read only these words of a file; the rest of it is skipped.
        revision: Branch, tag or commit of a hub id; the main branch if None.
        local_files_only: Take from the hub's cache and ask nobody.
        progress: Where progress goes.

    Raises:
        FormatError: There is nothing there, or it is not what its format promises.
        SettingsError: `revision` is given with something that is no hub id, or `vocabulary` with
            a folder.
        NetworkError: The hub cannot be reached, or has no such model.
        MissingExtraError: The encoder needs `transformers`, and it is not installed.
    """
    reuse_freed_memory()
    path = Path(source)
    if vectors is not None or published_cove.is_state_dict(path):
        return _load_published_cove(path, vectors, vocabulary, progress)
    if huggingface.is_hub_id(source):
        path = huggingface.download(
            str(source), revision=revision, local_files_only=local_files_only, progress=progress
        )
        return _load_folder(path, {"source": str(source), "revision": path.name}, progress)
    if revision is not None:
        raise SettingsError(f"{source}: is no hub id, so that it has no revision {revision!r}")
    if path.is_dir():
        if vocabulary is not None:
            raise SettingsError(f"{path}: is a folder, which is read whole; leave vocabulary out")
        return _load_folder(path, {"source": path.name}, progress)
    if not path.exists():
        raise FormatError(
            f"{path}: no such file or folder"
            + ("; an id on the hub is owner/name" if path.name == str(source) else "")
        )
    from headstart.hub.foreign.vectors import read_vectors  # late: a third of a second, for numba

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
    words: list[str], matrix: NDArray[np.float32]
) -> tuple[list[str], NDArray[np.float32], NDArray[np.float32] | None]:
    """Take out the rows of padding and unknown words, where a file has them; return the latter."""
    special = {PAD, UNKNOWN}.intersection(words)
    if not special:
        return words, matrix, None
    kept = [row for row, word in enumerate(words) if word not in special]
    unknown = matrix[words.index(UNKNOWN)].copy() if UNKNOWN in special else None
    return [words[row] for row in kept], matrix[kept], unknown


def _load_published_cove(
    path: Path,
    vectors: Pretrained | str | Path | None,
    vocabulary: Collection[str] | None,
    progress: Progress,
) -> PretrainedCove:
    """Join the published LSTMs with the word vectors they read."""
    if vectors is None:
        raise SettingsError(
            f"{path}: holds the LSTMs of CoVe; give the word vectors that they read beside it: "
            f"load({path.name!r}, vectors='glove.840B.300d.txt')"
        )
    model = published_cove.read_mt_lstm(path)
    words = _word_vectors(vectors, vocabulary=vocabulary, progress=progress)
    return published_cove.with_vectors(model, words, path=path)


def _word_vectors(
    vectors: Pretrained | str | Path,
    *,
    vocabulary: Collection[str] | None = None,
    progress: Progress,
) -> PretrainedWordVectors:
    """Return word vectors as they are, or load them.

    Raises:
        SettingsError: There are others than word vectors.
    """
    loaded = (
        vectors
        if isinstance(vectors, Pretrained)
        else load_encoder(vectors, vocabulary=vocabulary, progress=progress)
    )
    if not isinstance(loaded, PretrainedWordVectors):
        raise SettingsError(f"vectors must be word vectors, and {loaded.name} are none")
    return loaded


def _load_folder(folder: Path, origin: Mapping[str, Any], progress: Progress) -> Pretrained:
    folder = transformer_folder(folder)
    if (folder / CONFIG).is_file() and huggingface.is_transformers(read_json(folder / CONFIG)):
        return load_published(folder, lineage=origin, progress=progress)
    if not (folder / CONFIG).exists():
        original = load_original_elmo(folder, origin, progress)
        if original is not None:
            return original
    config, tensors = read_folder(folder)
    kind = config["kind"]
    if kind not in KINDS:
        hint = "; load it with headstart.load" if kind == "classifier" else ""
        raise FormatError(f"{folder}: holds a {kind!r}, which is no encoder{hint}")
    about = {name: config.get(name) for name in ("kind", "config", "lineage")}
    for name in ("config", "lineage"):
        if not isinstance(about[name], dict):
            raise FormatError(f"{folder / CONFIG}: {name!r} is missing")
    return KINDS[kind].from_folder(folder, about, tensors)


@by_method
@torch_defaults()
def pretrain(  # noqa: PLR0913 - what a user may decide, each by its name
    method: str,
    corpus: str | Path | Iterable[str] | Iterable[Path] | Corpus | None = None,
    *,
    parallel: str | Path | Iterable[str | Path] | Iterable[Pair] | ParallelText | None = None,
    vectors: Pretrained | str | Path | None = None,
    text_column: str | None = None,
    size: str | None = None,
    epochs: float | None = None,
    minutes: float | None = None,
    tokens: int | None = None,
    steps: int | None = None,
    seed: int = 0,
    threads: int | None = None,
    device: str = "cpu",
    tokenizer: Tokenizer | str | Path | None = None,
    min_count: int | None = None,
    options: Mapping[str, Any] | None = None,
    run_folder: str | Path | None = None,
    save_minutes: float = SAVE_MINUTES,
    skip_bad_batches: int = 0,
    allow_drift: Sequence[str] = (),
    track: str | Path | None = None,
    progress: Progress = SILENT,
) -> Pretrained:
    """Pretrain an encoder on unlabelled text, or CoVe on parallel text.

    Args:
        method: `word2vec`, `glove`, `cove`, `elmo`, `gpt` or `bert`.
        corpus: A file, folder or glob, a list of such paths, or a list of documents.
        parallel: For CoVe, instead of `corpus`: two files of as many lines (source, target), a TSV
            of the two, or a list of pairs.
        vectors: For CoVe: the word vectors that it reads, or their file or folder; by default GloVe
            is trained on the source side first.
        text_column: The column of a table that holds the text.
        size: `tiny`, `mini`, `small`, `medium` or `base`: of word vectors 25, 50, 100, 200 or 300
            numbers a vector (`small` by default), of CoVe states of 128, 256, 400, 512 or 600
            (`mini` by default), of ELMo two layers of 256 to 4,096 cells (`mini`: 512), of models
            from 2 layers of 128 numbers to 12 of 768 (`mini` by default: 4 of 256).
        epochs: Passes over the corpus; of several limits, the first reached ends the training.
        minutes: Wall-clock minutes of training, for CoVe its word vectors', too; 20 by default for
            models and CoVe.
        tokens: Words, or pieces of words, read over all passes.
        steps: Updates of the weights, for models.
        seed: Decides everything random; with one thread the result is the same bit for bit, unless
            `minutes` end it.
        threads: How many to train with; all cores by default.
        device: Where a GPT or BERT is trained, and stays: `cpu`, `cuda` for a GPU, or `cuda:1` for
            the second one. Sums of a GPU vary in their last bits from run to run.
        tokenizer: `words` (of word vectors and ELMo the default), `whitespace` (text that is
            tokenized already), `bpe` (of GPT the default) or `wordpiece` (of BERT the default),
            learnt from the corpus; or a tokenizer that exists, or its `tokenizer.json`.
        min_count: Rarer words get no vector; 5 by default, and 2 for those that CoVe reads. It is
            for vocabularies made here, as are `vocabulary_size` and `lowercase`.
        options: More settings of the method, by the names of `SkipGram`, `GloVe`, `Translation`,
            `BidirectionalLm`, `MaskedLm` or `CausalLm`; and `vocabulary_size` (of CoVe its
            target's), for CoVe and models `dropout`, and for models `lowercase`.
        run_folder: Where checkpoints go, and a model's log; a run that was stopped goes on there.
        save_minutes: Minutes between checkpoints, besides those of a model's best validations.
        skip_bad_batches: How many batches are left out whose loss or gradient is not finite, at
            which the training stops otherwise, or whose loss is far above those before it; for
            CoVe and models.
        allow_drift: Which settings, such as `budget.minutes`, may differ from those of a run in
            `run_folder` that goes on, for CoVe and models; the lineage tells what did.
        track: A folder for TensorBoard's files, for models.
        progress: Where progress goes.

    Raises:
        SettingsError: A setting is impossible.
        DataError: The corpus cannot be read or holds too little.
        NonFiniteError: Training diverged.
        InterruptedRunError: It was stopped and can go on, from `run_folder`.
    """
    if method not in PRETRAINABLE:
        raise SettingsError(f"cannot pretrain {method!r}; there are {', '.join(PRETRAINABLE)}")
    check_threads(threads)
    place = compute_device(device)
    if place.type != "cpu" and not KINDS[method].computes_on_gpus:
        raise SettingsError(
            f"{method} is trained on the cpu alone; {place.type} is for gpt and bert"
        )
    limits = {"epochs": epochs, "minutes": minutes, "tokens": tokens, "steps": steps}
    model = method in RUNS
    _check_arguments(
        method,
        corpus=corpus,
        parallel=parallel,
        vectors=vectors,
        of_runs={
            "steps": steps,
            "track": track,
            "skip_bad_batches": skip_bad_batches or None,
            "allow_drift": allow_drift or None,
        },
    )
    _check_vocabulary(method, tokenizer, vectors, min_count=min_count, options=options or {})
    plan = Plan(
        budget=_budget(limits, {"minutes": MINUTES} if model else {"epochs": EPOCHS[method]}),
        seed=seed,
        threads=threads,
        device=place,
        options=options or {},
        run_folder=None if run_folder is None else Path(run_folder),
        save_minutes=save_minutes,
        skip_bad_batches=skip_bad_batches,
        allow_drift=allow_drift,
        track=None if track is None else Path(track),
        progress=progress,
    )
    if method == "cove" and parallel is not None:
        size, target = size or "mini", _target(tokenizer)
        check_cove(plan, size, target)
        pairs = as_parallel(parallel)
        for note in (*pairs.notes, *note_unspaced(pairs.sources)):
            progress.note(note)
        with process_group():
            if vectors is not None:
                words = _word_vectors(vectors, progress=progress)
            else:
                width, first = vector_width(size), rank_and_size()[0] == 0
                made = [_source_vectors(pairs, plan, width, min_count)] if first else []
                (words,) = from_first(made)  # no two trainings of GloVe need be alike
                plan = replace(plan, budget=_without(plan.budget, words.lineage["seconds"]))
            return pretrain_cove(pairs, words, plan, size=size, target=target)
    if corpus is None:
        raise SettingsError(f"{method} needs a corpus")
    text = as_corpus(corpus, text_column=text_column)
    by_words = isinstance(tokenizer, WordTokenizer) or tokenizer in (None, *get_args(Split))
    whole = method == "elmo" or (not model and by_words)
    for note in (*text.notes, *(note_unspaced(text.texts()) if whole else ())):
        progress.note(note)
    if method == "elmo":
        return pretrain_elmo(text, plan, size=size or "mini", tokenizer=_whole_words(tokenizer))
    if model:
        return pretrain_model(method, text, plan, size=size or "mini", tokenizer=_pieces(tokenizer))
    from headstart.hub.vector_pretraining import pretrain_vectors  # late: numba, as above

    return pretrain_vectors(
        method,
        text,
        plan,
        width=_width(size or "small"),
        tokenizer=tokenizer or "words",
        min_count=_MIN_COUNT if min_count is None else min_count,
    )


def _check_arguments(
    method: str,
    *,
    corpus: object,
    parallel: object,
    vectors: object,
    of_runs: Mapping[str, object],
) -> None:
    """Check that what is given is for this method."""
    if method == "cove" and (corpus is not None or parallel is None):
        raise SettingsError("cove learns from translations: give parallel, and no corpus")
    if method != "cove":
        for name, value in (("parallel", parallel), ("vectors", vectors)):
            if value is not None:
                raise SettingsError(f"{name} is for cove, not for {method}")
    if method not in RUNS:
        for name, value in of_runs.items():
            if value is not None:
                raise SettingsError(f"{name} is for {', '.join(RUNS)}, not for {method}")


def _check_vocabulary(
    method: str,
    tokenizer: object,
    vectors: object,
    *,
    min_count: int | None,
    options: Mapping[str, Any],
) -> None:
    """Check that nothing is asked of a vocabulary that is not made here."""
    asked = {name: options[name] for name in _OF_VOCABULARIES if name in options}
    if min_count is not None:
        if method in RUNS and method != "cove":
            raise SettingsError(f"min_count is for word2vec, glove, cove, not for {method}")
        if type(min_count) is not int or min_count < 1:
            raise SettingsError(f"min_count must be a whole number from 1, got {min_count!r}")
        if vectors is not None:
            raise SettingsError("min_count is for vectors trained here; leave it or vectors out")
        if method != "cove":
            asked["min_count"] = min_count
    learnt = tokenizer is None or tokenizer in (*get_args(Split), *get_args(Kind))
    if asked and not learnt:
        name = next(iter(asked))
        raise SettingsError(f"{name} is for a tokenizer learnt here; leave it or tokenizer out")


def _target(tokenizer: Tokenizer | str | Path | None) -> SubwordTokenizer | None:
    """Return what cuts CoVe's target sentences: byte pairs that exist, or None to learn them."""
    pieces = _pieces(tokenizer)
    if pieces in (None, "bpe"):
        return None
    if isinstance(pieces, SubwordTokenizer):
        return pieces
    raise SettingsError(f"CoVe writes byte pairs: bpe or a tokenizer.json, not {pieces!r}")


def _source_vectors(
    pairs: ParallelText, plan: Plan, width: int, min_count: int | None
) -> PretrainedWordVectors:
    """Return what CoVe reads where no vectors are given: GloVe of the source side.

    With several threads no two trainings of GloVe are alike: they are kept with the run, so that it
    can go on.

    Raises:
        SettingsError: Those that are kept are of another corpus, width, count or seed.
    """
    corpus = read_corpus(texts=pairs.sources)
    min_count = _MIN_COUNT_OF_PAIRS if min_count is None else min_count
    kept = run_folder = None
    if plan.run_folder is not None:
        kept, run_folder = plan.run_folder / _VECTORS, plan.run_folder / f"{_VECTORS}.run"
        what = {"corpus": corpus.fingerprint(), "width": width, "min_count": min_count}
        with folder_lock(run_folder):
            open_run(run_folder, {"vectors": {**what, "seed": plan.seed}})
        if kept.exists():
            return _word_vectors(kept, progress=plan.progress)
    from headstart.hub.vector_pretraining import pretrain_vectors  # late: numba, as above

    minutes = None if plan.budget.minutes is None else _VECTORS_SHARE * plan.budget.minutes
    fit = run_folder and run_folder / "fit"
    trained = pretrain_vectors(
        "glove",
        corpus,
        replace(
            plan,
            budget=Budget(epochs=EPOCHS["glove"], minutes=minutes),
            run_folder=fit,
            options={},
        ),
        width=width,
        tokenizer="words",
        min_count=min_count,
    )
    if kept is not None:
        trained.save(kept)
    if fit is not None:
        shutil.rmtree(fit, ignore_errors=True)
    return _word_vectors(trained, progress=plan.progress)


def _without(budget: Budget, seconds: float) -> Budget:
    """Take the seconds that went into word vectors off a budget, but never more than half of it."""
    if budget.minutes is None:
        return budget
    return replace(budget, minutes=max(budget.minutes - seconds / 60.0, budget.minutes / 2))


@torch_defaults()
def adapt(  # noqa: PLR0913 - what a user may decide, each by its name
    encoder: Pretrained | str | Path,
    corpus: str | Path | Iterable[str] | Iterable[Path] | Corpus,
    *,
    text_column: str | None = None,
    epochs: float | None = None,
    minutes: float | None = None,
    tokens: int | None = None,
    steps: int | None = None,
    seed: int = 0,
    threads: int | None = None,
    device: str | None = None,
    options: Mapping[str, Any] | None = None,
    run_folder: str | Path | None = None,
    save_minutes: float = SAVE_MINUTES,
    skip_bad_batches: int = 0,
    allow_drift: Sequence[str] = (),
    track: str | Path | None = None,
    progress: Progress = SILENT,
) -> Pretrained:
    """Go on pretraining a BERT or GPT, published or one's own, on the text of the task's domain.

    Gururangan et al., "Don't Stop Pretraining", ACL 2020 (https://arxiv.org/abs/2004.10964).

    Args:
        encoder: The encoder, its folder, or its id on the hub; it stays as it is.
        corpus: A file, folder or glob, a list of such paths, or a list of documents.
        text_column: The column of a table that holds the text.
        epochs: Passes over the corpus; of several limits, the first reached ends the training.
        minutes: Wall-clock minutes of training; 20 by default.
        tokens: Pieces of words read, over all passes.
        steps: Updates of the weights.
        seed: Decides everything random.
        threads: How many to train with; all cores by default.
        device: Where it is trained, and stays, as of `pretrain`; by default where the encoder is.
        options: More settings, by the names of `MaskedLm` or `CausalLm`.
        run_folder: Where checkpoints and log go; a run that was stopped goes on there.
        save_minutes: Minutes between checkpoints, besides those of the best validations.
        skip_bad_batches: How many batches are left out whose loss or gradient is not finite, at
            which the training stops otherwise, or whose loss is far above those before it.
        allow_drift: Which settings, such as `budget.minutes`, may differ from those of a run in
            `run_folder` that goes on; the lineage tells what did.
        track: A folder for TensorBoard's files.
        progress: Where progress goes.

    Raises:
        SettingsError: The encoder is neither BERT nor GPT, or a setting is impossible.
        DataError: The corpus cannot be read or holds too little.
        NonFiniteError: Training diverged.
        InterruptedRunError: It was stopped and can go on, from `run_folder`.
    """
    check_threads(threads)
    if not isinstance(encoder, Pretrained):
        encoder = load_encoder(encoder, progress=progress)
    if device is not None:
        encoder = encoder.to(device)
    limits = {"epochs": epochs, "minutes": minutes, "tokens": tokens, "steps": steps}
    text = as_corpus(corpus, text_column=text_column)
    for note in text.notes:
        progress.note(note)
    plan = Plan(
        budget=_budget(limits, {"minutes": MINUTES}),
        seed=seed,
        threads=threads,
        device=device_of(encoder.model),
        options=options or {},
        run_folder=None if run_folder is None else Path(run_folder),
        save_minutes=save_minutes,
        skip_bad_batches=skip_bad_batches,
        allow_drift=allow_drift,
        track=None if track is None else Path(track),
        progress=progress,
    )
    return adapt_model(encoder, text, plan)


def _budget(limits: Mapping[str, float | None], default: Mapping[str, float | None]) -> Budget:
    """Return the limits that are given, or the default where none is."""
    given: Mapping[str, Any] = {name: value for name, value in limits.items() if value is not None}
    return Budget(**(given or default))


def _width(size: str) -> int:
    if size not in WIDTHS:
        raise SettingsError(f"no size {size!r}; there are {', '.join(WIDTHS)}")
    return WIDTHS[size]


def _pieces(tokenizer: Tokenizer | str | Path | None) -> SubwordTokenizer | Kind | None:
    return _cutter(tokenizer, SubwordTokenizer, Kind, "a model reads pieces of words")


def _whole_words(tokenizer: Tokenizer | str | Path | None) -> WordTokenizer | Split | None:
    return _cutter(tokenizer, WordTokenizer, Split, "an ELMo reads whole words")


def _cutter(
    tokenizer: Tokenizer | str | Path | None, ours: type[_Ours], names: object, reads: str
) -> _Ours | Any:  # noqa: ANN401 - or one of the literals of `names`, or None
    """Return what cuts a model's texts: a tokenizer, the name of a way, or None."""
    ways = get_args(names)
    if tokenizer is None or isinstance(tokenizer, ours) or tokenizer in ways:
        return tokenizer
    if isinstance(tokenizer, str | Path) and Path(tokenizer).is_file():
        return ours.load(tokenizer)
    raise SettingsError(f"{reads}: {', '.join(ways)} or a tokenizer.json, not {tokenizer!r}")
