"""Which rows train, validate and test: a pure function of the labels and a seed.

One order of the rows serves all three. In it every class is spread evenly, so that any part from
its front is stratified; and it starts with one row of each class, so that no class is lost.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from headstart.errors import DataError, SettingsError
from headstart.seeds import generator

Indices = NDArray[np.int64]


def split_test(labels: Sequence[str], *, test_share: float, seed: int) -> tuple[Indices, Indices]:
    """Split rows into a training and a test part, stratified; each in rising order.

    Every class keeps at least one row in the training part.

    Args:
        labels: The class of each row.
        test_share: The part of the rows to test on, between 0 and 1.
        seed: Another seed gives another split.

    Raises:
        DataError: Too few rows to leave a test row and one training row of each class.
    """
    num_test = round(_checked_share(test_share) * len(labels))
    spare = len(labels) - len(set(labels))
    if not 0 < num_test <= spare:
        raise DataError(
            f"cannot take {num_test} of {len(labels)} rows to test on and leave one row of each of "
            f"{len(set(labels))} classes to train on; give more rows or another share"
        )
    order = _stratified_order(labels, generator(seed, "test split"))
    return np.sort(order[:-num_test]), np.sort(order[-num_test:])


def nested_subsets(
    labels: Sequence[str], budgets: Sequence[int], *, seed: int
) -> dict[int, Indices]:
    """Choose the rows of each label budget: stratified, and the smaller inside the larger.

    A budget of at least the number of classes holds a row of each. The rows of a budget are the
    first rows of any larger one, in the same order.

    Raises:
        DataError: A budget is above the number of rows.
        SettingsError: A budget is below 1.
    """
    for budget in budgets:
        if budget < 1:
            raise SettingsError(f"a label budget must be 1 or more, got {budget}")
        if budget > len(labels):
            raise DataError(
                f"a budget of {budget:,} labels is above the {len(labels):,} labels there are; "
                "choose smaller budgets or give more data"
            )
    order = _stratified_order(labels, generator(seed, "label budgets"))
    return {budget: order[:budget] for budget in budgets}


def validation_part(
    labels: Sequence[str], texts: Indices | None = None, *, share: float = 0.2, seed: int
) -> tuple[Indices, Indices]:
    """Split the rows a run was given into those to fit and those to validate on, stratified.

    All rows of one text are on the same side, or who knows it by heart would seem to be right. At
    least one row validates, and every class keeps a row to fit. Where the texts do not suffice for
    both, all rows fit and the same rows validate.

    A text that alone is more than the share is fitted if any other can validate. Of the others so
    many validate as come nearest to the share.

    Args:
        labels: The class of each row.
        texts: The number of each row's text, from 0 in the order in which they first stand; None
            where all are different.
        share: The part of the rows to validate on, between 0 and 1.
        seed: Another seed gives another split.
    """
    texts = np.arange(len(labels)) if texts is None else texts
    wanted = max(round(_checked_share(share) * len(labels)), 1)
    sizes, first = np.bincount(texts), np.unique(texts, return_index=True)[1]
    order = _stratified_order([labels[row] for row in first], generator(seed, "validation part"))
    order = order[np.argsort(-np.maximum(sizes[order], wanted), kind="stable")]
    # A text may have several labels, so each class is looked for in all rows.
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
        raise SettingsError(f"a share of rows must lie between 0 and 1, got {share}")
    return share


def _stratified_order(labels: Sequence[str], random: np.random.Generator) -> Indices:
    """Return all row numbers, each class spread evenly, the first row of each class in front.

    A class of n rows stands at (rank + offset) / n: systematic sampling, with an offset of its own
    so that small classes do not all change sides at the same point.
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
