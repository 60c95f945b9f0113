"""Folders as `transformers` writes them: weights and configuration, on the disk or on the hub.

Weights are safetensors, in one file or several; a pickle is read only as far as torch reads it
without running code. What a folder says about code of its own is never followed.
"""

import os
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from headstart.data.hub_files import snapshot
from headstart.errors import FormatError, NetworkError, first_line
from headstart.hub.foreign.trial import try_reading
from headstart.progress import SILENT, Progress
from headstart.storage import file_sha256, read_json
from headstart.weights import read_safetensors

CONFIG = "config.json"
_SAFETENSORS = "model.safetensors"
_PICKLE = "pytorch_model.bin"
_WEIGHTS = (_SAFETENSORS, f"{_SAFETENSORS}.index.json", _PICKLE, f"{_PICKLE}.index.json")
_OTHERS = ("tf_model.h5", "flax_model.msgpack", "model.ckpt.index", "rust_model.ot")
_ENCODER = "encoder"  # of a fitted model of ours
_OLD_PLACE = "0_Transformer/"  # of the weights in the oldest folders of sentence-transformers
_SMALL_FILES = [
    *("*.json", "*.txt", "README.md", "vocab.bpe", "bpe.codes", "*.model"),
    *("encoder/README.md", "report.html", "encoder/report.html"),  # of our models
]
_HUB_ID = re.compile(r"(?=.{,96}$)[\w][\w.-]*/[\w][\w.-]*")  # the hub has no longer ones
_FILES = {".txt", ".bin", ".vec", ".gz", ".zst", ".npy", ".json", ".safetensors", ".hdf5", ".csv"}
_HASH = re.compile("[0-9a-f]{64}")
_ZIP = b"PK\x03\x04"


def is_hub_id(source: str | Path) -> bool:
    """Return whether this can only be meant for the hub: `owner/name`, and no such folder."""
    return (
        isinstance(source, str)
        and _HUB_ID.fullmatch(source) is not None
        and not Path(source).exists()
        and not Path(source).parent.is_dir()
        and Path(source).suffix not in _FILES
    )


def read_config(folder: Path) -> dict[str, Any]:
    """Return `config.json`, with the `model_type` that oldest files leave out.

    Raises:
        FormatError: It is missing or damaged, or says nothing about which model it is of.
    """
    config = read_json(folder / CONFIG)
    if isinstance(config.get("model_type"), str):
        return config
    architectures = config.get("architectures")
    first = architectures[0] if isinstance(architectures, list) and architectures else ""
    architecture = str(first).lower()
    for name in ("roberta", "bert", "gpt2", "openai-gpt"):
        if architecture.startswith(name.replace("-", "")):
            return config | {"model_type": name}
    if "n_embd" in config:
        return config | {"model_type": "openai-gpt" if "afn" in config else "gpt2"}
    if not architecture and "hidden_size" in config and "type_vocab_size" in config:
        return config | {"model_type": "bert"}
    raise FormatError(f"{folder / CONFIG}: 'model_type' is missing")


def is_transformers(config: Mapping[str, Any]) -> bool:
    """Return whether a `config.json` is of `transformers`, by the fields it has."""
    return any(name in config for name in ("model_type", "architectures", "hidden_size", "n_embd"))


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Return all tensors of a folder by their names.

    Raises:
        FormatError: There are none, or a file is damaged or would run code.
    """
    for name in _WEIGHTS:
        if (folder / name).is_file():
            if name.endswith(".json"):
                return _read_parts(folder, name)
            return read_tensors(folder / name)
    others = [name for name in _OTHERS if (folder / name).exists()]
    hint = f"; {others[0]} is of another library, save it as safetensors" if others else ""
    raise FormatError(f"{folder}: has no weights; looked for {', '.join(_WEIGHTS)}{hint}")


def _read_parts(folder: Path, index: str) -> dict[str, Tensor]:
    files = read_json(folder / index).get("weight_map")
    if not isinstance(files, dict) or not all(isinstance(file, str) for file in files.values()):
        raise FormatError(f"{folder / index}: 'weight_map' is missing")
    tensors: dict[str, Tensor] = {}
    for file in sorted(set(files.values())):
        if Path(file).name != file or file.startswith("."):
            raise FormatError(f"{folder / index}: names a file outside its folder: {file!r}")
        if not os.path.isfile(folder / file):  # which a name too long, or with a NUL, is not
            raise FormatError(f"{folder / file}: missing, though {index} lists it")
        tensors |= read_tensors(folder / file)
    if absent := sorted(files.keys() - tensors.keys()):
        raise FormatError(f"{folder / index}: lists {absent[0]!r}, which no file holds")
    return tensors


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file, or of a pickle that holds nothing else.

    Raises:
        FormatError: The file is damaged, or could run code.
    """
    if path.suffix == ".safetensors":
        return read_safetensors(path)
    _check_archive(path)
    try_reading("pickle", path)
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        if isinstance(error, MemoryError):
            raise
        raise FormatError(
            f"{path}: not a pickle of tensors alone, so it could run code, or is damaged; ask for "
            f"safetensors instead ({first_line(error)})"
        ) from None
    if not isinstance(tensors, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in tensors.items()
    ):
        raise FormatError(f"{path}: expected tensors by their names")
    for name, tensor in tensors.items():
        if not _is_plain(tensor):
            raise FormatError(f"{path}: {name!r:.60} is no plain tensor that lies in the file")
    return dict(tensors)


def _check_archive(path: Path) -> None:
    """Refuse a zip archive whose parts are packed: torch packs none, and they may be a bomb.

    Raises:
        FormatError: It is one.
    """
    with path.open("rb") as file:
        if file.read(len(_ZIP)) != _ZIP:
            return
        try:
            parts = zipfile.ZipFile(file).infolist()
        except (zipfile.BadZipFile, ValueError) as error:
            raise FormatError(f"{path}: a damaged zip archive: {error}") from None
    packed = any(part.compress_type != zipfile.ZIP_STORED for part in parts)
    if packed or sum(part.file_size for part in parts) > path.stat().st_size:
        raise FormatError(f"{path}: its parts are packed, which torch never does; not unpacked")


def _is_plain(tensor: Tensor) -> bool:
    """Whether a tensor is dense, here, and no larger than what is stored of it."""
    if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_nested:
        return False
    if tensor.is_quantized:
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def download(
    source: str,
    *,
    revision: str | None = None,
    local_files_only: bool = False,
    progress: Progress = SILENT,
) -> Path:
    """Bring a model of the hub into its cache and return the folder, of one commit.

    Pickled weights are fetched only where there are no others. The hub's cache calls weights by
    the hash of their content, which is checked.

    Args:
        source: The id, `owner/name`.
        revision: A branch, tag or commit; the main branch if None.
        local_files_only: Take what the cache has and ask nobody.
        progress: Where progress goes.

    Raises:
        NetworkError: The hub cannot be reached, or has no such model for us.
        FormatError: A file is not what its hash promises.
    """
    safe, pickled = "model*.safetensors", "pytorch_model*.bin"
    wanted = [*_SMALL_FILES, safe, _OLD_PLACE + safe, f"{_ENCODER}/{safe}"]
    folder = _snapshot(source, wanted, revision, local_files_only, progress)
    if not any((*folder.glob(safe), *folder.glob(_OLD_PLACE + safe))):
        commit = folder.name  # the same files, whatever was pushed since
        wanted = [pickled, _OLD_PLACE + pickled]
        folder = _snapshot(source, wanted, commit, local_files_only, progress)
    for file in sorted(folder.rglob("*")):
        _check_content(file)
    return folder


def _check_content(file: Path) -> None:
    """Check a file of the hub's cache against its name there, which of weights is their SHA-256.

    Raises:
        FormatError: It was damaged or changed.
    """
    blob = file.resolve()
    if not (file.is_symlink() and _HASH.fullmatch(blob.name)):
        return  # a folder, a small file, or a cache without links, where no name tells
    if file_sha256(blob) != blob.name:
        raise FormatError(f"{file}: is not what the hub has; remove {blob} and fetch it again")


def _snapshot(
    source: str,
    patterns: list[str],
    revision: str | None,
    local_files_only: bool,  # noqa: FBT001 - passed on
    progress: Progress,
) -> Path:
    from huggingface_hub.errors import LocalEntryNotFoundError  # slow to import, seldom needed

    try:
        with progress.stage(f"downloading {source}", unit="bytes") as advance:
            return snapshot(
                source,
                patterns,
                repo_type="model",
                revision=revision,
                name=source,
                unknown="no such file or folder here, and no such model on the hub",
                local_files_only=local_files_only,
                advance=advance,
            )
    except NetworkError:
        raise
    except LocalEntryNotFoundError as error:
        if local_files_only:
            why = "it is not in the hub's cache, and nobody may be asked"
        else:
            why = "the hub cannot be reached, and its cache has no copy"
        raise NetworkError(f"{source}: no such file or folder here; {why}") from error
    except OSError as error:
        raise NetworkError(f"{source}: cannot be fetched from the hub: {error}") from error
