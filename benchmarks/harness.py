"""Run headstart and its peers in alternation on the same work, and compare them.

A job is one script: a function per contender, and a call of `main`. Each repetition runs each
contender once, in a new process of its own interpreter, so slow drifts of the machine affect all
alike. Ratios are taken within a repetition. Repetitions in which other processes used the processor
are left out as long as enough others remain. Contenders import what they need inside their
function, because a peer's interpreter has numpy but no headstart.

Example:
    def ours(arguments):
        timed = measure(lambda: sorted(range(arguments.size)))
        return {"seconds": timed.seconds, "others": timed.others}

    main("sorting", {"headstart": ours, "peer": theirs}, [Metric("seconds", "saving")], parser)
"""

import argparse
import gzip
import json
import math
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
OURS = "headstart"
BF16 = "-bf16"  # suffix of contenders that need fast bfloat16
QUIET = 0.15  # cores that other processes may use in a quiet repetition
_WORD = re.compile(r"[a-z]+|[0-9]+")
T_95 = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26)  # Student's t, 1 to 9 degrees

Figures = dict[str, float]  # `others` among them: see `Timed`
Contender = Callable[[argparse.Namespace], Figures]


@dataclass(frozen=True)
class Metric:
    """One figure that every contender returns.

    Attributes:
        name: Its key in the contenders' figures.
        compare: `ratio` (ours / the peer's), `saving` (the peer's / ours, where less is better)
            or `difference` (ours - the peer's, for scores).
    """

    name: str
    compare: str = "ratio"


@dataclass(frozen=True)
class Timed:
    """How long a call took, and how busy other processes were.

    Attributes:
        seconds: Wall-clock time.
        others: Cores that other processes used during the call, 0 if unknown.
        cpu_seconds: CPU time of this process; with one thread, other processes affect it little.
    """

    seconds: float
    others: float
    cpu_seconds: float


def measure(work: Callable[[], object]) -> Timed:
    """Time `work`, which may start processes if it waits for them."""
    machine, own, start = _machine_seconds(), _own_seconds(), time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    cpu_seconds = _own_seconds() - own
    others = (_machine_seconds() - machine) - cpu_seconds
    return Timed(seconds, max(0.0, others / seconds), cpu_seconds)


def measure_repeated(work: Callable[[], object], *, least_seconds: float) -> Timed:
    """Repeat `work` for at least `least_seconds`; return the time of one call."""
    calls = 0

    def repeat() -> None:
        nonlocal calls
        start = time.perf_counter()
        while not calls or time.perf_counter() - start < least_seconds:
            work()
            calls += 1

    timed = measure(repeat)
    return Timed(timed.seconds / calls, timed.others, timed.cpu_seconds / calls)


def seconds_to(
    loss: float,
    step: Callable[[], object],
    held_out: Callable[[], float],
    *,
    look: float,
    most: float,
) -> Figures:
    """Train until the held-out loss is at most `loss`; return the seconds and the final loss.

    The loss is checked after every `look` seconds of training; the checks are not timed. `seconds`
    is interpolated linearly between two checks. After `most` seconds, training stops and `seconds`
    is a lower bound.
    """
    spent, found = 0.0, held_out()
    before, higher = spent, found
    while found > loss and spent < most:
        before, higher = spent, found
        started = time.perf_counter()
        while time.perf_counter() - started < look:
            step()
        spent += time.perf_counter() - started
        found = held_out()
    if found <= loss < higher:
        spent = before + (spent - before) * (higher - loss) / (higher - found)
    return {"seconds": spent, "reached": found}


def keep_others(figures: Figures, new: Figures) -> None:
    """Add `new` to `figures`, keeping the larger value of `others`."""
    others = max(figures.get("others", 0.0), new.get("others", 0.0))
    figures.update({**new, "others": others})


def peak_megabytes() -> float:
    """Return the peak memory of this process so far, in 10^6 bytes (Linux)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6


@contextmanager
def by_torch() -> Iterator[None]:
    """Make headstart encode with torch within the context, as if OpenVINO were not installed."""
    from headstart.transfer import features

    with mock.patch.object(features, "openvino_reader", return_value=None):
        yield


def fast_bf16() -> bool:
    """Return whether the processor has bfloat16 products; if not, a peer's best is float32.

    Does the check of `headstart.training.precision`, for an interpreter without headstart.
    """
    import torch

    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def wikipedia(arguments: argparse.Namespace, part: str = "train") -> Path:
    """Return the file of lowercased words of Wikipedia articles, one paragraph per line.

    Creates it from the public data if it does not exist: call this in `prepare` first.
    """
    path = Path(tempfile.gettempdir()) / f"headstart-benchmark-wikipedia-{part}.txt"
    if not path.exists():
        source = arguments.data / "wikipedia_en" / f"{part}.txt.gz"
        with gzip.open(source, "rt", encoding="utf-8") as lines:
            words = (_WORD.findall(line.lower()) for line in lines if not line.startswith("= "))
            path.write_text("".join(" ".join(line) + "\n" for line in words if line))
    return path


def argument_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that all jobs share."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--repetitions", type=int, default=5)
    add("--peer-python", type=Path, default=ROOT / ".bench-venv/bin/python")
    add("--data", type=Path, default=SHARED / "data", help="folder of the public data")
    add("--results", type=Path, default=ROOT / "benchmarks/results")
    add(
        "--seed", type=int, default=0, help="seed of the first repetition, plus 1 for each next one"
    )
    add("--quick", action="store_true", help="one repetition on less data; overwrites no result")
    add("--run", help=argparse.SUPPRESS)  # one contender, once, in this process
    return parser


def main(
    job: str,
    contenders: Mapping[str, Contender],
    metrics: Sequence[Metric],
    parser: argparse.ArgumentParser,
    *,
    prepare: Callable[[argparse.Namespace], object] | None = None,
    absent: Callable[[argparse.Namespace], Mapping[str, str]] | None = None,
    ours: Sequence[str] = (OURS,),
    quick: Mapping[str, object] | None = None,
) -> None:
    """Run the job of this script: all contenders in alternation, or the one that `--run` names.

    Args:
        job: Name of the results file.
        contenders: What each one does in one repetition.
        metrics: The figures to compare.
        parser: From `argument_parser`, with the job's own options added.
        prepare: Creates the shared input, once, untimed. If it raises FileNotFoundError, the job is
            skipped with a message.
        absent: Returns the contenders that cannot run, and why.
        ours: The contenders that run in this interpreter; the others run in `--peer-python`. All
            are compared with the first.
        quick: What `--quick` sets, besides one repetition.
    """
    arguments = parser.parse_args()
    if arguments.quick:
        less = {"repetitions": 1, "results": Path(tempfile.gettempdir()), **(quick or {})}
        vars(arguments).update(less)
    if arguments.run:
        print(json.dumps(contenders[arguments.run](arguments)))
        return
    missing = dict(absent(arguments)) if absent else {}
    if not arguments.peer_python.exists():
        reason = f"no interpreter at {arguments.peer_python}: see benchmarks/README.md"
        missing = {name: reason for name in contenders if name not in ours} | missing
    needing = [name for name in contenders if name.endswith(BF16)]
    if needing and not fast_bf16():
        missing |= dict.fromkeys(needing, "this processor has no fast bfloat16")
    for name, reason in missing.items():
        print(f"skipped {name}: {reason}")
    names = [name for name in contenders if name not in missing]
    try:
        if prepare:
            prepare(arguments)
    except FileNotFoundError as error:
        print(f"skipped {job}: {error.filename} is missing")
        return
    runs = _alternate(names, ours, arguments)
    _report(job, names, ours[0], metrics, runs, arguments)


def _alternate(
    names: Sequence[str], ours: Sequence[str], arguments: argparse.Namespace
) -> list[dict[str, Figures]]:
    options = [part for part in sys.argv[1:] if part]
    runs = []
    for repetition in range(arguments.repetitions):
        figures = {}
        for name in names if repetition % 2 == 0 else reversed(names):
            interpreter = sys.executable if name in ours else str(arguments.peer_python)
            seed = str(arguments.seed + repetition)
            command = [interpreter, sys.argv[0], *options, "--run", name, "--seed", seed]
            output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
            figures[name] = json.loads(output.splitlines()[-1])
            turn = f"{repetition + 1}/{arguments.repetitions} {name}"
            print(f"  {turn}: {_line(figures[name])}", flush=True)
        runs.append(figures)
    return runs


def _line(figures: Figures) -> str:
    return "  ".join(f"{key} {value:.4g}" for key, value in figures.items())


def _report(
    job: str,
    names: Sequence[str],
    reference: str,
    metrics: Sequence[Metric],
    runs: Sequence[Mapping[str, Figures]],
    arguments: argparse.Namespace,
) -> None:
    quiet = [run for run in runs if all(run[name].get("others", 0.0) < QUIET for name in names)]
    used = quiet if len(quiet) >= 3 else runs
    note = f"{len(quiet)} of {len(runs)} repetitions on a quiet machine; medians over {len(used)}"
    print(f"\n{job} ({note})")
    rows = []
    for metric in metrics:
        if not any(metric.name in run[name] for run in used for name in names):
            continue
        for name in names:
            row, text = _compare(metric, name, reference, used)
            rows.append(row)
            print(f"  {text}")
    settings = {
        key: os.path.relpath(value, ROOT) if isinstance(value, Path) else str(value)
        for key, value in vars(arguments).items()
        if key != "run"
    }
    machine = {"cores": len(os.sched_getaffinity(0)), "processor": _processor()}
    result = {"job": job, "note": note, "settings": settings, "machine": machine}
    arguments.results.mkdir(parents=True, exist_ok=True)
    path = arguments.results / f"{job}.json"
    text = json.dumps(
        result | {"metrics": [asdict(metric) for metric in metrics], "rows": rows, "runs": runs},
        indent=2,
    )
    path.write_text(text + "\n")
    print(f"written to {path}")


def _compare(
    metric: Metric, name: str, reference: str, runs: Sequence[Mapping[str, Figures]]
) -> tuple[dict[str, str | float], str]:
    """Return a row of results and its text: a contender's median, range and comparison."""
    row: dict[str, str | float] = {"metric": metric.name, "contender": name}
    values = [run[name][metric.name] for run in runs if metric.name in run[name]]
    if not values:
        return row, f"{metric.name:38}{name:18}           -"
    median, low, high = statistics.median(values), min(values), max(values)
    row |= {"median": median, "low": low, "high": high}
    text = f"{metric.name:38}{name:18}{median:12.5g}  ({low:.4g} to {high:.4g})"
    pairs = [
        (run[reference][metric.name], run[name][metric.name])
        for run in runs
        if reference in run and metric.name in run[reference] and metric.name in run[name]
    ]
    if name == reference or not pairs:
        return row, text
    if metric.compare != "difference":
        ratios = [ours / theirs for ours, theirs in pairs]
        if metric.compare == "saving":
            ratios = [1 / ratio for ratio in ratios]
        ratio, low, high = statistics.median(ratios), min(ratios), max(ratios)
        row |= {"ratio": ratio, "ratio_low": low, "ratio_high": high}
        return row, f"{text}  {reference} is {ratio:.2f}x ({low:.2f} to {high:.2f})"
    differences = [ours - theirs for ours, theirs in pairs]
    mean = statistics.mean(differences)
    row |= {"difference": mean}
    text += f"  {reference} {mean:+.4f}"
    if len(differences) > 1 and math.isfinite(mean):
        half = _half_interval(differences)
        row |= {"difference_low": mean - half, "difference_high": mean + half}
        text += f" (95% interval {mean - half:+.4f} to {mean + half:+.4f})"
    return row, text


def _half_interval(values: Sequence[float]) -> float:
    """Return half the width of the 95% t interval of the mean of at least two values."""
    t = T_95[min(len(values) - 1, len(T_95)) - 1]
    return t * statistics.stdev(values) / math.sqrt(len(values))


def _machine_seconds() -> float:
    """Return the CPU time used on the whole machine since it booted, 0 if unknown."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    except OSError:
        return 0.0
    user, nice, system, _idle, _wait, irq, softirq, steal = map(int, fields[:8])
    return (user + nice + system + irq + softirq + steal) / float(os.sysconf("SC_CLK_TCK"))


def _own_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
        return text.split("model name")[1].split(":")[1].split("\n")[0].strip()
    except (OSError, IndexError):
        return platform.processor()
