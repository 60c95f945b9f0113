"""Files of weights: safetensors, whose header is checked before anything it says is believed.

The format holds no code. What it lets a stranger do is waste: a header of a gigabyte, a million
empty tensors, a name twice of which one wins. Such files are refused before a tensor is looked at;
shapes, places and types the library itself checks against the size of the file.
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
    """Return the tensors of a file by their names.

    With `finite`, refuse any value that is not a finite float.

    Raises:
        FormatError: The file is missing, damaged, or not such as anybody's library writes.
    """
    try:
        _check_header(path)
        tensors: dict[str, Tensor] = load_file(path)
    except (FormatError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - the library's own, and Python's of many kinds
        raise FormatError(f"{path}: not readable: {error}") from None
    if finite:
        check_finite(path, tensors)
    return tensors


def write_safetensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write tensors under their names; the disk's errors are an `OSError`."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with numbered_disk_errors():
        save_file(plain, path, metadata)


def check_finite(path: Path, tensors: dict[str, Tensor]) -> None:
    """Refuse weights with which nothing can be computed.

    Raises:
        FormatError: A tensor holds NaN or infinity, or neither floats nor whole numbers; names it.
    """
    for name, tensor in tensors.items():
        if tensor.dtype != torch.int64:  # the tags of a tagger that only looks up
            check_values(path, name, tensor)


def check_values(place: object, name: str, tensor: Tensor) -> None:
    """Check that a weight is of finite floats.

    Args:
        place: The file or folder, for errors.
        name: The file's own name of it.
        tensor: The weight.

    Raises:
        FormatError: It is of whole numbers or floats of 8 bits, or holds NaN or infinity.
    """
    if tensor.dtype not in FLOATS:
        raise FormatError(
            f"{place}: {name} holds {str(tensor.dtype).removeprefix('torch.')}, expected floats; "
            "quantized weights cannot be read"
        )
    if not torch.isfinite(tensor).all():
        raise FormatError(f"{place}: {name} holds NaN or infinity")


def _check_header(path: Path) -> None:
    """Refuse a header that is too long, or names tensors twice, too many, or oddly."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > MAX_HEADER_BYTES:
            raise FormatError(
                f"{path}: not readable: a header of {length:,} bytes, more than "
                f"{MAX_HEADER_BYTES >> 20} MiB; the file is damaged, or no safetensors file"
            )
        header = file.read(length)
    try:
        table = json.loads(header, object_pairs_hook=_distinct)
    except RecursionError:
        raise FormatError(f"{path}: not readable: its header is nested too deeply") from None
    names = [name for name in table if name != _ABOUT]
    if len(names) > MAX_TENSORS:
        raise FormatError(f"{path}: {len(names):,} tensors, more than {MAX_TENSORS:,}")
    for name in names:
        if not _NAME.fullmatch(name):
            raise FormatError(f"{path}: {name!r:.60} is no name of a tensor")


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"its header has {twice!r:.60} twice")
    return table
