"""The tasks that can be compared, and what a comparison has to know of each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from headstart.data.labelled import Dataset, read_labelled
from headstart.data.pairs import PairDataset, read_labelled_pairs
from headstart.data.parallel import Pair
from headstart.data.tables import table_columns
from headstart.errors import DataError, SettingsError
from headstart.progress import Progress
from headstart.tasks.pairs import Pairs
from headstart.transfer.estimators import TextClassifier
from headstart.transfer.pairs import PairClassifier

Examples = Dataset | PairDataset


class Columns(NamedTuple):
    """The columns that were asked for."""

    text: str | None = None
    pair: Sequence[str] | None = None
    label: str | None = None


@dataclass(frozen=True, kw_only=True)
class ComparedTask:
    """A task as a comparison sees it.

    Attributes:
        name: What it is called: `classification`, ..
        example: What has a label: a `text`, ..
        metric: What a method is scored by.
        pairs: How the texts of an example belong together, if it has two.
        dataset: What labelled examples are, once they are read.
        read: Reads them from a file.
        estimator: What is fitted to them.
        texts: All texts of some examples, as an encoder reads them.
        as_text: An example as one text, where it is looked for, timed and shown.
    """

    name: str
    example: str
    metric: str
    pairs: Pairs
    dataset: type[Examples]
    read: Callable[[str | Path, Columns, Progress], Examples]
    estimator: type[TextClassifier]
    texts: Callable[[Sequence[Any]], list[str]]
    as_text: Callable[[Any], str]

    def as_texts(self, examples: Examples) -> Dataset:
        """Return labelled examples as labelled texts, one text an example."""
        if isinstance(examples, Dataset):
            return examples
        texts = list(map(self.as_text, examples.texts))
        return Dataset(texts, examples.labels, examples.source, examples.lines, examples.notes)


def _read_texts(path: str | Path, columns: Columns, progress: Progress) -> Dataset:
    if columns.pair is not None:
        raise SettingsError("pair columns are for pairs; compare with task='pair' (--task pair)")
    if columns.text is None:
        there = table_columns(Path(path))
        if "text" not in there and {"text_a", "text_b"} <= set(there):
            raise DataError(
                f"{path}: has columns 'text_a' and 'text_b', as pairs have; compare with "
                "task='pair' (--task pair), or name one column with text_column (--text-column)"
            )
    return read_labelled(
        path, text_column=columns.text, label_column=columns.label, progress=progress
    )


def _read_pairs(path: str | Path, columns: Columns, progress: Progress) -> PairDataset:
    return read_labelled_pairs(
        path, pair_columns=columns.pair, label_column=columns.label, progress=progress
    )


def sides(pairs: Sequence[Pair]) -> list[str]:
    """Return all the first texts, and then all the second ones."""
    return [first for first, _ in pairs] + [second for _, second in pairs]


CLASSIFICATION = ComparedTask(
    name="classification",
    example="text",
    metric="accuracy",
    pairs=None,
    dataset=Dataset,
    read=_read_texts,
    estimator=TextClassifier,
    texts=list,
    as_text=str,
)
PAIR = ComparedTask(
    name="pair",
    example="pair",
    metric="accuracy",
    pairs="ordered",
    dataset=PairDataset,
    read=_read_pairs,
    estimator=PairClassifier,
    texts=sides,
    as_text=" | ".join,
)
TASKS = {task.name: task for task in (CLASSIFICATION, PAIR)}


def choose_task(task: str | None, demo: str | None, *, has_data: bool) -> ComparedTask:
    """Return the task that is asked for, by its name or that of its demo.

    Raises:
        SettingsError: There is no such task, or the two do not go together.
    """
    if demo is not None and has_data:
        raise SettingsError("a demo brings its own data; give data or a demo, not both")
    if None not in (task, demo) and task != demo:
        raise SettingsError(f"the demo {demo!r} is of another task than {task!r}; leave one out")
    name = task or demo or CLASSIFICATION.name
    if name not in TASKS:
        raise SettingsError(f"no task {name!r} to compare; there are {', '.join(TASKS)}")
    return TASKS[name]
