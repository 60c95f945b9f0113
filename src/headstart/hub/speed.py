"""Measure how fast this machine pretrains: run it for some seconds in a separate process.

The process is separate so that its peak memory is that of the pretraining. It reads the text and a
request from a folder and writes its answer there.
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
_FIRST_STEPS = 2  # slower than all others, so not counted
_WARM_UP_TEXTS = 50  # to load or compile numba's loops
_REQUEST, _ANSWER = "request.json", "answer.json"
_TEXTS, _HALF, _FIRST = "texts.jsonl", "half.jsonl", "first.jsonl"


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Measurements of a pretraining run that lasted some seconds.

    Attributes:
        tokens_per_second: Tokens per second of wall-clock time, without validations.
        processors: Number of cores used in training.
        others: Number of cores used by all other processes meanwhile; 0 if unknown.
        preparation_seconds: Time to read the text, learn its vocabulary, tokenize and count.
        preparation_processors: Number of cores used in preparation.
        validation_seconds: Time of one validation, including saving an improved model.
        tokens_per_epoch: Number of tokens of the text.
        parameters: Number of trained parameters.
        memory_bytes: Peak memory of the process.
        checkpoint_bytes: Size of one checkpoint.
        gpu_bytes: Peak GPU memory.
        vocabulary_power: Exponent with which the vocabulary grows with the text's length; 0 if its
            size is fixed.
        work_power: Exponent with which the work of an epoch grows with the text's length; 1 except
            for GloVe.
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
    """Pretrain for some seconds in a separate process, and return the measurements.

    Args:
        method: The pretraining method.
        texts: Documents; for CoVe sentence pairs.
        seconds: How long to time training; it takes longer if steps are slow.
        settings: Further arguments of `pretrain`, such as size, threads and options; plain values.

    Raises:
        HeadstartError: What `pretrain` raises; or the system killed the process, as it does when
            it runs out of memory.
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
            last = (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]
            raise HeadstartError(
                f"timing {method} failed with exit code {done.returncode}: {last}; "
                "if it ran out of memory, use a smaller size"
            )
        answer = read_json(folder / _ANSWER)
    if "error" in answer:
        raise getattr(errors, answer["error"])(answer["message"])
    return Speed(**answer)


def _half(texts: Sequence[Any]) -> list[Any]:
    """Return a random half of the texts; every second one could be of one kind."""
    drawn = generator(0, "half of the texts").permutation(len(texts))[: (len(texts) + 1) // 2]
    return [texts[number] for number in sorted(drawn)]


def main() -> None:
    """Answer the request in the folder given on the command line."""
    folder = Path(sys.argv[1])
    request = read_json(folder / _REQUEST)
    method, seconds = request.pop("method"), request.pop("seconds")
    try:
        timed = (_time_steps if method in RUNS else _time_words)(method, folder, seconds, request)
        write_json(folder / _ANSWER, asdict(timed))
    except HeadstartError as error:
        write_json(folder / _ANSWER, {"error": type(error).__name__, "message": str(error)})


def _time_steps(method: str, folder: Path, seconds: float, settings: dict[str, Any]) -> Speed:
    """Time a method that trains in steps, from the log of its run."""
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
    """Time word vectors, which have no steps; a run on half of the texts shows what grows."""
    began = time.perf_counter()
    pretrain(method, folder / _FIRST, **settings, min_count=1, epochs=0.01)
    loading = time.perf_counter() - began  # time to load or compile numba's loops
    half = None
    with suppress(DataError):  # half of few texts may be too small to train on
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
    """Return the exponent with which something grew with the number of words."""
    if words[0] == words[1]:
        return 1.0
    return math.log(grown[1] / grown[0]) / math.log(words[1] / words[0])


def _parameters(encoder: Pretrained) -> int:
    return sum(each.numel() for each in cast("nn.Module", encoder.model).parameters())


def _write(path: Path, texts: Iterable[Any]) -> None:
    with disk_errors(path), path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps({"text": text}) + "\n" for text in texts)


class _Watch:
    """Progress that records the times when the last stage, the training, begins and ends."""

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
        """CPU seconds of this process per second of training."""
        return (self.after.own - self.before.own) / (self.after.clock - self.before.clock)

    @property
    def others(self) -> float:
        """CPU seconds of all other processes per second of training."""
        whole = (self.after.machine - self.before.machine) / (self.after.clock - self.before.clock)
        return max(0.0, whole - self.processors)

    def preparation(self) -> tuple[float, float]:
        """Return the seconds before training, and this process's CPU seconds per second of them."""
        seconds = self.before.clock - self.began.clock
        return seconds, (self.before.own - self.began.own) / seconds


class _Times(NamedTuple):
    """Wall-clock time, and the CPU time of this process and of the whole machine."""

    clock: float
    own: float
    machine: float


def _times() -> _Times:
    return _Times(time.perf_counter(), time.process_time(), _machine_seconds())


def _machine_seconds() -> float:
    """Return the CPU seconds of all processes since the machine started; 0 if unknown."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    except OSError:
        return 0.0
    user, nice, system, _idle, _wait, *interrupts = map(int, fields[:8])
    return (user + nice + system + sum(interrupts)) / float(os.sysconf("SC_CLK_TCK"))


def _most_memory() -> int:
    """Return the peak memory of this process, in bytes.

    On Linux, `ru_maxrss` is not used because it includes the peak of the parent process.
    """
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in bytes on macOS
    return int(status.split("VmHWM:")[1].split()[0]) * 1024
