"""Strangers' files are read by a process of their own first, and by this one if it survived.

Libraries in Rust and C parse them: a hostile file may crash one, keep it busy for ever, or take all
memory, and take this process along. The child reads the file as this process would, with limits and
without its environment. What it raises in an orderly way is left to this process to tell.
"""

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from headstart.errors import FormatError

MOST_BYTES, MOST_SECONDS = 4 << 30, 60  # of memory, and of processor time
_PANICKED, _NO_MEMORY = 3, 4  # exit codes
_TEXT = "a Zq\u00e9 9\u6f22 \U0001f600\n"  # what a tokenizer has to cut


def try_tokenizer(path: Path) -> None:
    """Let a child read a `tokenizer.json` and cut a text.

    Raises:
        FormatError: It crashed, panicked, or needed more than the limits.
    """
    _try("tokenizer", path, {})


def try_hdf5(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Let a child read the datasets of an HDF5 file that have these names and shapes.

    Raises:
        FormatError: It crashed, or needed more than the limits.
    """
    _try("hdf5", path, shapes)


def _try(kind: str, path: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    given = json.dumps([kind, str(path), shapes, MOST_BYTES, MOST_SECONDS])
    found = subprocess.run(  # noqa: S603 - this module, in this interpreter
        [sys.executable, "-P", "-m", __name__],
        input=given.encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # where Rust prints its own lines
        env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        check=False,
    )
    code, most = found.returncode, f"{MOST_BYTES >> 30} GiB of memory"
    if code == _PANICKED:
        reason = f"panicked: {' '.join(found.stdout.decode(errors='replace').split())}"
    elif code == _NO_MEMORY:
        reason = f"needs more than {most}"
    elif code == -signal.SIGXCPU:
        reason = f"needs more than {MOST_SECONDS} s"
    elif code < 0:
        reason = f"was ended by {signal.Signals(-code).name}; it may need more than {most}"
    else:  # well, or it could not begin
        return
    raise FormatError(f"{path}: what reads it {reason}; the file is damaged, or means harm")


def _read_tokenizer(path: str, shapes: Mapping[str, list[int]]) -> None:
    import tokenizers

    del shapes
    tokenizer = tokenizers.Tokenizer.from_file(path)
    tokenizer.encode(_TEXT, _TEXT)


def _read_hdf5(path: str, shapes: Mapping[str, list[int]]) -> None:
    import h5py

    with h5py.File(path, "r") as file:
        file.visititems(lambda name, item: None)
        for name, shape in shapes.items():
            found = file[name]
            if list(found.shape) == shape:
                found[()]


_READERS: Mapping[str, Callable[[str, Mapping[str, list[int]]], None]] = {
    "tokenizer": _read_tokenizer,
    "hdf5": _read_hdf5,
}


def _child() -> None:
    """Read a file as told on standard input; end well, or as the file makes its reader end."""
    kind, path, shapes, most_bytes, most_seconds = json.load(sys.stdin)
    resource.setrlimit(resource.RLIMIT_AS, (most_bytes, most_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (most_seconds, most_seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        _READERS[kind](path, shapes)
    except MemoryError:
        sys.exit(_NO_MEMORY)
    except Exception:  # noqa: BLE001, S110 - the parent will see it, too
        pass
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of Rust, which is no Exception
            raise
        sys.stdout.write(str(error))
        sys.exit(_PANICKED)


if __name__ == "__main__":
    _child()
