"""The labelled rows of a comparison: read, checked, parted; and how many have labels."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from headstart.compare.tasks import TASKS, Columns, ComparedTask, Examples, settled
from headstart.data.overlap import text_key
from headstart.data.splits import split_test
from headstart.data.tagged import TaggedSentences
from headstart.errors import DataError, SettingsError
from headstart.progress import Progress
from headstart.tasks.tagging import note_of_plain

BUDGETS = (10, 25, 50, 100, 250, 1000, 2500, 10_000)
QUICK_BUDGETS = (10, 25, 250)
SENTENCES = (50, 100, 250, 1000, 2500, 10_000)  # few sentences hold few spans
QUICK_SENTENCES = (100, 400)
_MOST_LABELS = 1000  # that a ladder ends with, where they are all there are
_WORTH = 1.5  # times the last rung, and all the rows are one more
_TEST_SHARE = 0.3
_SPLIT_SEED = 0
_SHARED = 0.5  # of the rows, and intervals over seeds are too narrow for other choices of labels
_FEWEST = 2  # that one can learn from and validate by


def read_rows(
    task: ComparedTask,
    data: str | Path | Examples,
    test: str | Path | Examples | None,
    columns: Columns,
    progress: Progress,
) -> tuple[ComparedTask, Examples, Examples]:
    """Return the task as the data have it, the training rows and the test rows.

    Raises:
        DataError: The data cannot be used as they are.
        SettingsError: They are of another task.
    """
    task, given = read_examples(task, data, columns, progress)
    if test is not None:
        return task, given, _read(task, test, columns, progress)
    train, held_out = split_test(task.strata(given), test_share=_TEST_SHARE, seed=_SPLIT_SEED)
    note = f"No test file was given: {len(held_out):,} of {len(given):,} rows are kept to test on."
    kept = replace(given.select(train), notes=(*given.notes, note))
    return task, kept, given.select(held_out)


def read_examples(
    task: ComparedTask, data: str | Path | Examples, columns: Columns, progress: Progress
) -> tuple[ComparedTask, Examples]:
    """Return the task as the data have it, and the labelled examples.

    Raises:
        DataError: The data cannot be used as they are.
        SettingsError: They are of another task.
    """
    given = _read(task, data, columns, progress)
    task = settled(task, given)
    task.check(given)
    if isinstance(given, TaggedSentences) and (note := note_of_plain(given.tags, given.place)):
        given = replace(given, notes=(*given.notes, note))
    return task, given


def _read(
    task: ComparedTask, source: str | Path | Examples, columns: Columns, progress: Progress
) -> Examples:
    if isinstance(source, str | Path):
        return task.read(source, columns, progress)
    if not isinstance(source, task.dataset):
        fitting = next(
            (name for name, each in TASKS.items() if isinstance(source, each.dataset)), None
        )
        if fitting is None:
            kind = task.dataset
            raise SettingsError(
                f"labelled data are a path, or a {kind.__name__} in memory, and no "
                f"{type(source).__name__}; {kind.__module__}.{kind.__name__}(texts, labels) makes "
                "one of two lists"
            )
        raise SettingsError(
            f"{source.source}: is a {type(source).__name__}, and the task is {task.name!r}; "
            f"compare with task={fitting!r}"
        )
    return source


def without_leaks(task: ComparedTask, train: Examples, test: Examples) -> Examples:
    """Return the training rows that are no test rows, with a note that says how many were.

    Raises:
        DataError: What is left cannot be trained on.
    """
    asked = set(map(text_key, task.as_texts(test).texts))
    texts = task.as_texts(train).texts
    kept = [row for row, text in enumerate(texts) if text_key(text) not in asked]
    if len(kept) == len(train):
        return train
    if not kept:
        raise DataError(f"{train.source}: every training row is a test row, too")
    note = f"Training rows that are test rows, too, and are left out: {len(train) - len(kept):,}."
    found = replace(train.select(kept), notes=(*train.notes, note))
    task.check(found)
    return found


def choose_budgets(
    asked: Sequence[int] | None, task: ComparedTask, train: Examples, *, quick: bool
) -> tuple[int, ...]:
    """Return the label budgets, rising: those that are asked for, or the usual ones that there are.

    The usual ones end with all training rows, where these are many more than the last of them and
    still few.

    Raises:
        SettingsError: A budget is impossible.
    """
    strata, wording = len(set(task.strata(train))), task.wording
    if asked is None:
        few, many = (QUICK_SENTENCES, SENTENCES) if task.by_word else (QUICK_BUDGETS, BUDGETS)
        ladder: tuple[int, ...] = few if quick else many
        fitting = tuple(labels for labels in ladder if 2 * strata <= labels <= len(train))
        if not fitting:
            return (len(train),)
        worth = not quick and _WORTH * fitting[-1] <= len(train) <= _MOST_LABELS
        return (*fitting, len(train)) if worth else fitting
    if over := [labels for labels in asked if labels > len(train)]:
        raise SettingsError(
            f"a budget of {over[0]:,} {wording.labels} is above the {len(train):,} training rows "
            f"of {train.source}; choose smaller budgets or give more data"
        )
    if task.by_word and min(asked) < _FEWEST:
        raise SettingsError(
            f"a budget of {min(asked)} {wording.labels} is below {_FEWEST}: one to learn from and "
            "one to validate by"
        )
    if not task.by_word and min(asked) < strata:
        raise SettingsError(
            f"a budget of {min(asked)} labels is below the {strata} classes of {train.source}; "
            "each class needs one label"
        )
    return tuple(sorted(set(asked)))


def without_validation(task: ComparedTask, train: Examples, budgets: Sequence[int]) -> list[int]:
    """Return the budgets of which no row is left to validate on: each class has one label.

    All its rows are then fitted, and the same rows validate. (So they are where each class has but
    copies of one text, which is not looked for here.)
    """
    strata = len(set(task.strata(train)))
    return [labels for labels in budgets if labels == strata and not task.by_word]


def warn_of(
    unvalidated: Sequence[int],
    task: ComparedTask,
    *,
    budgets: Sequence[int],
    seeds: int,
    num_rows: int,
) -> list[str]:
    """Say at which budgets no row is left to validate on, and from which on seeds share labels.

    Args:
        unvalidated: Those that `without_validation` returns.
        task: The task.
        budgets: All budgets, rising.
        seeds: How many seeds are run.
        num_rows: How many training rows there are.
    """
    found = [
        f"With {labels:,} labels no row is left to validate on, for each {task.wording.kind} has "
        "one: validation scores there are of the rows that were fitted. The recommendation and the "
        "head start on the cover pass over that count where others were run."
        for labels in unvalidated
    ]
    shared = [labels for labels in budgets if labels >= _SHARED * num_rows]
    if shared and seeds > 1:
        rows, is_all = f"{shared[0]:,} of {num_rows:,} training rows", shared[0] == num_rows
        where = f"With {rows}" if is_all else f"From {rows} on"
        how_many = "all of their labels" if is_all else "half of their labels or more"
        found.append(
            f"{where}, seeds share {how_many}: intervals and p-values there speak for other test "
            "rows, and say little of other choices of the labels."
        )
    return found
