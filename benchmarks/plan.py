"""Estimates of `headstart plan` and what happens: three runs of half a minute or more each.

Each run is planned, which times it for some seconds, and then executed by `hs.pretrain` in a
process of its own. Compared are wall-clock and CPU seconds (with one thread, other processes affect
the latter little), peak memory, and the held-out loss if there is a scaling law.

    python benchmarks/plan.py --threads 1
"""

import argparse
import json
import multiprocessing
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from harness import ROOT, SHARED, Figures, measure, peak_megabytes
from public_data import articles

RUNS = (("gpt", "tiny", 300_000), ("bert", "tiny", 400_000), ("word2vec", "small", 20_000_000))


def predicted(method: str, size: str, tokens: int, corpus: Path, threads: int) -> Figures:
    import headstart as hs

    estimate = hs.plan(method, corpus, size=size, tokens=tokens, threads=threads)
    (course,) = (one for one in estimate.courses if one.name == f"{tokens:,} tokens")
    seconds, speed = course.hours * 3600, estimate.speed
    before = estimate.preparation_seconds
    in_training = (seconds - before) * speed.processors
    figures = {
        "seconds": seconds,
        "cpu_seconds": before * speed.preparation_processors + in_training,
        "megabytes": estimate.memory_bytes / 1e6,
    }
    return figures if course.loss is None else figures | {"loss": course.loss}


def measured(method: str, size: str, tokens: int, corpus: Path, threads: int) -> Figures:
    import headstart as hs

    pretrain = hs.pretrain  # imported before the timing starts
    lineage: dict[str, dict[str, float]] = {}

    def work() -> None:
        with tempfile.TemporaryDirectory() as name:
            kept = {} if method == "word2vec" else {"run_folder": Path(name, "run")}
            encoder = pretrain(method, corpus, size=size, tokens=tokens, threads=threads, **kept)
            lineage.update(encoder.lineage)

    timed = measure(work)
    found = lineage.get("validation") or {}
    loss = found.get("mlm_loss", found.get("loss"))
    return {
        "seconds": timed.seconds,
        "cpu_seconds": timed.cpu_seconds,
        "megabytes": peak_megabytes(),
        **({} if loss is None else {"loss": loss}),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", nargs="+", help="methods to run; by default all")
    parser.add_argument("--quick", action="store_true", help="a tenth of the tokens")
    parser.add_argument("--data", type=Path, default=SHARED / "data")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks/results")
    arguments = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    found = {}
    with tempfile.TemporaryDirectory() as name:
        corpus = Path(name, "articles.jsonl")
        texts = articles(arguments.data, "train")
        corpus.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        for method, size, tokens in RUNS:
            if arguments.runs and method not in arguments.runs:
                continue
            given = (method, size, tokens // (10 if arguments.quick else 1), corpus)
            plan = predicted(*given, arguments.threads)
            with ProcessPoolExecutor(1, mp_context=spawn) as process:
                run = process.submit(measured, *given, arguments.threads).result()
            found[f"{method} {size}"] = {"predicted": plan, "measured": run}
            print(f"{method} {size}, {given[2]:,} tokens")
            for key, value in run.items():
                if key in plan:
                    off = plan[key] / value - 1
                    print(
                        f"  {key:12} {plan[key]:10.4g} predicted {value:10.4g} measured {off:+.1%}"
                    )
    if not arguments.quick:
        arguments.results.mkdir(parents=True, exist_ok=True)
        (arguments.results / "plan.json").write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
