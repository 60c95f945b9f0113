"""Split rows into training, validation and test parts, given only their labels and a seed.

Every split takes a part of a random order of the rows. In it each class is spread evenly, so any
first part is stratified. It begins with one row of each class, so no class is lost.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from headstart.errors import DataError, SettingsError
from headstart.seeds import generator

Indices = NDArray[np.int64]


def split_test(labels: Sequence[str], *, test_share: float, seed: int) -> tuple[Indices, Indices]:
    """Split rows into a stratified training and test part, each in ascending order.

    Every class keeps at least one row in the training part.

    Args:
        labels: The class of each row.
        test_share: The share of test rows, between 0 and 1.
        seed: Determines the split.

    Raises:
        DataError: There are too few rows for a test row and one training row of each class.
    """
    num_test = round(_checked_share(test_share) * len(labels))
    spare = len(labels) - len(set(labels))
    if not 0 < num_test <= spare:
        raise DataError(
            f"cannot take {num_test} of {len(labels)} rows for testing and keep a training row for "
            f"each of {len(set(labels))} classes; provide more rows or change the share"
        )
    order = _stratified_order(labels, generator(seed, "test split"))
    return np.sort(order[:-num_test]), np.sort(order[-num_test:])


def nested_subsets(
    labels: Sequence[str], budgets: Sequence[int], *, seed: int
) -> dict[int, Indices]:
    """Choose the rows of each label budget: stratified and nested.

    A budget of at least the number of classes contains a row of each class. The rows of a budget
    are the first rows of every larger budget, in the same order.

    Raises:
        DataError: A budget is above the number of rows.
        SettingsError: A budget is below 1.
    """
    for budget in budgets:
        if budget < 1:
            raise SettingsError(f"a label budget must be 1 or more, got {budget}")
        if budget > len(labels):
            raise DataError(
                f"a budget of {budget:,} labels is above the {len(labels):,} labels available; "
                "choose smaller budgets or provide more data"
            )
    order = _stratified_order(labels, generator(seed, "label budgets"))
    return {budget: order[:budget] for budget in budgets}


def validation_part(
    labels: Sequence[str], texts: Indices | None = None, *, share: float = 0.2, seed: int
) -> tuple[Indices, Indices]:
    """Split the rows of a run into a stratified training and validation part.

    All rows with the same text are in the same part; otherwise memorized texts would raise the
    validation score. At least one row is in the validation part, and every class keeps a training
    row. If there are too few texts for both, all rows are in both parts.

    A text with more rows than the share is used for training if any other text can be used for
    validation. Of the other texts, as many are used for validation as come closest to the share.

    Args:
        labels: The class of each row.
        texts: The number of each row's text, from 0 in order of first occurrence; None if all
            texts are different.
        share: The share of validation rows, between 0 and 1.
        seed: Determines the split.
    """
    texts = np.arange(len(labels)) if texts is None else texts
    wanted = max(round(_checked_share(share) * len(labels)), 1)
    sizes, first = np.bincount(texts), np.unique(texts, return_index=True)[1]
    order = _stratified_order([labels[row] for row in first], generator(seed, "validation part"))
    order = order[np.argsort(-np.maximum(sizes[order], wanted), kind="stable")]
    # A text may have several labels, so all rows are searched for each class.
    rows = np.argsort(np.argsort(order)[texts], kind="stable")[::-1].tolist()
    first_of_class = {labels[row]: row for row in rows}
    spare = order[~np.isin(order, texts[list(first_of_class.values())])]
    if not len(spare):
        return np.arange(len(labels)), np.arange(len(labels))
    small = spare[sizes[spare] <= wanted]
    spare = small if len(small) else spare[-1:]
    number = 1 + np.abs(np.cumsum(sizes[spare[::-1]]) - wanted).argmin()
    validates = np.isin(texts, spare[-number:])
    return np.flatnonzero(~validates), np.flatnonzero(validates)


def _checked_share(share: float) -> float:
    if not 0 < share < 1:
        raise SettingsError(f"a share of rows must be between 0 and 1, got {share}")
    return share


def _stratified_order(labels: Sequence[str], random: np.random.Generator) -> Indices:
    """Return all row numbers, each class spread evenly, with one row of each class at the front.

    A class of n rows is placed at (rank + offset) / n: systematic sampling. Each class has its own
    offset, or small classes would all change sides at the same point.
    """
    codes = {label: code for code, label in enumerate(sorted(set(labels)))}
    classes = np.fromiter((codes[label] for label in labels), np.int64, len(labels))
    sizes = np.bincount(classes, minlength=len(codes))
    shuffled = random.permutation(len(labels))
    by_class = shuffled[np.argsort(classes[shuffled], kind="stable")]
    first_of_class = np.repeat(np.cumsum(sizes) - sizes, sizes)
    ranks = np.arange(len(labels)) - first_of_class
    offsets = random.random(len(codes))
    positions = (ranks + np.repeat(offsets, sizes)) / np.repeat(sizes, sizes)
    return by_class[np.lexsort((positions, ranks > 0))]
