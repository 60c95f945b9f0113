"""The labeled rows of a comparison, read, checked and split, and its label budgets."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from headstart.compare.tasks import ANY, TASKS, Columns, ComparedTask, Examples, settled
from headstart.data.columns import several
from headstart.data.overlap import text_key
from headstart.data.splits import split_test
from headstart.data.tagged import TaggedSentences
from headstart.errors import DataError, SettingsError
from headstart.progress import Progress
from headstart.tasks.tagging import convert, note_of_plain

BUDGETS = (10, 25, 50, 100, 250, 1000, 2500, 10_000)
QUICK_BUDGETS = (10, 25, 250)
SENTENCES = (50, 100, 250, 1000, 2500, 10_000)  # fewer sentences would contain too few spans
QUICK_SENTENCES = (100, 400)
_MOST_LABELS = 1000  # up to so many training rows, all of them can be one more default budget,
_WORTH = 1.5  # if they are at least so many times the last one
_TEST_SHARE = 0.3
_SPLIT_SEED = 0
_SHARED = 0.5  # from this share of the rows on, intervals understate the choice of labels
_FEWEST = 2  # one to learn from and one to validate on


def read_rows(
    task: ComparedTask,
    data: str | Path | Examples,
    test: str | Path | Examples | None,
    columns: Columns,
    progress: Progress,
) -> tuple[ComparedTask, Examples, Examples]:
    """Return the task as determined by the data, the training rows and the test rows.

    Raises:
        DataError: The data cannot be used.
        SettingsError: They are for another task.
    """
    task, given = read_examples(task, data, columns, progress)
    if test is not None:
        return task, given, _read(task, test, columns, progress)
    train, held_out = split_test(task.strata(given), test_share=_TEST_SHARE, seed=_SPLIT_SEED)
    note = (
        f"No test file was given: {len(held_out):,} of {len(given):,} rows are held out as the "
        "test set."
    )
    kept = replace(given.select(train), notes=(*given.notes, note))
    return task, kept, given.select(held_out)


def read_examples(
    task: ComparedTask, data: str | Path | Examples, columns: Columns, progress: Progress
) -> tuple[ComparedTask, Examples]:
    """Return the task as determined by the data, and the labeled examples, with repaired tags.

    Raises:
        DataError: The data cannot be used.
        SettingsError: They, or the settings of tags, are for another task.
    """
    if not task.by_word and (columns.scheme, columns.repair) != (ANY.scheme, ANY.repair):
        raise SettingsError(
            "scheme and repair are only for tags; compare with task='tagging' (--task tagging)"
        )
    given = _read(task, data, columns, progress)
    task = settled(task, given, columns)
    task.check(given)
    if not isinstance(given, TaggedSentences):
        return task, given
    if columns.scheme == ANY.scheme and (note := note_of_plain(given.tags, given.place)):
        given = replace(given, notes=(*given.notes, note))
    if columns.repair:
        given = replace(
            given, labels=[convert(tags, task.settings["scheme"]) for tags in given.tags]
        )
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
                f"labeled data must be a path, or a {kind.__name__} in memory, not "
                f"{type(source).__name__}; make one from two lists with "
                f"{kind.__module__}.{kind.__name__}(texts, labels)"
            )
        raise SettingsError(
            f"{source.source}: this is a {type(source).__name__}, but the task is {task.name!r}; "
            f"compare with task={fitting!r}"
        )
    return source


def without_leaks(task: ComparedTask, train: Examples, test: Examples) -> Examples:
    """Return the training rows that are not test rows, with a note of how many were removed.

    Raises:
        DataError: The remaining rows cannot be trained on.
    """
    asked = set(map(text_key, task.as_texts(test).texts))
    texts = task.as_texts(train).texts
    kept = [row for row, text in enumerate(texts) if text_key(text) not in asked]
    if len(kept) == len(train):
        return train
    if not kept:
        raise DataError(f"{train.source}: every training row is also a test row; use other data")
    note = f"Training rows removed because they are also test rows: {len(train) - len(kept):,}."
    found = replace(train.select(kept), notes=(*train.notes, note))
    task.check(found)
    return found


def choose_budgets(
    asked: Sequence[int] | None, task: ComparedTask, train: Examples, *, quick: bool
) -> tuple[int, ...]:
    """Return the label budgets in increasing order: those requested, or the defaults that fit.

    The defaults end with all training rows if these are clearly more than the last default but
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
            f"a budget of {over[0]:,} {wording.labels} exceeds the {len(train):,} training rows "
            f"of {train.source}; choose smaller budgets or give more data"
        )
    if task.by_word and min(asked) < _FEWEST:
        raise SettingsError(
            f"a budget of {min(asked)} is below {_FEWEST} {wording.labels}; use at least one to "
            "learn from and one to validate on"
        )
    if not task.by_word and min(asked) < strata:
        raise SettingsError(
            f"a budget of {several(min(asked), 'label')} is below the {strata} classes of "
            f"{train.source}; each class needs at least one label"
        )
    return tuple(sorted(set(asked)))


def without_validation(task: ComparedTask, train: Examples, budgets: Sequence[int]) -> list[int]:
    """Return the budgets that leave no row for validation: each class has one label.

    All rows are then used for training, and the same rows for validation. (This also happens if
    each class has only copies of one text, which is not checked here.)
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
    """Return warnings of budgets without validation rows, and of budgets whose seeds share labels.

    Args:
        unvalidated: The budgets that `without_validation` returns.
        task: The task.
        budgets: All budgets, in increasing order.
        seeds: The number of seeds.
        num_rows: The number of training rows.
    """
    found = [
        f"With {labels:,} labels, no row is left for validation because each {task.wording.kind} "
        "has one: validation scores there are on the training rows. The recommendation and the "
        "headline skip that count if others were run."
        for labels in unvalidated
    ]
    shared = [labels for labels in budgets if labels >= _SHARED * num_rows]
    if shared and seeds > 1:
        rows, is_all = f"{shared[0]:,} of {num_rows:,} training rows", shared[0] == num_rows
        where = f"With {rows}" if is_all else f"With {rows} or more"
        how_many = "all of their labels" if is_all else "at least half of their labels"
        found.append(
            f"{where}, seeds share {how_many}: intervals and p-values there reflect the choice of "
            "test rows, but hardly other choices of the labels."
        )
    return found
