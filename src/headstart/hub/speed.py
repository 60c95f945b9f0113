"""How fast this machine pretrains: the real thing for some seconds, in a process of its own.

Of its own, so that the most memory which that process ever held is the pretraining's. It finds the
text and a request in a folder, and leaves its answer there.
"""

import json
import math
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import nn

from headstart import errors
from headstart.errors import DataError, HeadstartError
from headstart.hub.bundle import Pretrained
from headstart.hub.kinds import RUNS
from headstart.hub.store import pretrain
from headstart.progress import SILENT, Advance
from headstart.seeds import generator
from headstart.storage import disk_errors, read_json, working_folder, write_json

_LEAST_STEPS = 6
_FIRST_STEPS = 2  # slower than all others, and not counted
_WARM_UP_TEXTS = 50  # on which compiled loops are loaded, or compiled
_REQUEST, _ANSWER = "request.json", "answer.json"
_TEXTS, _HALF, _FIRST = "texts.jsonl", "half.jsonl", "first.jsonl"


@dataclass(frozen=True, kw_only=True)
class Speed:
    """What some seconds of a real pretraining took.

    Attributes:
        tokens_per_second: Tokens read a second of the clock, validations aside.
        processors: Cores kept busy in training.
        others: Those of all other processes meanwhile; 0 where nobody knows.
        preparation_seconds: Reading the text, learning its vocabulary, encoding, counting.
        preparation_processors: Cores kept busy in preparation.
        validation_seconds: One validation, with saving what it improved.
        tokens_per_epoch: Tokens of the text.
        parameters: Numbers that are trained.
        memory_bytes: The most that the process held.
        checkpoint_bytes: One checkpoint's.
        gpu_bytes: The most that it held of a GPU's memory.
        vocabulary_power: By which power of the text's length its vocabulary grows; 0 if it is set.
        work_power: By which power of it an epoch's work grows: 1, but for GloVe.
    """

    tokens_per_second: float
    processors: float
    others: float
    preparation_seconds: float
    preparation_processors: float
    validation_seconds: float
    tokens_per_epoch: int
    parameters: int
    memory_bytes: int
    checkpoint_bytes: int
    gpu_bytes: int = 0
    vocabulary_power: float = 0.0
    work_power: float = 1.0


def measure(
    method: str,
    texts: Sequence[Any],
    *,
    seconds: float = 8.0,
    **settings: Any,  # noqa: ANN401 - plain values
) -> Speed:
    """Pretrain for some seconds in a process of its own, and return what that took.

    Args:
        method: What is pretrained.
        texts: Documents; for CoVe sentence pairs.
        seconds: How long training is timed, and longer where steps are slow.
        settings: Those of `pretrain` besides: size, threads, options; plain values.

    Raises:
        HeadstartError: What `pretrain` raises; or the system ended the process, as it does when
            memory is short.
    """
    with working_folder() as folder:
        _write(folder / _TEXTS, texts)
        _write(folder / _HALF, _half(texts))
        _write(folder / _FIRST, texts[:_WARM_UP_TEXTS])
        write_json(folder / _REQUEST, {"method": method, "seconds": seconds, **settings})
        code = "from headstart.hub.speed import main; main()"
        done = subprocess.run(  # noqa: S603 - our own code
            [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=False
        )
        if not (folder / _ANSWER).exists():
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise HeadstartError(
                f"timing {method} ended with code {done.returncode}: {last}; "
                "if memory was short, take a smaller size"
            )
        answer = read_json(folder / _ANSWER)
    if "error" in answer:
        raise getattr(errors, answer["error"])(answer["message"])
    return Speed(**answer)


def _half(texts: Sequence[Any]) -> list[Any]:
    """Return half of the texts, drawn at random: every second one may be of another kind."""
    drawn = generator(0, "half of the texts").permutation(len(texts))[: (len(texts) + 1) // 2]
    return [texts[number] for number in sorted(drawn)]


def main() -> None:
    """Answer the request in the folder that the command line names."""
    folder = Path(sys.argv[1])
    request = read_json(folder / _REQUEST)
    method, seconds = request.pop("method"), request.pop("seconds")
    try:
        timed = (_time_steps if method in RUNS else _time_words)(method, folder, seconds, request)
        write_json(folder / _ANSWER, asdict(timed))
    except HeadstartError as error:
        write_json(folder / _ANSWER, {"error": type(error).__name__, "message": str(error)})


def _time_steps(method: str, folder: Path, seconds: float, settings: dict[str, Any]) -> Speed:
    """Time what is trained in steps by the journal of its run."""
    text: dict[str, Any] = {"corpus": folder / _TEXTS}
    if method == "cove":
        lines = (folder / _TEXTS).read_text(encoding="utf-8").splitlines()
        text = {"parallel": [tuple(json.loads(line)["text"]) for line in lines]}
    watch, run = _Watch(), folder / "run"
    encoder = pretrain(
        method, **text, **settings, minutes=seconds / 60, run_folder=run, progress=watch
    )
    preparation = watch.preparation()
    if encoder.lineage["steps"] < _LEAST_STEPS:
        run = folder / "longer"
        encoder = pretrain(
            method, **text, **settings, steps=_LEAST_STEPS, run_folder=run, progress=watch
        )
    journal = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    steps = [line for line in journal if line["kind"] == "training"]
    tokens = [after["tokens"] - before["tokens"] for before, after in pairwise(steps)]
    took = [
        count / step["tokens_per_second"] for count, step in zip(tokens, steps[1:], strict=True)
    ]
    counted = slice(_FIRST_STEPS - 1, None)
    report = encoder.lineage
    aside = report["training_seconds"] - report["tokens"] / report["tokens_per_second"]
    checkpoints = [
        sum(file.stat().st_size for file in each.iterdir()) for each in run.glob("step-*")
    ]
    return Speed(
        tokens_per_second=sum(tokens[counted]) / sum(took[counted]),
        processors=watch.processors,
        others=watch.others,
        preparation_seconds=preparation[0],
        preparation_processors=preparation[1],
        validation_seconds=aside / max(1, len(report["curve"])),
        tokens_per_epoch=report["tokens_per_epoch"],
        parameters=_parameters(encoder),
        memory_bytes=_most_memory(),
        gpu_bytes=torch.cuda.max_memory_allocated() if settings.get("device") != "cpu" else 0,
        checkpoint_bytes=max(checkpoints),
    )


def _time_words(method: str, folder: Path, seconds: float, settings: dict[str, Any]) -> Speed:
    """Time word vectors, which have no steps, by the words read; half of them show what grows."""
    began = time.perf_counter()
    pretrain(method, folder / _FIRST, **settings, min_count=1, epochs=0.01)
    loading = time.perf_counter() - began  # of compiled loops
    half = None
    with suppress(DataError):  # of a few texts, the half may hold too little
        half = pretrain(method, folder / _HALF, **settings, epochs=0.01)
    watch = _Watch()
    encoder = pretrain(method, folder / _TEXTS, **settings, minutes=seconds / 60, progress=watch)
    half, report = half or encoder, encoder.lineage
    prepared, processors = watch.preparation()
    words = half.lineage["words"], report["words"]
    pairs = half.lineage.get("pairs", words[0]), report.get("pairs", words[1])
    vocabularies = half.config["vocabulary"], encoder.config["vocabulary"]
    return Speed(
        tokens_per_second=report["epochs"] * report["words"] / report["training_seconds"],
        processors=watch.processors,
        others=watch.others,
        preparation_seconds=prepared + loading,
        preparation_processors=processors,
        validation_seconds=0.0,
        tokens_per_epoch=report["words"],
        parameters=_parameters(encoder),
        memory_bytes=_most_memory(),
        checkpoint_bytes=0,
        vocabulary_power=_power(vocabularies, words),
        work_power=_power(pairs, words),
    )


def _power(grown: tuple[int, int], words: tuple[int, int]) -> float:
    """Return by which power of the words something grew."""
    if words[0] == words[1]:
        return 1.0
    return math.log(grown[1] / grown[0]) / math.log(words[1] / words[0])


def _parameters(encoder: Pretrained) -> int:
    return sum(each.numel() for each in cast("nn.Module", encoder.model).parameters())


def _write(path: Path, texts: Iterable[Any]) -> None:
    with disk_errors(path), path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps({"text": text}) + "\n" for text in texts)


class _Watch:
    """Progress that looks at the clocks when the last stage, the training, begins and ends."""

    def __init__(self) -> None:
        self.began, self.before, self.after = (_times(),) * 3

    @contextmanager
    def stage(
        self, description: str, total: float | None = None, unit: str = ""
    ) -> Iterator[Advance]:
        self.before = _times()
        with SILENT.stage(description, total, unit) as advance:
            yield advance
        self.after = _times()

    def note(self, message: str) -> None:
        SILENT.note(message)

    @property
    def processors(self) -> float:
        """Processor seconds of this process a second of training."""
        return (self.after.own - self.before.own) / (self.after.clock - self.before.clock)

    @property
    def others(self) -> float:
        """Those of all other processes."""
        whole = (self.after.machine - self.before.machine) / (self.after.clock - self.before.clock)
        return max(0.0, whole - self.processors)

    def preparation(self) -> tuple[float, float]:
        """Return the seconds before training, and this process's processor seconds in one."""
        seconds = self.before.clock - self.began.clock
        return seconds, (self.before.own - self.began.own) / seconds


class _Times(NamedTuple):
    """Seconds by the clock, and processor seconds of this process and of the whole machine."""

    clock: float
    own: float
    machine: float


def _times() -> _Times:
    return _Times(time.perf_counter(), time.process_time(), _machine_seconds())


def _machine_seconds() -> float:
    """Return the processor seconds of all processes since the machine started; 0 if unknown."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    except OSError:
        return 0.0
    user, nice, system, _idle, _wait, *interrupts = map(int, fields[:8])
    return (user + nice + system + sum(interrupts)) / float(os.sysconf("SC_CLK_TCK"))


def _most_memory() -> int:
    """Return the most memory that this process held, in bytes.

    Linux's other number for it remembers what the process was started from.
    """
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # of macOS, in bytes
    return int(status.split("VmHWM:")[1].split()[0]) * 1024
