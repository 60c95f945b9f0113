"""Read untrusted files in a child process first, and in this one only if the child survives.

Libraries in Rust and C parse these files. A malicious file may crash the library, make it hang, or
use all memory, and so kill the process. The child reads the file as this process would, with limits
and without its environment. Ordinary exceptions are ignored there: this process will raise them.
"""

import atexit
import gc
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal

from headstart.errors import FormatError

Kind = Literal["tokenizer", "pieces", "transformers", "pickle", "hdf5"]
MOST_BYTES = 4 << 30  # memory, beyond twice the file's size and what importing its reader takes
MOST_SECONDS = 60  # CPU time
_PANICKED, _NO_MEMORY = 3, 4  # exit codes
_TEXT = "a Zq\u00e9 9\u6f22 \U0001f600\n"  # the text to tokenize


def try_reading(kind: Kind, path: Path, **about: object) -> None:
    """Read an untrusted file in a child process; with a tokenizer, also tokenize a text.

    Args:
        kind: `tokenizer` (a `tokenizer.json`), `pieces` (a vocabulary file, for a `model_type`),
            `transformers` (a folder from which that library builds a tokenizer), `pickle` (with
            torch tensors), or `hdf5` (with datasets of these names and `shapes`).
        path: The file or folder.
        about: Further arguments of the kind.

    Raises:
        FormatError: The reader crashed, panicked, or exceeded the limits.
    """
    size_bytes = path.stat().st_size if path.is_file() else 0
    most_bytes = MOST_BYTES + 2 * size_bytes
    given = json.dumps([kind, str(path), about, most_bytes, MOST_SECONDS])
    found = subprocess.run(  # noqa: S603 - this module, in this interpreter
        [sys.executable, "-P", "-m", __name__],
        input=given.encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # Rust prints panics there
        env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        check=False,
    )
    code, most = found.returncode, f"{most_bytes / 2**30:.3g} GiB of memory"
    if code == _PANICKED:
        reason = f"panicked: {' '.join(found.stdout.decode(errors='replace').split())}"
    elif code == _NO_MEMORY:
        reason = f"needs more than {most}"
    elif code == -signal.SIGXCPU:
        reason = f"needs more than {MOST_SECONDS} s"
    elif code < 0:
        reason = f"was killed by {signal.Signals(-code).name}; it may need more than {most}"
    else:  # success, or it could not start
        return
    raise FormatError(f"{path}: its reader {reason}; the file is corrupted or malicious")


_Limit = Callable[[], None]  # called after the imports and before the file is read


def _read_tokenizer(path: str, limit: _Limit) -> None:
    import tokenizers

    limit()
    tokenizers.Tokenizer.from_file(path).encode(_TEXT, _TEXT)


def _read_pieces(path: str, limit: _Limit, model_type: str) -> None:
    from headstart.hub.foreign.published_tokenizers import tokenizer_of_pieces

    limit()
    tokenizer_of_pieces(Path(path), model_type).encode(_TEXT, _TEXT)


def _read_transformers(path: str, limit: _Limit) -> None:
    os.environ["HF_HUB_OFFLINE"] = "1"  # the child does not inherit this process's environment
    from transformers import AutoTokenizer

    limit()
    made = AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    made.backend_tokenizer.encode(_TEXT, _TEXT)


def _read_pickle(path: str, limit: _Limit) -> None:
    import torch

    from headstart.devices import is_out_of_memory

    limit()
    try:
        torch.load(path, map_location="cpu", weights_only=True)
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise MemoryError from error


def _read_hdf5(path: str, limit: _Limit, shapes: Mapping[str, list[int]]) -> None:
    import h5py

    limit()
    with h5py.File(path, "r") as file:
        file.visititems(lambda _name, _item: None)
        for name, shape in shapes.items():
            found = file[name]
            if list(found.shape) == shape:
                found[()]


_READERS: Mapping[Kind, Callable[..., None]] = {
    "tokenizer": _read_tokenizer,
    "pieces": _read_pieces,
    "transformers": _read_transformers,
    "pickle": _read_pickle,
    "hdf5": _read_hdf5,
}


def _limit_memory(most_bytes: int) -> None:
    """Limit memory, beyond what the imports took: torch with CUDA alone maps gigabytes."""
    has_bytes = 0
    with suppress(OSError):  # a system without /proc
        pages = Path("/proc/self/statm").read_text().split()[0]
        has_bytes = int(pages) * resource.getpagesize()
    with suppress(ValueError):  # the user's own limit is lower
        resource.setrlimit(resource.RLIMIT_AS, (has_bytes + most_bytes,) * 2)


def _child() -> None:
    """Read the file that standard input names; exit with success, or as its reader ends."""
    kind, path, about, most_bytes, most_seconds = json.load(sys.stdin)
    atexit.register(gc.freeze)  # saves half a second of garbage collection in torch at exit
    resource.setrlimit(resource.RLIMIT_CPU, (most_seconds, most_seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        _READERS[kind](path, lambda: _limit_memory(most_bytes), **about)
    except MemoryError:
        sys.exit(_NO_MEMORY)
    except Exception:  # noqa: BLE001, S110 - the parent will raise it, too
        pass
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # Rust's; not a subclass of Exception
            raise
        sys.stdout.write(str(error))
        sys.exit(_PANICKED)


if __name__ == "__main__":
    _child()
