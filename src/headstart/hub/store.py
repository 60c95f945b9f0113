"""Get an encoder: load a published or saved one, or pretrain or adapt one here."""

import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from headstart.budget import Budget
from headstart.data.corpora import Corpus, as_corpus, read_corpus
from headstart.data.look_alikes import note_texts
from headstart.data.parallel import Pair, ParallelText, as_parallel
from headstart.data.unspaced import beginnings, note_unspaced
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
from headstart.settings import plain_arguments, whole_number
from headstart.storage import folder_lock, read_json
from headstart.tokenize.subwords import Kind, SubwordTokenizer
from headstart.tokenize.words import PAD, UNKNOWN, Split, WordTokenizer
from headstart.training.array_runs import SAVE_MINUTES
from headstart.training.checkpoints import open_run
from headstart.training.distributed import from_first, process_group, rank_and_size

WIDTHS = {"tiny": 25, "mini": 50, "small": 100, "medium": 200, "base": 300}
_MIN_COUNT, _MIN_COUNT_OF_PAIRS = 5, 2  # a rare source word has a translation to learn from
MINUTES = 20.0  # the default budget of CoVe, ELMo, GPT and BERT
_OF_VOCABULARIES = ("vocabulary_size", "lowercase")
_VECTORS = "vectors"  # subfolder of a run folder
_VECTORS_SHARE = 0.25  # at most this share of CoVe's minutes
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
    """Load an encoder from a folder, a word vector file, or the Hugging Face Hub.

    A folder may be one saved by headstart or one saved by `transformers`. BERT, RoBERTa, GPT-1 and
    GPT-2 become headstart's own models. Any other encoder runs through `transformers` (extra `hf`).

    Args:
        source: Folder, file, or id (`owner/name`) of a model on the Hugging Face Hub.
        vectors: Word vectors for the published CoVe, whose file `source` holds only its LSTMs:
            GloVe 840B, loaded or as a file. From a file, only the words in `vocabulary` are read.
        vocabulary: Read only these words from a word vector file and skip all others.
        revision: Branch, tag or commit of a Hub id; None means the main branch.
        local_files_only: Use only the local Hub cache; do not access the network.
        progress: Receives progress updates.

    Raises:
        FormatError: The source does not exist or does not follow its format.
        SettingsError: The source is neither a path nor an id, `revision` is given for a source that
            is not a Hub id, or `vocabulary` for a folder.
        NetworkError: The Hub cannot be reached or has no such model.
        MissingExtraError: The encoder needs `transformers` or `h5py`, which is not installed.
    """
    reuse_freed_memory()
    path = huggingface.as_path(source)
    if vectors is not None or published_cove.is_state_dict(path):
        return _load_published_cove(path, vectors, vocabulary, progress)
    if huggingface.is_hub_id(source):
        path = huggingface.download(
            str(source), revision=revision, local_files_only=local_files_only, progress=progress
        )
        return _load_folder(path, {"source": str(source), "revision": path.name}, progress)
    if revision is not None:
        raise SettingsError(f"{source}: not a Hub id; remove revision {revision!r}")
    if path.is_dir():
        if vocabulary is not None:
            raise SettingsError(f"{path}: a folder is always loaded whole; remove vocabulary")
        return _load_folder(path, {"source": path.name}, progress)
    if not path.exists():
        raise FormatError(
            f"{path}: no such file or folder"
            + (
                f", but an unfinished run in {run}; rerun its command to resume"
                if (run := path.with_name(f"{path.name}.run")).is_dir()
                else "; a Hub id has the form owner/name"
                if path.name == str(source)
                else ""
            )
        )
    from headstart.hub.foreign.vectors import read_vectors  # late: importing numba takes 0.3 s

    file = read_vectors(path, vocabulary=vocabulary, progress=progress)
    for note in file.notes:
        progress.note(note)
    if not file.words:
        raise FormatError(f"{path}: contains none of the {len(vocabulary or ())} requested words")
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
    """Remove the rows of padding and unknown words, if any; also return the unknown vector."""
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
    """Combine the published LSTMs with their input word vectors."""
    if vectors is None:
        raise SettingsError(
            f"{path}: contains the LSTMs of CoVe without their word vectors; pass them too: "
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
    """Load word vectors, or return them unchanged if they are already loaded.

    Raises:
        SettingsError: `vectors` is another kind of encoder.
    """
    loaded = (
        vectors
        if isinstance(vectors, Pretrained)
        else load_encoder(vectors, vocabulary=vocabulary, progress=progress)
    )
    if not isinstance(loaded, PretrainedWordVectors):
        raise SettingsError(f"vectors must be word vectors, got {loaded.name}")
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
        raise FormatError(f"{folder}: contains a {kind!r}, which is not an encoder{hint}")
    about = {name: config.get(name) for name in ("kind", "config", "lineage")}
    for name in ("config", "lineage"):
        if not isinstance(about[name], dict):
            raise FormatError(f"{folder / CONFIG}: {name!r} is missing")
    return KINDS[kind].from_folder(folder, about, tensors)


@by_method
@torch_defaults()
@plain_arguments
def pretrain(  # noqa: PLR0913 - one keyword per user setting
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
    """Pretrain an encoder on unlabeled text, or CoVe on parallel text.

    Training ends at the first limit reached among `epochs`, `minutes`, `tokens` and `steps`.
    Without a limit, word2vec trains for 5 epochs, GloVe for 25, and the others for 20 minutes.

    Args:
        method: `word2vec`, `glove`, `cove`, `elmo`, `gpt` or `bert`.
        corpus: A file, folder or glob, a list of such paths, or a list of documents.
        parallel: For CoVe, instead of `corpus`: a source and a target file with the same number of
            lines, a TSV file with both, or a list of sentence pairs.
        vectors: For CoVe: its input word vectors, loaded or as a file or folder. By default, GloVe
            is first trained on the source side.
        text_column: Name of the text column if the corpus is a table.
        size: `tiny`, `mini`, `small`, `medium` or `base`. Word vectors have 25, 50, 100, 200 or
            300 dimensions (default `small`). CoVe has hidden states of 128, 256, 400, 512 or 600
            (default `mini`). ELMo has two layers of 256 to 4,096 cells (default `mini`: 512). GPT
            and BERT range from 2 layers of width 128 to 12 of 768 (default `mini`: 4 of 256).
        epochs: Maximum number of epochs.
        minutes: Maximum wall-clock minutes of training, for CoVe including its word vectors.
        tokens: Maximum number of tokens (words or subwords) processed over all epochs.
        steps: Maximum number of weight updates; for CoVe, ELMo, GPT and BERT.
        seed: Seed of all randomness. With one thread, training is deterministic bit for bit,
            unless `minutes` ends it.
        threads: Number of training threads; all cores by default.
        device: Device that trains a GPT or BERT and keeps it afterwards: `cpu`, `cuda` for a GPU,
            or `cuda:1` for the second one. GPU sums vary in their last bits from run to run.
        tokenizer: A tokenizer to learn from the corpus: `words` (default for word vectors and
            ELMo), `whitespace` (for text that is already tokenized), `bpe` (default for GPT) or
            `wordpiece` (default for BERT). Or an existing tokenizer, or its `tokenizer.json`.
        min_count: Words that occur less often get no vector; 5 by default, 2 for CoVe's input
            vectors. Like `vocabulary_size` and `lowercase`, it applies only to a vocabulary that
            is learned here.
        options: Further settings of the method: the fields of `SkipGram`, `GloVe`, `Translation`,
            `BidirectionalLm`, `MaskedLm` or `CausalLm`; `vocabulary_size` (for CoVe, of the target
            side); `dropout` for CoVe, ELMo, GPT and BERT; `lowercase` for ELMo, GPT and BERT.
        run_folder: Folder for checkpoints and, except for word vectors, a log. A stopped run
            found there is resumed.
        save_minutes: Minutes between checkpoints. Except for word vectors, each best validation
            also writes one.
        skip_bad_batches: Number of batches that may be skipped because their loss or gradient is
            not finite (which otherwise stops training) or their loss is far above the previous
            ones; for CoVe, ELMo, GPT and BERT.
        allow_drift: Settings, such as `budget.minutes`, that may differ from those of the run being
            resumed in `run_folder`; for CoVe, ELMo, GPT and BERT. The lineage records the changes.
        track: Folder for TensorBoard files; for CoVe, ELMo, GPT and BERT.
        progress: Receives progress updates.

    Returns:
        The pretrained encoder.

    Raises:
        SettingsError: A setting is invalid.
        DataError: The corpus cannot be read or is too small.
        NonFiniteError: Training diverged.
        InterruptedRunError: Training was stopped; the same call resumes it from `run_folder`.
    """
    if method not in PRETRAINABLE:
        raise SettingsError(f"cannot pretrain {method!r}; choose from {', '.join(PRETRAINABLE)}")
    check_threads(threads)
    seed = whole_number("seed", seed)
    place = compute_device(device)
    if place.type != "cpu" and not KINDS[method].computes_on_gpus:
        raise SettingsError(
            f"{method} can only be trained on the cpu; {place.type} is for gpt and bert"
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
        for note in (*pairs.notes, *_notes(pairs.sources, words=True)):
            progress.note(note)
        with process_group():
            if vectors is not None:
                words = _word_vectors(vectors, progress=progress)
            else:
                width, first = vector_width(size), rank_and_size()[0] == 0
                made = [_source_vectors(pairs, plan, width, min_count)] if first else []
                (words,) = from_first(made)  # GloVe is not deterministic with several threads
                plan = replace(plan, budget=_without(plan.budget, words.lineage["seconds"]))
            return pretrain_cove(pairs, words, plan, size=size, target=target)
    if corpus is None:
        raise SettingsError(f"{method} needs a corpus; add corpus (--corpus)")
    text = as_corpus(corpus, text_column=text_column)
    by_words = isinstance(tokenizer, WordTokenizer) or tokenizer in (None, *get_args(Split))
    whole = method == "elmo" or (not model and by_words)
    for note in (*text.notes, *_notes(text.texts(), words=whole)):
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
    """Check that every argument given applies to this method."""
    if method == "cove" and (corpus is not None or parallel is None):
        raise SettingsError("cove learns from translations; pass parallel instead of a corpus")
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
    """Check that vocabulary settings are given only if a vocabulary is learned here."""
    asked = {name: options[name] for name in _OF_VOCABULARIES if name in options}
    if min_count is not None:
        if method in RUNS and method != "cove":
            raise SettingsError(f"min_count is for word2vec, glove, cove, not for {method}")
        if type(min_count) is not int or min_count < 1:
            raise SettingsError(f"min_count must be a whole number from 1, got {min_count!r}")
        if vectors is not None:
            raise SettingsError("min_count is for vectors trained here; remove it or vectors")
        if method != "cove":
            asked["min_count"] = min_count
    learnt = tokenizer is None or tokenizer in (*get_args(Split), *get_args(Kind))
    if asked and not learnt:
        name = next(iter(asked))
        raise SettingsError(f"{name} is for a tokenizer learned here; remove it or tokenizer")


def _target(tokenizer: Tokenizer | str | Path | None) -> SubwordTokenizer | None:
    """Return the BPE tokenizer of CoVe's target sentences, or None to learn one."""
    pieces = _pieces(tokenizer)
    if pieces in (None, "bpe"):
        return None
    if isinstance(pieces, SubwordTokenizer):
        return pieces
    raise SettingsError(
        f"tokenizer of CoVe's target must be bpe or a tokenizer.json, got {pieces!r}"
    )


def _source_vectors(
    pairs: ParallelText, plan: Plan, width: int, min_count: int | None
) -> PretrainedWordVectors:
    """Train GloVe on the source side, as CoVe's input vectors.

    With several threads GloVe is not deterministic, so the vectors are kept in the run folder for
    a run that is resumed.

    Raises:
        SettingsError: The kept vectors belong to another corpus, width, `min_count` or seed.
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
    """Subtract the seconds spent on word vectors from a budget, but at most half of it."""
    if budget.minutes is None:
        return budget
    return replace(budget, minutes=max(budget.minutes - seconds / 60.0, budget.minutes / 2))


@torch_defaults()
@plain_arguments
def adapt(  # noqa: PLR0913 - one keyword per user setting
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
    """Continue pretraining a BERT or GPT on text from your domain.

    See Gururangan et al., "Don't Stop Pretraining", ACL 2020 (https://arxiv.org/abs/2004.10964).
    Training ends at the first limit reached among `epochs`, `minutes`, `tokens` and `steps`;
    without a limit, after 20 minutes.

    Args:
        encoder: The encoder, its folder, or its Hub id. It is not changed.
        corpus: A file, folder or glob, a list of such paths, or a list of documents.
        text_column: Name of the text column if the corpus is a table.
        epochs: Maximum number of epochs.
        minutes: Maximum wall-clock minutes of training.
        tokens: Maximum number of subwords processed over all epochs.
        steps: Maximum number of weight updates.
        seed: Seed of all randomness.
        threads: Number of training threads; all cores by default.
        device: Device that trains the model and keeps it afterwards, as in `pretrain`; by default
            the encoder's device.
        options: Further settings: the fields of `MaskedLm` or `CausalLm`.
        run_folder: Folder for checkpoints and the log. A stopped run found there is resumed.
        save_minutes: Minutes between checkpoints. Each best validation also writes one.
        skip_bad_batches: Number of batches that may be skipped because their loss or gradient is
            not finite (which otherwise stops training) or their loss is far above the previous
            ones.
        allow_drift: Settings, such as `budget.minutes`, that may differ from those of the run being
            resumed in `run_folder`. The lineage records the changes.
        track: Folder for TensorBoard files.
        progress: Receives progress updates.

    Returns:
        The adapted encoder.

    Raises:
        SettingsError: The encoder is neither BERT nor GPT, or a setting is invalid.
        DataError: The corpus cannot be read or is too small.
        NonFiniteError: Training diverged.
        InterruptedRunError: Training was stopped; the same call resumes it from `run_folder`.
    """
    check_threads(threads)
    seed = whole_number("seed", seed)
    if not isinstance(encoder, Pretrained):
        encoder = load_encoder(encoder, progress=progress)
    if device is not None:
        encoder = encoder.to(device)
    limits = {"epochs": epochs, "minutes": minutes, "tokens": tokens, "steps": steps}
    text = as_corpus(corpus, text_column=text_column)
    for note in (*text.notes, *_notes(text.texts(), words=False)):
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


def _notes(texts: Iterable[str], *, words: bool) -> list[str]:
    some = list(beginnings(texts))
    return note_texts(some, of="corpus's first documents") + (note_unspaced(some) if words else [])


def _budget(limits: Mapping[str, float | None], default: Mapping[str, float | None]) -> Budget:
    """Return a budget of the limits given, or of the default if there are none."""
    given: Mapping[str, Any] = {name: value for name, value in limits.items() if value is not None}
    return Budget(**(given or default))


def _width(size: str) -> int:
    if size not in WIDTHS:
        raise SettingsError(f"unknown size {size!r}; choose from {', '.join(WIDTHS)}")
    return WIDTHS[size]


def _pieces(tokenizer: Tokenizer | str | Path | None) -> SubwordTokenizer | Kind | None:
    return _cutter(tokenizer, SubwordTokenizer, Kind, "tokenizer of a model must be")


def _whole_words(tokenizer: Tokenizer | str | Path | None) -> WordTokenizer | Split | None:
    return _cutter(tokenizer, WordTokenizer, Split, "tokenizer of an ELMo must be")


def _cutter(
    tokenizer: Tokenizer | str | Path | None, ours: type[_Ours], names: object, reads: str
) -> _Ours | Any:  # noqa: ANN401 - or one of the literals of `names`, or None
    """Return a model's tokenizer, the name of a kind to learn, or None."""
    ways = get_args(names)
    if tokenizer is None or isinstance(tokenizer, ours) or tokenizer in ways:
        return tokenizer
    if isinstance(tokenizer, str | Path) and Path(tokenizer).is_file():
        return ours.load(tokenizer)
    raise SettingsError(f"{reads} {', '.join(ways)} or a tokenizer.json, got {tokenizer!r}")
