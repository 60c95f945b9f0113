"""Everything that is worth knowing of tagged sentences before a tagger is trained on them."""

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
    """A tag, and where it stands."""

    tag: str
    place: str

    def __str__(self) -> str:
        return f"{self.tag!r} at {self.place}"


@dataclass(frozen=True)
class TagScheme:
    """How tags are written, and those that are not written so.

    Attributes:
        source: The dataset.
        scheme: The scheme that the fewest tags offend.
        num_illegal: How many tags may not stand where they do.
        num_sentences: How many sentences have such tags.
        other_schemes: How many of these are legal in each other scheme: schemes are mixed.
        examples: The first few such tags.
    """

    source: str
    scheme: Scheme
    num_illegal: int
    num_sentences: int
    other_schemes: dict[Scheme, int]
    examples: tuple[TagExample, ...]

    def __str__(self) -> str:
        count = f"{self.source}: scheme {self.scheme}, tags that are not legal in it: "
        count += f"{self.num_illegal:,}"
        if self.num_illegal:
            count += f", in {self.num_sentences:,} sentences"
        for scheme, number in self.other_schemes.items():
            count += f", of which {number:,} are legal in {scheme}"
        return sentence(count, self.examples)


@dataclass(frozen=True)
class UnknownTags:
    """Words of the test part whose tags no training sentence has: no tagger can be right there.

    Attributes:
        num_words: How many.
        share: Their part of all words of the test part.
        tags: How many words each such tag has.
        examples: The first few.
    """

    num_words: int
    share: float
    tags: dict[str, int]
    examples: tuple[TagExample, ...]

    def __str__(self) -> str:
        count = f"test words whose tags are not in the training part: {self.num_words:,}"
        return sentence(f"{count}, {self.share:.1%}", self.examples)


def check_tags(
    dataset: TaggedSentences,
    test: TaggedSentences | None = None,
    corpus: Corpus | None = None,
    *,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Return what is found in tagged sentences, by name: findings that are sentences as text.

    They are `balance` (of tags), `lengths`, `scheme`, `duplicates` and `conflicts` (sentences with
    different tags); with a test part `test_scheme`, `unknown_tags`, `leaks`, `near_leaks` and
    `clean`; and with a corpus `corpus_overlap`, of the test part or, without one, of the dataset.

    Raises:
        DataError: The corpus cannot be read as it is.
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
    """Return the scheme of a dataset's tags, and which of them offend it."""
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
    """Count the words of a test part whose tags, as they are learnt, the training part lacks."""
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
