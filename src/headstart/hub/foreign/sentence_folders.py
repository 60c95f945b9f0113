"""Folders as the `sentence-transformers` package writes them: modules, one after the other.

The transformer lies in the folder itself, or, from the package's first years, in `0_Transformer`.
How its states become one vector of a text is told beside it. What comes after that is not read.
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
_READ = ("Transformer", "Pooling", "Normalize")  # the last changes lengths, and no directions
_MOST_BYTES = 1 << 20  # of a list of modules


def transformer_folder(folder: Path) -> Path:
    """Return where the folder's transformer is: in it, or in a folder of its own.

    Raises:
        FormatError: The list of its modules is damaged.
    """
    if (folder / CONFIG).exists():
        return folder
    path = next((path for kind, path in _modules(folder) if kind == "Transformer"), "")
    return folder / path if os.path.isfile(folder / path / CONFIG) else folder


def read_pooling(folder: Path) -> str | None:
    """Return how a sentence encoder makes one vector of a text: `cls`, `mean` or `last`.

    None stands for a folder that is none.

    Args:
        folder: The folder of its transformer.

    Raises:
        FormatError: In another way, or the list of its modules is damaged.
    """
    root = _root(folder)
    pooling = next((path for kind, path in _modules(root) if kind == "Pooling"), _POOLING)
    path = root / pooling / CONFIG
    if not os.path.isfile(path):  # which a name too long is not
        return None
    config = read_json(path)
    ways = {name for name, value in config.items() if name.startswith("pooling_mode_") and value}
    if not ways:
        ways = {f"pooling_mode_{config.get('pooling_mode')}"}
    for name, way in (("cls", "cls_token"), ("mean", "mean_tokens"), ("last", "lasttoken")):
        if ways in ({f"pooling_mode_{way}"}, {f"pooling_mode_{name}"}):
            return name
    raise FormatError(f"{path}: pools in a way that headstart does not: {', '.join(sorted(ways))}")


def left_out(folder: Path, positions: int | None) -> list[str]:
    """Return in what a sentence encoder is not read as its package reads it.

    Args:
        folder: The folder of its transformer.
        positions: The longest text that the transformer reads; None if there is no limit.

    Raises:
        FormatError: The list of its modules, or the package's settings, are damaged.
    """
    notes = [
        f"its module {path or kind} ({kind}) is left out: vectors of texts are those after pooling"
        for kind, path in _modules(_root(folder))
        if kind not in _READ
    ]
    settings = read_json(folder / _SETTINGS) if (folder / _SETTINGS).is_file() else {}
    most = settings.get("max_seq_length")
    if type(most) is int and most > 0 and (positions is None or most < positions):
        notes.append(
            f"sentence-transformers reads {most:,} tokens of a text, and headstart as many as "
            f"max_tokens says; max_tokens={most} reads the same"
        )
    return notes


def _root(folder: Path) -> Path:
    """Return the folder of the modules to which that of a transformer belongs."""
    beside = not (folder / _MODULES).is_file() and (folder.parent / _MODULES).is_file()
    if beside and ("Transformer", folder.name) in _modules(folder.parent):
        return folder.parent
    return folder


def _modules(folder: Path) -> list[tuple[str, str]]:
    """Return the kind of each module, and its folder inside, which may be the folder itself."""
    file = folder / _MODULES
    if not file.is_file():
        return []
    modules: Any = None
    try:
        if file.stat().st_size <= _MOST_BYTES:
            modules = json.loads(file.read_bytes())
        found = [(str(each["type"]).rpartition(".")[2], str(each["path"])) for each in modules]
    except (ValueError, RecursionError, TypeError, LookupError):
        raise FormatError(f"{file}: is no list of modules with 'type' and 'path'") from None
    for _, path in found:
        if path != Path(path).name or path.startswith("."):
            raise FormatError(f"{file}: names a module outside its folder: {path!r:.80}")
    return found
