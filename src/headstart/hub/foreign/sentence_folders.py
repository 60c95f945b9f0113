"""Folders written by the `sentence-transformers` package: a sequence of modules.

The transformer is in the folder itself or, in the package's early years, in `0_Transformer`. A
second module defines how its states are pooled into one vector per text. Later modules are ignored.
"""

import json
import os
from pathlib import Path
from typing import Any

from headstart.errors import FormatError
from headstart.hub.foreign.huggingface import CONFIG
from headstart.storage import read_json

_MODULES = "modules.json"
_SETTINGS = "sentence_bert_config.json"
_POOLING = "1_Pooling"
_READ = ("Transformer", "Pooling", "Normalize")  # the last changes lengths, not directions
_MOST_BYTES = 1 << 20  # maximum size of a list of modules


def transformer_folder(folder: Path) -> Path:
    """Return the folder of the transformer: the folder itself or a subfolder.

    Raises:
        FormatError: The list of modules is corrupted.
    """
    if (folder / CONFIG).exists():
        return folder
    path = next((path for kind, path in _modules(folder) if kind == "Transformer"), "")
    return folder / path if os.path.isfile(folder / path / CONFIG) else folder


def read_pooling(folder: Path) -> str | None:
    """Return how a sentence encoder pools states into one vector: `cls`, `mean` or `last`.

    Return None if the folder is not a sentence encoder.

    Args:
        folder: The folder of its transformer.

    Raises:
        FormatError: The pooling is not supported, or the list of modules is corrupted.
    """
    root = _root(folder)
    pooling = next((path for kind, path in _modules(root) if kind == "Pooling"), _POOLING)
    path = root / pooling / CONFIG
    if not os.path.isfile(path):  # Path.is_file raises if the name is too long
        return None
    config = read_json(path)
    ways = {name for name, value in config.items() if name.startswith("pooling_mode_") and value}
    if not ways:
        ways = {f"pooling_mode_{config.get('pooling_mode')}"}
    for name, way in (("cls", "cls_token"), ("mean", "mean_tokens"), ("last", "lasttoken")):
        if ways in ({f"pooling_mode_{way}"}, {f"pooling_mode_{name}"}):
            return name
    raise FormatError(f"{path}: unsupported pooling: {', '.join(sorted(ways))}")


def left_out(folder: Path, positions: int | None) -> list[str]:
    """Return how headstart uses a sentence encoder differently from its package.

    Args:
        folder: The folder of its transformer.
        positions: The transformer's maximum sequence length; None if there is no limit.

    Raises:
        FormatError: The list of modules or the package's settings are corrupted.
    """
    notes = [
        f"its module {path or kind} ({kind}) is ignored: text vectors are those after pooling"
        for kind, path in _modules(_root(folder))
        if kind not in _READ
    ]
    settings = read_json(folder / _SETTINGS) if (folder / _SETTINGS).is_file() else {}
    most = settings.get("max_seq_length")
    if type(most) is int and most > 0 and (positions is None or most < positions):
        notes.append(
            f"sentence-transformers truncates texts to {most:,} tokens, and headstart to "
            f"max_tokens; set max_tokens={most} for the same texts"
        )
    return notes


def _root(folder: Path) -> Path:
    """Return the folder with the list of modules that a transformer's folder belongs to."""
    beside = not (folder / _MODULES).is_file() and (folder.parent / _MODULES).is_file()
    if beside and ("Transformer", folder.name) in _modules(folder.parent):
        return folder.parent
    return folder


def _modules(folder: Path) -> list[tuple[str, str]]:
    """Return the kind and subfolder of each module; empty for the folder itself."""
    file = folder / _MODULES
    if not file.is_file():
        return []
    modules: Any = None
    try:
        if file.stat().st_size <= _MOST_BYTES:
            modules = json.loads(file.read_bytes())
        found = [(str(each["type"]).rpartition(".")[2], str(each["path"])) for each in modules]
    except (ValueError, RecursionError, TypeError, LookupError):
        raise FormatError(f"{file}: not a list of modules with 'type' and 'path'") from None
    for _, path in found:
        if path != Path(path).name or path.startswith("."):
            raise FormatError(f"{file}: names a module outside its folder: {path!r:.80}")
    return found
