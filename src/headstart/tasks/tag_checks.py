"""Checks of tagged sentences before a tagger is trained on them."""

from collections import Counter
from dataclasses import dataclass
from itertools import chain
from typing import Any

from headstart.data.checks import class_balance, look_for_repeats, text_lengths
from headstart.data.corpora import Corpus
from headstart.data.overlap import NUM_EXAMPLES, sentence
from headstart.data.tagged import TaggedSentences
from headstart.progress import SILENT, Progress
from headstart.tasks.tagging import Scheme, detect_scheme, in_scheme, learnt_scheme, offences

_SPAN_SCHEMES: tuple[Scheme, ...] = ("IOB1", "IOB2", "BIOES")


@dataclass(frozen=True)
class TagExample:
    """A tag and its place in the dataset."""

    tag: str
    place: str

    def __str__(self) -> str:
        return f"{self.tag!r} at {self.place}"


@dataclass(frozen=True)
class TagScheme:
    """The tagging scheme of a dataset, and the tags that are illegal in it.

    Attributes:
        source: The dataset.
        scheme: The scheme with the fewest illegal tags.
        num_illegal: Number of illegal tags.
        num_sentences: Number of sentences with illegal tags.
        other_schemes: How many of these sentences are legal in each other scheme, which indicates
            mixed schemes.
        examples: The first few illegal tags.
    """

    source: str
    scheme: Scheme
    num_illegal: int
    num_sentences: int
    other_schemes: dict[Scheme, int]
    examples: tuple[TagExample, ...]

    def __str__(self) -> str:
        count = f"{self.source}: scheme {self.scheme}, illegal tags: "
        count += f"{self.num_illegal:,}"
        if self.num_illegal:
            count += f", in {self.num_sentences:,} sentences"
        for scheme, number in self.other_schemes.items():
            count += f", of which {number:,} are legal in {scheme}"
        return sentence(count, self.examples)


@dataclass(frozen=True)
class UnknownTags:
    """Test words whose tags are not in the training data; no tagger can predict these tags.

    Attributes:
        num_words: Number of such words.
        share: Their share of all test words.
        tags: Number of words with each such tag.
        examples: The first few such words.
    """

    num_words: int
    share: float
    tags: dict[str, int]
    examples: tuple[TagExample, ...]

    def __str__(self) -> str:
        count = f"test words with tags that are not in the training data: {self.num_words:,}"
        return sentence(f"{count}, {self.share:.1%}", self.examples)


def check_tags(
    dataset: TaggedSentences,
    test: TaggedSentences | None = None,
    corpus: Corpus | None = None,
    *,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Return the findings of all checks by name; each finding prints as a sentence.

    They are `balance` (of tags), `lengths`, `scheme`, `duplicates` and `conflicts` (the same
    sentence with different tags); with a test set also `test_scheme`, `unknown_tags`, `leaks`,
    `near_leaks` and `clean`; with a corpus also `corpus_overlap`, of the test set or, without one,
    of the dataset.

    Raises:
        DataError: The corpus cannot be read.
    """
    balance = class_balance(list(chain.from_iterable(dataset.tags)), classes="tags", row="word")
    scheme = tag_scheme(dataset)
    found = {
        "balance": balance,
        "lengths": text_lengths(dataset.as_texts().texts),
        "scheme": scheme,
    }
    if test is not None:
        found["test_scheme"] = tag_scheme(test)
        found["unknown_tags"] = find_unknown_tags(dataset, test, scheme.scheme)
    return found | look_for_repeats(dataset, test, corpus, progress=progress)


def tag_scheme(dataset: TaggedSentences) -> TagScheme:
    """Return the scheme of a dataset's tags, and the tags that are illegal in it."""
    scheme = detect_scheme(dataset.tags)
    illegal = [(row, at) for row, tags in enumerate(dataset.tags) for at in offences(tags, scheme)]
    rows = list(dict.fromkeys(row for row, _ in illegal))
    counts = {
        other: sum(not offences(dataset.tags[row], other) for row in rows)
        for other in _SPAN_SCHEMES
        if other != scheme
    }
    others = {other: count for other, count in counts.items() if count}
    examples = _examples(dataset, illegal)
    return TagScheme(dataset.source, scheme, len(illegal), len(rows), others, examples)


def find_unknown_tags(train: TaggedSentences, test: TaggedSentences, scheme: Scheme) -> UnknownTags:
    """Find test words whose tags, in the scheme used for training, are not in the training data."""
    learnt = learnt_scheme(scheme)
    known = set(chain.from_iterable(in_scheme(train.tags, learnt)))
    places = [
        (row, at)
        for row, tags in enumerate(in_scheme(test.tags, learnt))
        for at, tag in enumerate(tags)
        if tag not in known
    ]
    tags = Counter(test.tags[row][at] for row, at in places)
    share = len(places) / max(1, test.words)
    return UnknownTags(len(places), share, dict(sorted(tags.items())), _examples(test, places))


def _examples(dataset: TaggedSentences, places: list[tuple[int, int]]) -> tuple[TagExample, ...]:
    return tuple(
        TagExample(dataset.tags[row][at], dataset.place(row, at))
        for row, at in places[:NUM_EXAMPLES]
    )
