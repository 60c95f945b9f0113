"""Estimate what a pretraining run will need and reach, before it starts.

Time and memory are measured: a real run is timed for some seconds on this machine, and the result
is extrapolated to the whole text. The held-out loss comes from a scaling law fitted on headstart's
own runs.
"""

import heapq
import importlib.metadata
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from headstart.budget import Budget
from headstart.data.corpora import Corpus, as_corpus
from headstart.data.parallel import Pair, ParallelText, as_parallel
from headstart.devices import available_cores, check_threads, compute_device, torch_defaults
from headstart.errors import SettingsError
from headstart.hub.estimates import Course, Estimate
from headstart.hub.kinds import EPOCHS, PRETRAINABLE, RUNS
from headstart.hub.scaling import LAWS, TOKENS_A_PARAMETER, ScalingLaw
from headstart.hub.speed import Speed, measure
from headstart.hub.store import MINUTES
from headstart.progress import SILENT, Advance, Progress
from headstart.seeds import generator
from headstart.settings import plain_arguments
from headstart.storage import cache_folder, fingerprint, read_json, write_json

_SAMPLE = 8_000_000  # characters to time; a longer text is sampled across all of its documents
_SAMPLE_OF_WORDS = 32_000_000  # for word vectors, whose speed depends on the vocabulary size
_VALIDATIONS, _MOST_ASIDE = 20, 0.1  # as in runs: how many, and at most this share of the minutes
_HELD_OUT, _MOST_HELD_OUT = 0.02, 50_000  # as in `tokenize.documents`
_CHECKPOINTS = 4  # the newest two, the best, and one that is being written
_BYTES_A_TOKEN = 4  # of the tokenized corpus
_BYTES_A_PARAMETER = {"word2vec": 16, "glove": 24}  # weights, sums of squares, and the result
_MANY_EPOCHS = 4  # Muennighoff et al. 2023, https://arxiv.org/abs/2305.16264
_BUSY = 0.15  # more cores than this used by other processes make a timing unreliable
_SIZES = {"word2vec": "small", "glove": "small"}  # defaults; mini for all others

_OF_TEXT = ("epochs", "minutes")  # limits that need a text
_MADE_UP = 3000  # documents of 300 words
_CODE = 4  # increase when timings change for the same request: they are cached

_Text = TypeVar("_Text", str, Pair)


@torch_defaults()
@plain_arguments
def plan(  # noqa: PLR0913 - one keyword per user setting
    method: str,
    corpus: str | Path | Iterable[str] | Iterable[Path] | Corpus | None = None,
    *,
    parallel: str | Path | Iterable[str | Path] | Iterable[Pair] | ParallelText | None = None,
    size: str | None = None,
    epochs: float | None = None,
    tokens: int | None = None,
    minutes: float | None = None,
    threads: int | None = None,
    device: str = "cpu",
    options: Mapping[str, Any] | None = None,
    text_column: str | None = None,
    progress: Progress = SILENT,
) -> Estimate:
    """Estimate the time, memory, disk space and loss of a pretraining run on this machine.

    The arguments are those of `pretrain`. The same model is trained on the same kind of batches
    for some seconds; the timing is cached for this machine and text. Without a corpus, given only
    `tokens`, synthetic text is used instead.

    Args:
        method: `word2vec`, `glove`, `cove`, `elmo`, `gpt` or `bert`.
        corpus: A file, folder or glob, a list of such paths, or a list of documents.
        parallel: For CoVe, instead of `corpus`; as in `pretrain`.
        size: `tiny`, `mini`, `small`, `medium` or `base`; default `small` for word vectors and
            `mini` for all others.
        epochs: Planned number of epochs.
        tokens: Planned number of tokens; required without a corpus.
        minutes: Planned wall-clock minutes; for CoVe, ELMo, GPT and BERT 20 by default, as in
            `pretrain`.
        threads: Number of training threads; all cores by default.
        device: Device that trains the model: `cpu`, `cuda` for a GPU, or `cuda:1` for the second.
        options: Further settings of the method, as in `pretrain`.
        text_column: Name of the text column if the corpus is a table.
        progress: Receives progress updates.

    Returns:
        The estimate, with one row (`Course`) for each possible length of the run.

    Raises:
        SettingsError: A setting is invalid, or neither a corpus nor a number of tokens is given.
        DataError: The corpus cannot be read or is too small.
    """
    if method not in PRETRAINABLE:
        raise SettingsError(f"cannot pretrain {method!r}; choose from {', '.join(PRETRAINABLE)}")
    limits: dict[str, Any] = {"epochs": epochs, "tokens": tokens, "minutes": minutes}
    if any(value is not None for value in limits.values()):
        Budget(**limits)
    check_threads(threads)
    settings: dict[str, Any] = {
        "size": size or _SIZES.get(method, "mini"),
        "threads": threads or available_cores(),
        "device": str(compute_device(device)),
        "options": dict(options or {}),
    }
    text: Corpus | ParallelText | None = None
    if method == "cove" and parallel is not None:
        text = as_parallel(parallel)
    elif method != "cove" and corpus is not None:
        text = as_corpus(corpus, text_column=text_column)
    given = corpus is not None or parallel is not None or epochs is not None
    if text is None and (given or tokens is None):
        raise SettingsError(_missing(method, [name for name in _OF_TEXT if limits[name]]))
    timed, times = _timed(method, text, settings, progress)
    speed = _carried_on(method, timed, times)
    law = None if options else LAWS.get(method)
    epoch = None if text is None else speed.tokens_per_epoch
    courses = []
    for name, wanted in _wanted(method, speed.parameters, epoch, **limits):
        count = _tokens_within(speed, minutes or MINUTES) if wanted is None else wanted
        seconds = 60 * (minutes or MINUTES) if wanted is None else _seconds(speed, count)
        courses.append(
            Course(
                name=name,
                tokens=count,
                epochs=None if epoch is None else count / epoch,
                hours=(speed.preparation_seconds + seconds) / 3600,
                loss=law.loss(speed.parameters, count) if law and count else None,
                beyond=bool(law and count and not law.covers(speed.parameters, count)),
            )
        )
    return Estimate(
        method=method,
        size=settings["size"],
        threads=settings["threads"],
        speed=timed,
        tokens_per_second=speed.tokens_per_second,
        tokens_per_epoch=epoch,
        parameters=speed.parameters,
        preparation_seconds=speed.preparation_seconds,
        memory_bytes=speed.memory_bytes,
        gpu_bytes=speed.gpu_bytes,
        disk_bytes=_CHECKPOINTS * speed.checkpoint_bytes + _BYTES_A_TOKEN * (epoch or 0),
        encoder_bytes=4 * speed.parameters,
        loss_of=None if law is None else law.what,
        courses=tuple(courses),
        whole=text is not None and times == 1,
        notes=tuple(_notes(method, timed, text, times, courses, law)),
    )


def _missing(method: str, limits: Sequence[str]) -> str:
    if limits:
        what = "parallel text" if method == "cove" else "a corpus"
        return f"{limits[0]} need {what}; pass one, or only a number of tokens"
    if method == "cove":
        return "cove learns from translations; pass parallel, or only a number of tokens"
    return f"{method} needs a corpus; pass one, or only a number of tokens"


def _timed(
    method: str,
    text: Corpus | ParallelText | None,
    settings: Mapping[str, Any],
    progress: Progress,
) -> tuple[Speed, float]:
    """Return the timing, new or cached, and how many times longer the whole text is."""
    device = settings["device"]
    gpu = "" if device == "cpu" else torch.cuda.get_device_name(device)
    machine = (platform.machine(), processor(), available_cores(), torch.__version__, gpu)
    content = None if text is None else text.fingerprint()
    version = importlib.metadata.version("headstart")
    key = fingerprint(_CODE, version, machine, method, settings, content)
    kept = cache_folder() / "speeds" / f"{key}.json"
    if kept.exists():
        found = read_json(kept)
        return Speed(**found["speed"]), float(found["times"])
    if isinstance(text, ParallelText):
        whole: Iterable[Any] = zip(text.sources, text.targets, strict=True)
    else:
        whole = made_up(pairs=method == "cove") if text is None else text.texts()
    with progress.stage("reading the corpus", unit="documents") as advance:
        most = _SAMPLE if method in RUNS else _SAMPLE_OF_WORDS
        sample, times = spread(whole, most, advance)
    with progress.stage(f"timing {method}"):
        speed = measure(method, sample, **settings)
    if speed.others <= _BUSY:
        write_json(kept, {"speed": asdict(speed), "times": times})
    return speed, times


def spread(texts: Iterable[_Text], characters: int, advance: Advance) -> tuple[list[_Text], float]:
    """Return a random sample of the texts, and how many times longer all texts are.

    Each text draws a random number, and those with the lowest are kept until the sample is full.
    So a corpus in which kinds of text alternate, such as titles and bodies, yields both kinds.
    """
    random = generator(0, "texts that are timed")
    kept: list[tuple[float, int, _Text]] = []  # a heap; the first text has the highest number
    size = total = 0
    highest = 1.0
    for number, text in enumerate(texts):
        total += _characters(text)
        advance(1)
        if (lot := random.random()) >= highest:
            continue
        heapq.heappush(kept, (-lot, number, text))
        size += _characters(text)
        while size > characters and len(kept) > 1:
            lot, _, dropped = heapq.heappop(kept)
            highest = -lot
            size -= _characters(dropped)
    sample = [text for _, _, text in sorted(kept, key=lambda each: each[1])]
    return sample, total / size


def _characters(text: str | Pair) -> int:
    return len(text) if isinstance(text, str) else len(text[0]) + len(text[1])


def made_up(*, pairs: bool) -> Iterator[Any]:
    """Yield synthetic documents or sentence pairs, with word frequencies following Zipf's law."""
    random = generator(0, "made-up text")
    letters = np.array(list("etaoinshrdlcumwfgypb"))
    words = ["".join(random.choice(letters, length)) for length in random.integers(2, 11, 30_000)]
    chances = 1 / np.arange(3, len(words) + 3)
    for _ in range(_MADE_UP):
        numbers = random.choice(len(words), 300, p=chances / chances.sum())
        sentences = [
            " ".join(words[number] for number in part).capitalize() + "."
            for part in np.split(numbers, range(20, 300, 20))
        ]
        yield from (
            zip(sentences[::2], sentences[1::2], strict=False) if pairs else [" ".join(sentences)]
        )


def _carried_on(method: str, timed: Speed, times: float) -> Speed:
    """Extrapolate the timing of a sample to a text that is `times` as long."""
    held_out = [
        min(_MOST_HELD_OUT, _HELD_OUT * timed.tokens_per_epoch * scale) for scale in (1, times)
    ]
    grown = timed.parameters * (times**timed.vocabulary_power - 1)
    return replace(
        timed,
        tokens_per_second=timed.tokens_per_second * times ** (1 - timed.work_power),
        preparation_seconds=timed.preparation_seconds * times,
        validation_seconds=timed.validation_seconds * held_out[1] / held_out[0],
        tokens_per_epoch=round(timed.tokens_per_epoch * times),
        parameters=round(timed.parameters + grown),
        memory_bytes=round(timed.memory_bytes + _BYTES_A_PARAMETER.get(method, 0) * grown),
    )


def _wanted(
    method: str,
    parameters: int,
    epoch: int | None,
    *,
    epochs: float | None,
    tokens: int | None,
    minutes: float | None,
) -> Iterator[tuple[str, int | None]]:
    """Yield the name and number of tokens of each possible length; None for one in minutes."""
    if epoch is not None:
        yield "one epoch", epoch
        usual = epochs or EPOCHS.get(method)
        if usual is not None and usual != 1:
            yield f"{usual:g} epochs", round(usual * epoch)
    if tokens is not None:
        yield f"{tokens:,} tokens", tokens
    if method in {"elmo", "gpt", "bert"}:
        yield "compute-optimal", TOKENS_A_PARAMETER * parameters
    if minutes is not None or method in RUNS:
        yield f"{minutes or MINUTES:g} minute{'s' * (minutes != 1)}", None


def _seconds(speed: Speed, tokens: int) -> float:
    """Return the seconds of training on so many tokens, including validations."""
    return tokens / speed.tokens_per_second + _VALIDATIONS * speed.validation_seconds


def _tokens_within(speed: Speed, minutes: float) -> int:
    """Return the number of tokens trained on in so many minutes, after time for validations."""
    seconds = 60 * minutes
    once = speed.validation_seconds
    aside = min(_VALIDATIONS * once, _MOST_ASIDE * seconds + once)
    return max(0, round((seconds - aside) * speed.tokens_per_second))


def _notes(
    method: str,
    timed: Speed,
    text: Corpus | ParallelText | None,
    times: float,
    courses: Sequence[Course],
    law: ScalingLaw | None,
) -> Iterator[str]:
    if text is None:
        yield "timed on synthetic text, as no corpus was given"
    elif times > 1:
        yield (
            f"timed on a sample; the whole text is {times:.3g} times as long and needs more "
            "memory, because memory grows with the text"
        )
    if timed.others > _BUSY:
        yield (
            f"other processes used {timed.others:.1f} cores during the timing; training is faster "
            "without them"
        )
    if method == "cove":
        yield "without vectors, GloVe is trained first; that time is not included"
    if law is not None:
        if any(course.beyond for course in courses):
            yield (
                f"a loss with ? extrapolates beyond the runs behind the scaling law "
                f"({law.parameters[0]:,} to {law.parameters[1]:,} parameters, "
                f"{law.tokens[0]:,} to {law.tokens[1]:,} tokens)"
            )
        yield (
            "losses are for English Wikipedia and the default vocabulary, accurate to "
            f"{law.error:.2f} nats within these runs"
        )
    for course in courses:
        if not course.tokens:
            yield f"{course.name}: too short for a step and a validation"
    most = max(courses, key=lambda course: course.epochs or 0)
    if method in RUNS and (most.epochs or 0) > _MANY_EPOCHS:
        yield (
            f"{most.name}: {most.epochs:.1f} epochs; after about {_MANY_EPOCHS} epochs, repeated "
            f"text lowers the loss less than {'the scaling law predicts' if law else 'new text'}"
        )


def processor() -> str:
    """Return the processor's name, if the system reports it."""
    try:
        text = Path("/proc/cpuinfo").read_text()
        return text.split("model name")[1].split(":")[1].split("\n")[0].strip()
    except (OSError, IndexError):
        return platform.processor()
