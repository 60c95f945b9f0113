"""Find repeated texts: within a dataset, with different labels, or in both training and test rows.

Two texts are the same if they are equal after Unicode composition (NFC) and after each run of
white space is replaced with one space. All functions take linear time.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from headstart.data.labelled import Dataset

NUM_EXAMPLES = 5
_SHOWN_CHARACTERS = 60


@dataclass(frozen=True)
class Example:
    """A text that occurs more than once, with its lines."""

    text: str
    lines: tuple[int, ...]

    def __str__(self) -> str:
        lines = ", ".join(map(str, self.lines[:NUM_EXAMPLES]))
        more = f" and {len(self.lines) - NUM_EXAMPLES} more" * (len(self.lines) > NUM_EXAMPLES)
        return f"{shortened(self.text)} on line{'s' * (len(self.lines) > 1)} {lines}{more}"


@dataclass(frozen=True)
class Duplicates:
    """Rows whose text also occurs in an earlier row.

    Attributes:
        source: The dataset.
        num_rows: How many rows repeat an earlier one.
        examples: The first few repeated texts.
    """

    source: str
    num_rows: int
    examples: tuple[Example, ...]

    def __str__(self) -> str:
        count = f"{self.source}: rows that repeat an earlier text: {self.num_rows:,}"
        return sentence(count, self.examples)


@dataclass(frozen=True)
class Conflicts:
    """Texts that occur with different labels.

    Attributes:
        source: The dataset.
        num_texts: How many different texts do.
        num_rows: How many rows contain them.
        examples: The first few.
        what: What is wrong with their labels, for the message.
    """

    source: str
    num_texts: int
    num_rows: int
    examples: tuple[Example, ...]
    what: str = "conflicting labels"

    def __str__(self) -> str:
        count = f"{self.num_texts:,}, in {self.num_rows:,} rows"
        return sentence(f"{self.source}: texts with {self.what}: {count}", self.examples)


@dataclass(frozen=True)
class Leaks:
    """Test rows whose text also occurs in the training rows.

    Attributes:
        num_test_rows: How many test rows do.
        share: Their share of all test rows.
        test_indices: Their indices.
        train_indices: The training rows to drop to remove every leak.
        examples: The first few, with their lines in the test data.
    """

    num_test_rows: int
    share: float
    test_indices: tuple[int, ...]
    train_indices: tuple[int, ...]
    examples: tuple[Example, ...]

    def __str__(self) -> str:
        count = f"test rows that are also training rows: {self.num_test_rows:,}, {self.share:.1%}"
        return sentence(count, self.examples)


def sentence(count: str, examples: Sequence[object]) -> str:
    """Return a count with the first of its examples, for a report."""
    return f"{count} (for instance {examples[0]})" if examples else count


def shortened(text: str) -> str:
    """Return a text quoted, shortened to one line, with hidden characters escaped."""
    return repr(text if len(text) <= _SHOWN_CHARACTERS else text[:57] + "...")


def text_key(text: str) -> str:
    """Return the normal form of a text; two texts with the same key count as the same."""
    return normalize("NFC", " ".join(text.split()))


def first_occurrences(keys: Iterable[Hashable]) -> list[int]:
    """Return the indices of the rows whose key occurs in no earlier row."""
    first: dict[Hashable, int] = {}
    for index, key in enumerate(keys):
        first.setdefault(key, index)
    return list(first.values())


def numbered(keys: Iterable[Hashable]) -> NDArray[np.int64]:
    """Return the number of each row's key `[rows]`, from 0 in order of first occurrence.

    Example:
        >>> numbered(["a", "b", "a", "c"]).tolist()
        [0, 1, 0, 2]
    """
    numbers: dict[Hashable, int] = {}
    return np.fromiter((numbers.setdefault(key, len(numbers)) for key in keys), np.int64)


def _repeated(texts: Sequence[str]) -> list[list[int]]:
    """Return the indices of each text that occurs more than once, in order of appearance."""
    rows: dict[str, list[int]] = {}
    for index, text in enumerate(texts):
        rows.setdefault(text_key(text), []).append(index)
    return [indices for indices in rows.values() if len(indices) > 1]


def _examples(dataset: Dataset, groups: Sequence[Sequence[int]]) -> tuple[Example, ...]:
    return tuple(
        Example(dataset.texts[indices[0]], tuple(dataset.lines[index] for index in indices))
        for indices in groups[:NUM_EXAMPLES]
    )


def find_repeats(dataset: Dataset) -> tuple[Duplicates, Conflicts]:
    """Find duplicates and conflicts in one step, which takes no longer than either."""
    groups = _repeated(dataset.texts)
    num_rows = sum(len(indices) - 1 for indices in groups)
    duplicates = Duplicates(dataset.source, num_rows, _examples(dataset, groups))
    groups = [
        indices for indices in groups if len({dataset.labels[index] for index in indices}) > 1
    ]
    num_rows = sum(map(len, groups))
    return duplicates, Conflicts(dataset.source, len(groups), num_rows, _examples(dataset, groups))


def find_duplicates(dataset: Dataset) -> Duplicates:
    """Count the rows that repeat the text of an earlier row, whatever their labels."""
    return find_repeats(dataset)[0]


def find_conflicts(dataset: Dataset) -> Conflicts:
    """Count the texts that occur with more than one label."""
    return find_repeats(dataset)[1]


def find_leaks(train: Dataset, test: Dataset) -> Leaks:
    """Count the test rows whose text is also in the training rows, and return their indices."""
    test_keys = [text_key(text) for text in test.texts]
    train_keys = [text_key(text) for text in train.texts]
    shared = set(test_keys).intersection(train_keys)
    seen, leaked = (
        tuple(index for index, key in enumerate(keys) if key in shared)
        for keys in (test_keys, train_keys)
    )
    examples = _examples(test, [[index] for index in seen])
    return Leaks(len(seen), len(seen) / max(len(test), 1), seen, leaked, examples)
