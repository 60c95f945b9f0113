"""The output folder of a comparison, which replaces only what a comparison wrote."""

from pathlib import Path
from typing import Any

from headstart.compare.tasks import ComparedTask, Examples
from headstart.errors import SettingsError
from headstart.storage import MANIFEST, check_can_be_folder, read_json

_RESULTS = "results.json"
_OTHERS = (  # written beside the results when all cells are finished
    *("best", "inspected", "report.html", "learning_curves.svg"),
    *("results.parquet", "settings.toml"),
)
_MODELS = ("best", "inspected/scratch", "inspected/finetuned")
_ELSEWHERE = "choose another folder (--out)"


def check_that_it_is_ours(folder: Path) -> None:
    """Check that only files that a comparison wrote would be replaced in the folder.

    A stopped comparison is recognized by its cells; it may have a winner but no results yet.

    Raises:
        SettingsError: Something else would be replaced, or the folder holds a model.
        ExistsError: The path is a file, or below one.
        StorageError: Nothing can be written there.
        FormatError: The results in the folder cannot be read.
    """
    check_can_be_folder(folder)
    if (folder / MANIFEST).exists():
        raise SettingsError(f"{folder} holds a model; {_ELSEWHERE}")
    path = folder / _RESULTS
    if path.exists():
        if "title" not in read_json(path):
            raise SettingsError(
                f"{path}: not written by a comparison, but would be replaced; {_ELSEWHERE}, or "
                "move it away"
            )
    elif not any((folder / "cells").glob("*.json")):
        for name in _OTHERS:
            if (folder / name).exists():
                raise SettingsError(
                    f"{folder / name}: not written by a comparison (there is no {_RESULTS} beside "
                    f"it), but would be replaced; {_ELSEWHERE}, or move it away"
                )
    for name in _MODELS:
        if _is_no_model(folder / name):
            raise SettingsError(
                f"{folder / name}: not a model, but a model would be saved there; {_ELSEWHERE}, or "
                "move it away"
            )


def check_that_it_is_the_same(
    folder: Path, title: str, task: ComparedTask, train: Examples, data_print: str
) -> None:
    """Check that the folder does not hold a different comparison, which would be lost.

    Raises:
        SettingsError: It does.
    """
    path = folder / _RESULTS
    if not path.exists():
        return
    before = read_json(path)
    if (of := before.get("title")) != title:
        raise SettingsError(f"{path} holds another comparison, {of!r}; {_ELSEWHERE}, or remove it")
    kinds = _kinds(before)
    if before.get("task", task.name) != task.name or (
        kinds and kinds.isdisjoint(map(str, task.kinds(train)))
    ):
        raise SettingsError(
            f"{path} holds a comparison of {title!r} with other labels or for another task; "
            f"{_ELSEWHERE}, or remove it"
        )
    if before.get("data_print", data_print) != data_print:
        raise SettingsError(
            f"{path} holds a comparison of {title!r} on other rows: a file of the same name has "
            "changed since, or the test rows, the tags' scheme or the data in memory differ; "
            f"{_ELSEWHERE}, or remove it"
        )


def _is_no_model(path: Path) -> bool:
    if path.is_dir():
        return not (path / MANIFEST).is_file() and any(path.iterdir())
    return path.exists()


def _kinds(before: dict[str, Any]) -> set[str]:
    """Return the classes, or types of spans, of a comparison from its results."""
    data = before.get("data")
    classes = data.get("classes") if isinstance(data, dict) else None
    found = classes if isinstance(classes, list) else ()
    return {str(each.get("label")) for each in found if isinstance(each, dict)}
