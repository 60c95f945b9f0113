"""What a pretraining will take and reach, told before it is begun.

Time and memory are those of the real thing, timed for some seconds on this machine, and carried on
to the whole text; the held-out loss is what a law expects that was fitted on runs of this toolkit.
"""

import heapq
import importlib.metadata
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from headstart.budget import Budget
from headstart.data.corpora import Corpus, as_corpus
from headstart.data.parallel import Pair, ParallelText, as_parallel
from headstart.devices import available_cores, check_threads, compute_device
from headstart.errors import SettingsError
from headstart.hub.kinds import EPOCHS, PRETRAINABLE, RUNS
from headstart.hub.scaling import LAWS, TOKENS_A_PARAMETER, ScalingLaw
from headstart.hub.speed import Speed, measure
from headstart.hub.store import MINUTES
from headstart.progress import SILENT, Advance, Progress
from headstart.seeds import generator
from headstart.storage import cache_folder, fingerprint, read_json, write_json

_SAMPLE = 8_000_000  # characters that are timed on; of a longer text, documents spread over it
_SAMPLE_OF_WORDS = 32_000_000  # for word vectors, whose speed depends on how many words there are
_VALIDATIONS, _MOST_ASIDE = 20, 0.1  # as runs have them: so many, and this share of minutes at most
_HELD_OUT, _MOST_HELD_OUT = 0.02, 50_000  # as `tokenize.documents` holds out
_CHECKPOINTS = 4  # the newest two, the best, and one that is being written
_BYTES_A_TOKEN = 4  # of a corpus as ids
_BYTES_A_PARAMETER = {"word2vec": 16, "glove": 24}  # weights, sums of squares, and the result
_MANY_EPOCHS = 4  # Muennighoff et al. 2023, https://arxiv.org/abs/2305.16264
_BUSY = 0.15  # cores' worth of other work that makes a timing doubtful
_SIZES = {"word2vec": "small", "glove": "small"}  # by default; the others' is mini

_OF_TEXT = ("epochs", "minutes")  # limits that say nothing where there is no text
_MADE_UP = 3000  # documents of 300 words
_CODE = 4  # raise it when the same trial would be timed in another way

_Text = TypeVar("_Text", str, Pair)


@dataclass(frozen=True, kw_only=True)
class Course:
    """One length of a pretraining.

    Attributes:
        name: What is decisive: an epoch, a number of tokens, minutes.
        tokens: Tokens read.
        epochs: Passes over the corpus; None without one.
        hours: By the clock, with reading and encoding.
        loss: Expected on held-out documents, in nats; None where no law is known.
        beyond: Whether the loss is outside the runs that the law was fitted on.
    """

    name: str
    tokens: int
    epochs: float | None
    hours: float
    loss: float | None
    beyond: bool


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a pretraining will take and reach.

    Attributes:
        method: What is pretrained.
        size: Its size.
        threads: How many train.
        speed: What was timed, on the whole text or on a sample of it.
        tokens_per_second: Tokens a second of the clock.
        tokens_per_epoch: Tokens of the corpus; None without one.
        parameters: Numbers that are trained.
        preparation_seconds: Reading the corpus, learning its vocabulary, encoding it.
        memory_bytes: The most memory the process will hold; at least so much where not `whole`.
        gpu_bytes: The most of a GPU's memory; 0 on a CPU.
        disk_bytes: Checkpoints and the encoded corpus meanwhile.
        encoder_bytes: The encoder's weights as saved.
        loss_of: What the expected loss is of; None where no law is known.
        courses: How long it can be, and what that takes and reaches.
        whole: Whether the whole text was timed. A longer one takes more memory, and how much more,
            a sample does not tell.
        notes: What one has to know about these figures, a sentence each.
    """

    method: str
    size: str
    threads: int
    speed: Speed
    tokens_per_second: float
    tokens_per_epoch: int | None
    parameters: int
    preparation_seconds: float
    memory_bytes: int
    gpu_bytes: int
    disk_bytes: int
    encoder_bytes: int
    loss_of: str | None
    courses: tuple[Course, ...]
    whole: bool
    notes: tuple[str, ...]


def plan(  # noqa: PLR0913 - what a user may decide, each by its name
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
    """Tell what a pretraining will take: hours, memory, disk, and what loss it will reach.

    The arguments are those of `pretrain`. The same model is trained on the same kind of batches for
    some seconds, once for a machine and a text. For a number of tokens alone, without a text, it is
    timed on one that is made up.

    Args:
        method: `word2vec`, `glove`, `cove`, `elmo`, `gpt` or `bert`.
        corpus: A file, folder or glob, a list of such paths, or a list of documents.
        parallel: For CoVe, instead of `corpus`.
        size: `tiny`, `mini`, `small`, `medium` or `base`.
        epochs: Passes over the corpus that are intended.
        tokens: Tokens that are intended; without a corpus they are needed.
        minutes: What fits into so many; by default into what `pretrain` takes by default.
        threads: How many to train with; all cores by default.
        device: Where it is trained.
        options: More settings of the method.
        text_column: The column of a table that holds the text.
        progress: Where progress goes.

    Raises:
        SettingsError: A setting is impossible, or there is neither a corpus nor a number of tokens.
        DataError: The corpus cannot be read or holds too little.
    """
    if method not in PRETRAINABLE:
        raise SettingsError(f"cannot pretrain {method!r}; there are {', '.join(PRETRAINABLE)}")
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
        return f"{limits[0]} need {what} to be read; or give a number of tokens alone"
    if method == "cove":
        return "cove learns from translations: give parallel, or a number of tokens alone"
    return f"{method} needs a corpus, or a number of tokens alone"


def _timed(
    method: str,
    text: Corpus | ParallelText | None,
    settings: Mapping[str, Any],
    progress: Progress,
) -> tuple[Speed, float]:
    """Return what was timed, now or before, and how many times longer the whole text is."""
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
    """Return texts spread over all of them, and how many times longer all are.

    Each text draws a lot, and those of the lowest lots are kept, as many as there is room for: of
    texts that take turns, such as titles and bodies, it has both.
    """
    random = generator(0, "texts that are timed")
    kept: list[tuple[float, int, _Text]] = []  # a heap, whose first text has the highest lot
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
    """Yield documents, or sentence pairs, of words that are as frequent as Zipf's law has them."""
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
    """Return what was timed on a sample as it will be on a text so many times longer."""
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
    """Yield the lengths that matter by name, each with its tokens; None for those of minutes."""
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
        yield f"{minutes or MINUTES:g} minutes", None


def _seconds(speed: Speed, tokens: int) -> float:
    """Return how long so many tokens take to train on, with validations."""
    return tokens / speed.tokens_per_second + _VALIDATIONS * speed.validation_seconds


def _tokens_within(speed: Speed, minutes: float) -> int:
    """Return how many tokens so many minutes of training hold, beside validations."""
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
        yield "without a corpus, timed on text that is made up"
    elif times > 1:
        yield (
            f"timed on a sample; the whole is {times:.3g} times as long, and takes more memory, "
            "for memory grows with the text"
        )
    if timed.others > _BUSY:
        yield (
            f"other processes used {timed.others:.1f} cores meanwhile: without them it is faster"
        )
    if method == "cove":
        yield "without vectors, GloVe is trained first: that time is not in here"
    if law is not None:
        if any(course.beyond for course in courses):
            yield (
                f"a loss with ? is beyond the runs behind the law ({law.parameters[0]:,} to "
                f"{law.parameters[1]:,} parameters, {law.tokens[0]:,} to {law.tokens[1]:,} tokens)"
            )
        yield (
            "losses are those of English Wikipedia and the default vocabulary, to "
            f"{law.error:.2f} nats within these runs"
        )
    for course in courses:
        if not course.tokens:
            yield f"{course.name}: too short for a step and a validation"
    most = max(courses, key=lambda course: course.epochs or 0)
    if method in RUNS and (most.epochs or 0) > _MANY_EPOCHS:
        yield (
            f"{most.name}: {most.epochs:.1f} epochs, and after about {_MANY_EPOCHS} a text that "
            "was read before teaches less than the law has it"
        )


def processor() -> str:
    """Return the processor's name, as far as the system tells it."""
    try:
        text = Path("/proc/cpuinfo").read_text()
        return text.split("model name")[1].split(":")[1].split("\n")[0].strip()
    except (OSError, IndexError):
        return platform.processor()
