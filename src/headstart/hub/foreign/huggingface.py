"""Folders written by `transformers`: weights and configuration, on disk or on the Hub.

Weights are safetensors, in one file or several. A pickle is loaded only if torch can do so without
running code. References to custom code are always ignored.
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
from headstart.errors import FormatError, NetworkError, SettingsError, first_line
from headstart.hub.foreign.trial import try_reading
from headstart.progress import SILENT, Progress
from headstart.storage import file_sha256, read_json
from headstart.weights import read_safetensors

CONFIG = "config.json"
_SAFETENSORS = "model.safetensors"
_PICKLE = "pytorch_model.bin"
_WEIGHTS = (_SAFETENSORS, f"{_SAFETENSORS}.index.json", _PICKLE, f"{_PICKLE}.index.json")
_OTHERS = ("tf_model.h5", "flax_model.msgpack", "model.ckpt.index", "rust_model.ot")
_ENCODER = "encoder"  # subfolder of our fitted models
_OLD_PLACE = "0_Transformer/"  # subfolder in the oldest folders of sentence-transformers
_SMALL_FILES = [
    *("*.json", "*.txt", "README.md", "vocab.bpe", "bpe.codes", "*.model"),
    *("encoder/README.md", "report.html", "encoder/report.html"),  # in our models
]
_HUB_ID = re.compile(r"(?=.{,96}$)[\w][\w.-]*/[\w][\w.-]*")  # at most 96 characters on the Hub
_FILES = {".txt", ".bin", ".vec", ".gz", ".zst", ".npy", ".json", ".safetensors", ".hdf5", ".csv"}
_HASH = re.compile("[0-9a-f]{64}")
_ZIP = b"PK\x03\x04"


def as_path(source: str | Path) -> Path:
    """Return where a model is, as a path.

    Raises:
        SettingsError: It is neither a path nor a Hub id, or empty.
    """
    if not isinstance(source, str | os.PathLike) or source == "":
        raise SettingsError(f"expected the path or Hub id of a model, got {source!r:.40}")
    return Path(source)


def is_hub_id(source: str | Path) -> bool:
    """Return whether this can only be a Hub id: `owner/name`, and no such folder exists."""
    return (
        isinstance(source, str)
        and _HUB_ID.fullmatch(source) is not None
        and not Path(source).exists()
        and not Path(source).parent.is_dir()
        and Path(source).suffix not in _FILES
    )


def read_config(folder: Path) -> dict[str, Any]:
    """Return `config.json`, with a `model_type` even if the file is too old to have it.

    Raises:
        FormatError: It is missing or corrupted, or does not identify the model.
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
    """Return whether a `config.json` is one of `transformers`, judging by its fields."""
    return any(name in config for name in ("model_type", "architectures", "hidden_size", "n_embd"))


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Return all tensors of a folder by name.

    Raises:
        FormatError: There are none, or a file is corrupted or could run code.
    """
    for name in _WEIGHTS:
        if (folder / name).is_file():
            if name.endswith(".json"):
                return _read_parts(folder, name)
            return read_tensors(folder / name)
    others = [name for name in _OTHERS if (folder / name).exists()]
    hint = f"; {others[0]} is for another library, save it as safetensors" if others else ""
    raise FormatError(f"{folder}: has no weights; looked for {', '.join(_WEIGHTS)}{hint}")


def _read_parts(folder: Path, index: str) -> dict[str, Tensor]:
    files = read_json(folder / index).get("weight_map")
    if not isinstance(files, dict) or not all(isinstance(file, str) for file in files.values()):
        raise FormatError(f"{folder / index}: 'weight_map' is missing")
    tensors: dict[str, Tensor] = {}
    for file in sorted(set(files.values())):
        if Path(file).name != file or file.startswith("."):
            raise FormatError(f"{folder / index}: names a file outside its folder: {file!r}")
        if not os.path.isfile(folder / file):  # Path.is_file raises if the name is too long
            raise FormatError(f"{folder / file}: missing, although {index} lists it")
        tensors |= read_tensors(folder / file)
    if absent := sorted(files.keys() - tensors.keys()):
        raise FormatError(f"{folder / index}: lists {absent[0]!r}, which no file contains")
    return tensors


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file, or of a pickle that contains nothing else.

    Raises:
        FormatError: The file is corrupted or could run code.
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
            f"{path}: not a pickle of tensors only, so it could run code or is corrupted; use "
            f"safetensors instead ({first_line(error)})"
        ) from None
    if not isinstance(tensors, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in tensors.items()
    ):
        raise FormatError(f"{path}: expected a dictionary of tensors by name")
    for name, tensor in tensors.items():
        if not _is_plain(tensor):
            raise FormatError(f"{path}: {name!r:.60} is not a plain tensor stored in the file")
    return dict(tensors)


def _check_archive(path: Path) -> None:
    """Reject a compressed zip archive: torch never writes one, and it may be a bomb.

    Raises:
        FormatError: The archive is compressed or corrupted.
    """
    with path.open("rb") as file:
        if file.read(len(_ZIP)) != _ZIP:
            return
        try:
            parts = zipfile.ZipFile(file).infolist()
        except (zipfile.BadZipFile, ValueError) as error:
            raise FormatError(f"{path}: corrupted zip archive: {error}") from None
    packed = any(part.compress_type != zipfile.ZIP_STORED for part in parts)
    if packed or sum(part.file_size for part in parts) > path.stat().st_size:
        raise FormatError(f"{path}: compressed zip archive, which torch never writes; not loaded")


def _is_plain(tensor: Tensor) -> bool:
    """Return whether a tensor is dense, on the CPU, and no larger than its storage."""
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
    """Download a model from the Hub to the local Hub cache and return its folder, of one commit.

    Pickled weights are downloaded only if there are no others. The cache names weight files by
    their hash, which is verified.

    Args:
        source: The id, `owner/name`.
        revision: A branch, tag or commit; None means the main branch.
        local_files_only: Use only the cache; do not access the network.
        progress: Receives progress updates.

    Raises:
        NetworkError: The Hub cannot be reached, or has no such model that we may access.
        FormatError: A file does not match its hash.
    """
    safe, pickled = "model*.safetensors", "pytorch_model*.bin"
    wanted = [*_SMALL_FILES, safe, _OLD_PLACE + safe, f"{_ENCODER}/{safe}"]
    folder = _snapshot(source, wanted, revision, local_files_only, progress)
    if not any((*folder.glob(safe), *folder.glob(_OLD_PLACE + safe))):
        commit = folder.name  # stay at this commit even if another was pushed since
        wanted = [pickled, _OLD_PLACE + pickled]
        folder = _snapshot(source, wanted, commit, local_files_only, progress)
    for file in sorted(folder.rglob("*")):
        _check_content(file)
    return folder


def _check_content(file: Path) -> None:
    """Check a weight file in the Hub cache against its name there, which is its SHA-256.

    Raises:
        FormatError: It was corrupted or modified.
    """
    blob = file.resolve()
    if not (file.is_symlink() and _HASH.fullmatch(blob.name)):
        return  # a folder, a small file, or a cache without links, where names are no hashes
    if file_sha256(blob) != blob.name:
        raise FormatError(f"{file}: differs from the Hub's file; delete {blob} and load it again")


def _snapshot(
    source: str,
    patterns: list[str],
    revision: str | None,
    local_files_only: bool,  # noqa: FBT001 - passed on
    progress: Progress,
) -> Path:
    from huggingface_hub.errors import LocalEntryNotFoundError  # slow to import, rarely needed

    try:
        with progress.stage(f"downloading {source}", unit="bytes") as advance:
            return snapshot(
                source,
                patterns,
                repo_type="model",
                revision=revision,
                name=source,
                unknown="no such file or folder, and no such model on the Hub",
                local_files_only=local_files_only,
                advance=advance,
            )
    except NetworkError:
        raise
    except LocalEntryNotFoundError as error:
        if local_files_only:
            why = "not in the local Hub cache, and network access is disabled"
        else:
            why = "the Hub cannot be reached, and the local cache has no copy"
        raise NetworkError(f"{source}: no such file or folder; {why}") from error
    except OSError as error:
        raise NetworkError(f"{source}: cannot be downloaded from the Hub: {error}") from error
