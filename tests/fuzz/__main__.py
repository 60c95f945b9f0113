"""Fuzz a reader with atheris: `python -m tests.fuzz csv 600`, for ten minutes; see `make fuzz`.

What it learns is kept in `runs/fuzz/READER`, and gone on from. A file on which a reader fails is
written to `tests/fuzz/corpus/READER`: there the tests read it again, for ever. Ten seconds for a
file, or a GiB more memory than the process has before the first one, are failures as well.
"""

import resource
import sys
import tempfile
from pathlib import Path

import atheris

COMPILED = ["headstart.hub.foreign.text_rows"]  # numba cannot compile what atheris has rewritten

with atheris.instrument_imports(include=["headstart"], exclude=COMPILED):
    from tests.reliability.readers import make_readers, place_for

ROOT = Path(__file__).resolve().parents[2]
_MAX_BYTES = 1 << 14
_MEMORY_MIB = 1024


def main() -> None:
    """Fuzz the reader that is named for as many seconds as are said."""
    name, seconds = sys.argv[1], sys.argv[2]
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    reader, place = make_readers(folder)[name], place_for(name, folder)
    learnt, found = ROOT / "runs" / "fuzz" / name, ROOT / "tests" / "fuzz" / "corpus" / name
    for each in (learnt, found):
        each.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(reader.seeds):
        (learnt / f"seed-{number}").write_bytes(seed)
        reader(place, seed)  # what it imports and compiles is no part of the first file's time
    before_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    atheris.Setup(
        [
            sys.argv[0],
            str(learnt),
            str(found),
            f"-artifact_prefix={found}/",
            f"-max_total_time={seconds}",
            f"-max_len={max(_MAX_BYTES, *map(len, reader.seeds))}",
            "-timeout=10",
            f"-rss_limit_mb={before_mib + _MEMORY_MIB}",  # of the peak; looked at every second
            "-print_final_stats=1",
        ],
        lambda content: reader(place, content),
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
