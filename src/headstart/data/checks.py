"""Check a dataset before training: classes, lengths, duplicates, conflicts and leaks."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from headstart.data.contamination import Examples, find_overlap, find_seen, texts_of
from headstart.data.corpora import Corpus
from headstart.data.labelled import Dataset, Labelled, check_known_labels, check_trainable
from headstart.data.overlap import find_repeats
from headstart.data.pairs import PairDataset
from headstart.errors import DataError
from headstart.progress import SILENT, Progress


@dataclass(frozen=True)
class Balance:
    """The most and the least frequent class.

    Attributes:
        num_classes: How many classes there are.
        most_frequent: The class with most rows; in a tie, the first by name.
        most_share: Its share of all rows: the accuracy of always predicting it.
        rarest: The class with fewest rows; in a tie, the first by name.
        rarest_rows: Its number of rows.
        classes: What classes are called in messages.
        row: What rows are called in messages.
    """

    num_classes: int
    most_frequent: str
    most_share: float
    rarest: str
    rarest_rows: int
    classes: str = "classes"
    row: str = "row"

    def __str__(self) -> str:
        return (
            f"{self.num_classes:,} {self.classes}: {self.most_frequent!r} is the most frequent "
            f"with {self.most_share:.1%} of the {self.row}s, {self.rarest!r} the rarest with "
            f"{self.rarest_rows:,} {self.row}{'s' * (self.rarest_rows != 1)}"
        )


@dataclass(frozen=True)
class Lengths:
    """The lengths of texts, in words separated by white space.

    Attributes:
        shortest: The fewest words.
        median: The median number of words.
        longest: The most words.
        num_empty: How many texts have no words.
    """

    shortest: int
    median: float
    longest: int
    num_empty: int

    def __str__(self) -> str:
        return (
            f"texts have {self.shortest:,} to {self.longest:,} words, the median is "
            f"{self.median:,.0f}; empty: {self.num_empty:,}"
        )


@dataclass(frozen=True)
class Clean:
    """How many test rows were not seen before the test.

    Attributes:
        num_rows: The number of these rows.
        num_test_rows: The number of all test rows.
    """

    num_rows: int
    num_test_rows: int

    def __str__(self) -> str:
        return f"clean test rows, none of these: {self.num_rows:,} of {self.num_test_rows:,}"


def check_data(
    dataset: Dataset | PairDataset,
    test: Dataset | PairDataset | None = None,
    corpus: Corpus | None = None,
    *,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Return the findings on a dataset of texts or pairs, by name; each converts to a sentence.

    They are `balance`, `lengths`, `duplicates` and `conflicts`. With test rows there are also
    `leaks`, `near_leaks` and `clean`. With a corpus there is `corpus_overlap`, the overlap with the
    test rows or, without them, with the dataset.

    Raises:
        DataError: No classifier can be trained on the dataset, the test rows have labels that it
            lacks, or the corpus cannot be read.
    """
    check_trainable(dataset)
    found: dict[str, Any] = {
        "balance": class_balance(dataset.labels),
        "lengths": text_lengths(texts_of(dataset)),
    }
    if test is not None:
        check_known_labels(test, dataset.classes)
    return found | look_for_repeats(dataset, test, corpus, progress=progress)


def check_label_sets(
    dataset: Labelled[str, list[str]],
    test: Labelled[str, list[str]] | None = None,
    corpus: Corpus | None = None,
    *,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Return the same findings as `check_data` for texts with any number of labels each.

    Raises:
        DataError: No text has a label, the test rows have labels that the dataset lacks, or the
            corpus cannot be read.
    """
    labels = [label for each in dataset.labels for label in each]
    if not labels:
        raise DataError(f"{dataset.source}: no text has a label, so nothing can be learned")
    found: dict[str, Any] = {
        "balance": class_balance(labels, classes="labels", num_rows=len(dataset)),
        "lengths": text_lengths(dataset.texts),
    }
    if test is not None:
        check_known_labels(test, sorted(set(labels)))
    rows, test_rows = _of_one_label(dataset), None if test is None else _of_one_label(test)
    found |= look_for_repeats(rows, test_rows, corpus, progress=progress)
    conflicts = replace(found["conflicts"], what="other labels in another row")
    return found | {"conflicts": conflicts}


def _of_one_label(dataset: Labelled[str, list[str]]) -> Dataset:
    """Return the texts with all labels of each joined to one, to find texts whose labels differ."""
    labels = [" | ".join(sorted(each)) for each in dataset.labels]
    return Dataset(dataset.texts, labels, dataset.source, dataset.lines, dataset.notes)


def look_for_repeats(
    dataset: Examples,
    test: Examples | None = None,
    corpus: Corpus | None = None,
    *,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Return the repeats within examples of any task, and their overlap with test rows and corpus.

    Raises:
        DataError: The corpus cannot be read.
    """
    texts = dataset.as_texts()
    with progress.stage(f"looking for texts that repeat in {texts.source}"):
        duplicates, conflicts = find_repeats(texts)
    found: dict[str, Any] = {"duplicates": duplicates, "conflicts": conflicts}
    if test is None:
        if corpus is not None:
            found["corpus_overlap"] = find_overlap(corpus, dataset, progress=progress)
        return found
    seen = find_seen(dataset, test, corpus, progress=progress)
    found |= {"leaks": seen.leaks, "near_leaks": seen.near_leaks}
    if seen.overlap is not None:
        found["corpus_overlap"] = seen.overlap
    return found | {"clean": Clean(seen.num_clean, len(test))}


def class_balance(
    labels: Sequence[str],
    *,
    classes: str = "classes",
    row: str = "row",
    num_rows: int | None = None,
) -> Balance:
    """Return the most and the least frequent of one or more labels.

    Args:
        labels: The labels.
        classes: What labels are called in messages.
        row: What rows are called in messages.
        num_rows: The number of rows, if it is not the number of labels.
    """
    counts = sorted(Counter(labels).items(), key=lambda item: (-item[1], item[0]))
    most, most_rows = counts[0]
    rarest_rows = counts[-1][1]
    rarest = next(label for label, count in counts if count == rarest_rows)
    share = most_rows / (num_rows or len(labels))
    return Balance(len(counts), most, share, rarest, rarest_rows, classes, row)


def text_lengths(texts: Sequence[str]) -> Lengths:
    """Return the lengths of one or more texts."""
    words = [len(text.split()) for text in texts]
    return Lengths(min(words), float(median(words)), max(words), words.count(0))
