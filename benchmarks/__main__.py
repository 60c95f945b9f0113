"""Run every job, each with its own script: `make bench`, or `make bench-quick` on less.

A job whose data or peer is absent says so and is passed over; a job that fails fails the run.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parent
QUICK = {
    "word2vec": ["--repetitions", "1", "--epochs", "1"],
    "glove": ["--repetitions", "1", "--iterations", "2"],
    "load_vectors": ["--repetitions", "1"],
    "fit_cell": ["--repetitions", "1"],
    "memory_word_vectors": ["--repetitions", "1"],
}


def main() -> int:
    """Run the jobs one after the other, for they would disturb each other."""
    quick = "--quick" in sys.argv[1:]
    failed = []
    for job, options in QUICK.items():
        command = [sys.executable, str(FOLDER / f"{job}.py"), *(options if quick else [])]
        if quick:  # a quick look does not overwrite the figures
            command += ["--results", tempfile.gettempdir()]
        print(f"\n== {job}", flush=True)
        if subprocess.run(command, check=False).returncode:
            failed.append(job)
    if failed:
        print(f"failed: {', '.join(failed)}")
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
