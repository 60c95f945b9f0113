"""Run every job, each with its own script: `make bench`, or `make bench-quick` on less.

A job whose data or peer is missing is skipped with a message. If a job fails, the run fails.
"""

import subprocess
import sys
from pathlib import Path

from benchmarks.harness import measure

FOLDER = Path(__file__).parent
SPEED = (
    "word2vec",
    "glove",
    "load_vectors",
    "fit_cell",
    "bert_pretraining",
    "gpt_pretraining",
    "fine_tuning",
    "generation",
    "prediction",
    "tokenizing",
    "startup",
    "tagging_speed",
    "bidirectional_lm",
)
# Quality, and how cost grows. Each takes minutes at least, so --quick runs none of these.
MINUTES = (
    "growth",
    "plan",
    "time_to_loss",
    "frozen_grid",
    "demo_grid",
    "language_models",
    "published_encoder",
    "all_labels",
    "pairs",
    "tagging",
    "combined_loss",
    "translation",
    "contextual",
    "gpu",
)


def main() -> int:
    """Run the jobs one after the other, so that none slows another; print the time of each."""
    options = ["--quick"] if "--quick" in sys.argv[1:] else []
    jobs = SPEED if options else (*SPEED, *MINUTES)
    failed, spent = [], []
    for job in jobs:
        command = [sys.executable, str(FOLDER / f"{job}.py"), *options]
        print(f"\n== {job}", flush=True)
        codes: list[int] = []
        timed = measure(lambda: codes.append(subprocess.run(command, check=False).returncode))  # noqa: B023 - called at once
        spent.append((job, timed.seconds, timed.cpu_seconds))
        if any(codes):
            failed.append(job)
    spent.append(("all jobs", sum(each[1] for each in spent), sum(each[2] for each in spent)))
    print()
    for job, seconds, cpu_seconds in spent:
        print(f"{job:20}{seconds:8.0f} s{cpu_seconds:8.0f} s of CPU time")
    if failed:
        print(f"failed: {', '.join(failed)}")
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
