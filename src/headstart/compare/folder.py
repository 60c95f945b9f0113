"""The folder that a comparison writes: it replaces its own, and nothing else."""

from pathlib import Path

from headstart.compare.tasks import ComparedTask, Examples
from headstart.errors import SettingsError
from headstart.storage import MANIFEST, read_json


def check_that_nothing_is_replaced(
    folder: Path, title: str, task: ComparedTask, train: Examples
) -> None:
    """Refuse the folder of a model, or of a comparison on something else: they would be lost.

    Raises:
        SettingsError: It is such a folder.
    """
    if (folder / MANIFEST).exists():
        raise SettingsError(f"{folder} holds a model; choose another folder (--out)")
    path = folder / "results.json"
    if not path.is_file():
        return
    before = read_json(path)
    if (of := before.get("title", title)) != title:
        raise SettingsError(
            f"{path} holds another comparison, {of!r}; choose another folder (--out), or remove it"
        )
    data = before.get("data")
    classes = data.get("classes", ()) if isinstance(data, dict) else ()
    kinds = {str(each.get("label")) for each in classes}
    if before.get("task", task.name) != task.name or (
        kinds and kinds.isdisjoint(map(str, task.kinds(train)))
    ):
        raise SettingsError(
            f"{path} holds a comparison of {title!r} by other labels, or of another task; choose "
            "another folder (--out), or remove it"
        )
