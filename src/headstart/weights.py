"""Weight files: safetensors, whose header is validated before it is used.

The format cannot hold code. A malicious file can still waste resources or mislead: a gigabyte
header, a million empty tensors, or a duplicate name of which only one is kept. Such files are
rejected before any tensor is loaded. The library itself checks shapes, offsets and types against
the size of the file.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from headstart.errors import FormatError
from headstart.storage import numbered_disk_errors

MAX_HEADER_BYTES = 8 << 20
MAX_TENSORS = 20_000
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)  # smaller ones are quantized
_NAME = re.compile(r"[\w.\-]{1,256}", re.ASCII)
_ABOUT = "__metadata__"


def read_safetensors(path: Path, *, finite: bool = False) -> dict[str, Tensor]:
    """Return the tensors of a file by name.

    With `finite`, also apply `check_finite`.

    Raises:
        FormatError: The file is missing, corrupted, or not what a safetensors library would write.
    """
    try:
        _check_header(path)
        tensors: dict[str, Tensor] = load_file(path)
    except (FormatError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - the library raises its own and many built-in errors
        raise FormatError(f"{path}: not readable: {error}") from None
    if finite:
        check_finite(path, tensors)
    return tensors


def write_safetensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write tensors by name; a disk error is raised as `OSError`."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with numbered_disk_errors():
        save_file(plain, path, metadata)


def check_finite(path: Path, tensors: dict[str, Tensor]) -> None:
    """Reject weights that are not finite floats.

    Raises:
        FormatError: A tensor contains NaN or infinity, or is neither float nor int64; the message
            names the tensor.
    """
    for name, tensor in tensors.items():
        if tensor.dtype != torch.int64:  # the tag IDs of a majority tagger
            check_values(path, name, tensor)


def check_values(place: object, name: str, tensor: Tensor) -> None:
    """Check that a weight tensor has finite floats of at least 16 bits.

    Args:
        place: The file or folder, for errors.
        name: The name of the tensor in the file.
        tensor: The tensor.

    Raises:
        FormatError: The type is not such a float, or a value is NaN or infinity.
    """
    if tensor.dtype not in FLOATS:
        raise FormatError(
            f"{place}: {name} holds {str(tensor.dtype).removeprefix('torch.')}, expected floats; "
            "quantized weights are not supported"
        )
    if not torch.isfinite(tensor).all():
        raise FormatError(f"{place}: {name} contains NaN or infinity")


def _check_header(path: Path) -> None:
    """Reject a header that is too long, or has too many, duplicate or invalid tensor names."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > MAX_HEADER_BYTES:
            raise FormatError(
                f"{path}: not readable: the header has {length:,} bytes, more than "
                f"{MAX_HEADER_BYTES >> 20} MiB; the file is corrupted or not a safetensors file"
            )
        header = file.read(length)
    try:
        table = json.loads(header, object_pairs_hook=_distinct)
    except RecursionError:
        raise FormatError(f"{path}: not readable: the header is nested too deeply") from None
    names = [name for name in table if name != _ABOUT]
    if len(names) > MAX_TENSORS:
        raise FormatError(f"{path}: contains {len(names):,} tensors, more than {MAX_TENSORS:,}")
    for name in names:
        if not _NAME.fullmatch(name):
            raise FormatError(f"{path}: {name!r:.60} is not a valid tensor name")


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the header has {twice!r:.60} twice")
    return table
