"""Everything that is worth knowing of a dataset before anything is trained on it."""

from collections import Counter
from dataclasses import dataclass
from statistics import median
from typing import Any

from headstart.data.contamination import find_overlap, find_seen
from headstart.data.corpora import Corpus
from headstart.data.labelled import Dataset, check_known_labels, check_trainable
from headstart.data.overlap import find_conflicts, find_duplicates
from headstart.progress import SILENT, Progress


@dataclass(frozen=True)
class Balance:
    """The most and the least frequent class.

    Attributes:
        num_classes: How many classes there are.
        most_frequent: The class with most rows; of equals, the first by name.
        most_share: Its part of all rows, the accuracy of always answering it.
        rarest: The class with fewest rows; of equals, the first by name.
        rarest_rows: How many it has.
    """

    num_classes: int
    most_frequent: str
    most_share: float
    rarest: str
    rarest_rows: int

    def __str__(self) -> str:
        return (
            f"{self.num_classes:,} classes: {self.most_frequent!r} is the most frequent with "
            f"{self.most_share:.1%} of the rows, {self.rarest!r} the rarest with "
            f"{self.rarest_rows:,} row{'s' * (self.rarest_rows != 1)}"
        )


@dataclass(frozen=True)
class Lengths:
    """How many words, with white space between, the texts have.

    Attributes:
        shortest: The fewest.
        median: The number that half of the texts do not exceed.
        longest: The most.
        num_empty: How many texts have none.
    """

    shortest: int
    median: float
    longest: int
    num_empty: int

    def __str__(self) -> str:
        return (
            f"texts have {self.shortest:,} to {self.longest:,} words, {self.median:,.0f} in the "
            f"middle; {self.num_empty:,} are empty"
        )


@dataclass(frozen=True)
class Clean:
    """How many test rows were not seen before the test.

    Attributes:
        num_rows: How many.
        num_test_rows: Of how many.
    """

    num_rows: int
    num_test_rows: int

    def __str__(self) -> str:
        return f"clean test rows, none of these: {self.num_rows:,} of {self.num_test_rows:,}"


def check_data(
    dataset: Dataset,
    test: Dataset | None = None,
    corpus: Corpus | None = None,
    *,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Return what is found in a dataset, by name: findings that are sentences as text.

    They are `balance`, `lengths`, `duplicates` and `conflicts`; with test rows `leaks`,
    `near_leaks` and `clean`; and with a corpus `corpus_overlap`, that of the test rows or, without
    them, of the dataset.

    Raises:
        DataError: No classifier can be trained on the dataset, the test rows have labels that it
            lacks, or the corpus cannot be read as it is.
    """
    check_trainable(dataset)
    found: dict[str, Any] = {
        "balance": class_balance(dataset),
        "lengths": text_lengths(dataset),
        "duplicates": find_duplicates(dataset),
        "conflicts": find_conflicts(dataset),
    }
    if test is None:
        if corpus is not None:
            found["corpus_overlap"] = find_overlap(corpus, dataset, progress=progress)
        return found
    check_known_labels(test, dataset.classes)
    seen = find_seen(dataset, test, corpus, progress=progress)
    found |= {"leaks": seen.leaks, "near_leaks": seen.near_leaks}
    if seen.overlap is not None:
        found["corpus_overlap"] = seen.overlap
    return found | {"clean": Clean(seen.num_clean, len(test))}


def class_balance(dataset: Dataset) -> Balance:
    """Return the most and the least frequent class of a dataset, which has rows."""
    counts = sorted(Counter(dataset.labels).items(), key=lambda item: (-item[1], item[0]))
    most, most_rows = counts[0]
    rarest_rows = counts[-1][1]
    rarest = next(label for label, count in counts if count == rarest_rows)
    return Balance(len(counts), most, most_rows / len(dataset), rarest, rarest_rows)


def text_lengths(dataset: Dataset) -> Lengths:
    """Return how long the texts of a dataset are, which has rows."""
    words = [len(text.split()) for text in dataset.texts]
    return Lengths(min(words), float(median(words)), max(words), words.count(0))
