"""Tagging schemes, which write spans as tags; legal tag sequences; and strict scores of spans.

A span is a sequence of words with a type, such as a person's name. The schemes, after Ramshaw and
Marcus (1995) and Tjong Kim Sang and Veenstra (1999):

    words   Mary Ann met Bob in Rome Italy
    IOB1    I-P  I-P O   I-P O  I-L  B-L      B only where a span follows another of its type
    IOB2    B-P  I-P O   B-P O  B-L  B-L      B at the beginning of each span; also called BIO
    BIOES   B-P  E-P O   S-P O  S-L  S-L      E at the end of a span, S for spans of one word

All other tags, such as parts of speech, are `plain`: each word has its own tag.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

from headstart.errors import DataError, SettingsError

Scheme = Literal["IOB1", "IOB2", "BIOES", "plain"]
Span = tuple[int, int, str]  # first word, the word after the last, type
Tags = Sequence[str]

OUTSIDE = "O"
_SPAN_TAG = re.compile("([BIES])(?:-(.*))?", re.DOTALL)
_LIKE_A_SPAN = re.compile("[BIESLUM]-.+", re.DOTALL)  # also those of BILOU and BMES
_OTHER_NAMES: dict[str, Scheme] = {"BIO": "IOB2"}
_PREFIXES = {"IOB1": "BI", "IOB2": "BI", "BIOES": "BIES", "plain": ""}


def scheme_of(name: str) -> Scheme:
    """Return the scheme with a name.

    Raises:
        SettingsError: There is no such scheme.
    """
    found = _OTHER_NAMES.get(name, name)
    if found not in get_args(Scheme):
        raise SettingsError(
            f"scheme must be auto, BIO, {', '.join(get_args(Scheme))}, got {name!r}"
        )
    return found  # type: ignore[return-value]


def detect_scheme(sentences: Iterable[Tags]) -> Scheme:
    """Return the scheme in which all tags are legal, or else the one with the fewest illegal tags.

    Example:
        >>> detect_scheme([["I-P", "B-P", "O"]]), detect_scheme([["B-P", "B-P", "O"]])
        ('IOB1', 'IOB2')
        >>> detect_scheme([["DET", "NOUN"]])
        'plain'
    """
    pairs: Counter[tuple[str, str]] = Counter()
    for tags in sentences:
        pairs.update(pairwise((OUTSIDE, *tags, OUTSIDE)))
    prefixes = set()
    for tag in {tag for pair in pairs for tag in pair} - {OUTSIDE}:
        match = _SPAN_TAG.fullmatch(tag)
        if match is None:
            return "plain"
        prefixes.add(match[1])
    if not prefixes:
        return "plain"
    if prefixes & {"E", "S"}:
        return "BIOES"

    def offences(scheme: Scheme) -> int:
        return sum(count for pair, count in pairs.items() if not follows(*pair, scheme))

    return "IOB1" if offences("IOB1") < offences("IOB2") else "IOB2"


def choose_scheme(name: str, sentences: Iterable[Tags]) -> Scheme:
    """Return the scheme with a name; for `auto`, the one that `detect_scheme` finds.

    Raises:
        SettingsError: There is no such scheme.
    """
    return detect_scheme(sentences) if name == "auto" else scheme_of(name)


def is_stray(tag: str) -> bool:
    """Return whether a tag is neither `O` nor the tag of a span."""
    return tag != OUTSIDE and not _SPAN_TAG.fullmatch(tag)


def note_of_plain(sentences: Sequence[Tags], place: Callable[[int, int], str]) -> str | None:
    """Return a note if most tags look like spans, but one tag makes the scheme `plain`.

    Args:
        sentences: The tags of each sentence.
        place: Returns the place of a word, given its sentence and its position there.

    Returns:
        The note; None if the tags are spans, or do not look like spans.
    """
    if detect_scheme(sentences) != "plain":
        return None
    counts = Counter(tag for tags in sentences for tag in tags if tag != OUTSIDE)
    alike = sum(count for tag, count in counts.items() if _LIKE_A_SPAN.fullmatch(tag))
    if 2 * alike <= counts.total():
        return None
    row, at, tag = next(
        (row, at, tag)
        for row, tags in enumerate(sentences)
        for at, tag in enumerate(tags)
        if is_stray(tag)
    )
    return (
        f"{place(row, at)}: tag {tag!r} is not legal in BIO, IOB1 or BIOES, so all tags are treated"
        f" as plain and scored word by word, including {OUTSIDE!r}; write it in one of these "
        "schemes to score spans"
    )


def split_tag(tag: str) -> tuple[str, str]:
    """Return the prefix and the type of a tag; the type is `""` if it has none, as for `O`."""
    prefix, _, kind = tag.partition("-")
    return prefix, kind


def follows(first: str, second: str, scheme: Scheme) -> bool:
    """Return whether one tag may follow another; the start and end of a sentence count as `O`."""
    if scheme == "plain":
        return True
    (before, kind), (prefix, next_kind) = split_tag(first), split_tag(second)
    if prefix not in (OUTSIDE, *_PREFIXES[scheme]):
        return False
    goes_on = before != OUTSIDE and kind == next_kind
    if scheme == "IOB1":
        return prefix != "B" or goes_on
    if scheme == "IOB2":
        return prefix != "I" or goes_on
    is_open = before in ("B", "I")
    return (prefix in ("I", "E") and goes_on) if is_open else prefix in (OUTSIDE, "B", "S")


def offences(tags: Tags, scheme: Scheme) -> list[int]:
    """Return the words with illegal tags; an illegal end of a sentence counts as its last word."""
    found = [
        place
        for place, (first, second) in enumerate(pairwise((OUTSIDE, *tags)))
        if not follows(first, second, scheme)
    ]
    if tags and not follows(tags[-1], OUTSIDE, scheme) and len(tags) - 1 not in found:
        found.append(len(tags) - 1)
    return found


def check_legal(
    sentences: Sequence[Tags],
    scheme: Scheme,
    place: Callable[[int, int], str],
    *,
    repair: bool = False,
) -> None:
    """Reject tags that are illegal in a scheme.

    Args:
        sentences: The tags of each sentence.
        scheme: The scheme.
        place: Returns the place of a word for the message, given its sentence and position.
        repair: Whether to allow span tags in any order, because they will be repaired.

    Raises:
        DataError: There are illegal tags; the message names the first and gives their number.
    """
    stray = {tag for tags in sentences for tag in tags if scheme != "plain" and is_stray(tag)}
    if stray:
        found = [(row, at) for row, tags in enumerate(sentences) for at in _places(tags, stray)]
        row, at = found[0]
        raise DataError(
            f"{place(row, at)}: tag {sentences[row][at]!r} is not a tag of {scheme} "
            f"({len(found):,} such tags); correct the file or name its scheme"
        )
    if repair:
        return
    found = [(row, at) for row, tags in enumerate(sentences) for at in offences(tags, scheme)]
    if not found:
        return
    row, at = found[0]
    tags = sentences[row]
    after = f"after {tags[at - 1]!r}" if at else "at the beginning of a sentence"
    if at + 1 == len(tags) and follows((OUTSIDE, *tags)[at], tags[at], scheme):
        after = "at the end of a sentence"
    raise DataError(
        f"{place(row, at)}: tag {tags[at]!r} {after} is not legal in {scheme} "
        f"({len(found):,} illegal tags); correct the file, name its scheme, or use repair"
    )


def _places(tags: Tags, some: set[str]) -> list[int]:
    return [at for at, tag in enumerate(tags) if tag in some]


def spans(tags: Tags) -> list[Span]:
    """Return the spans of tags in any scheme, as interpreted by CoNLL's `conlleval`.

    A span ends before a different type, before B and S, and after E and S. Illegal tags are
    accepted: an I or E that continues no span begins one. Tags of any other form belong to no span.

    Example:
        >>> spans(["B-P", "I-P", "O", "I-P", "I-L"])
        [(0, 2, 'P'), (3, 4, 'P'), (4, 5, 'L')]
    """
    found: list[Span] = []
    start, last, last_kind = 0, OUTSIDE, ""
    for place, tag in enumerate((*tags, OUTSIDE)):
        prefix, kind = split_tag(tag)
        if prefix not in ("B", "I", "E", "S"):
            prefix, kind = OUTSIDE, ""
        if prefix in ("B", "S", OUTSIDE) or last in ("E", "S", OUTSIDE) or kind != last_kind:
            if last != OUTSIDE:
                found.append((start, place, last_kind))
            start = place
        last, last_kind = prefix, kind
    return found


def write_spans(found: Iterable[Span], words: int, scheme: Scheme) -> list[str]:
    """Write spans, in order of position, as the tags of `words` words.

    Example:
        >>> write_spans([(0, 2, "P"), (2, 3, "P")], 4, "BIOES")
        ['B-P', 'E-P', 'S-P', 'O']
    """
    tags = [OUTSIDE] * words
    before: Span = (0, 0, OUTSIDE)
    for start, end, kind in found:
        prefixes = ["I"] * (end - start)
        if scheme != "IOB1" or before[1:] == (start, kind):
            prefixes[0] = "B"
        if scheme == "BIOES":
            prefixes[-1] = "S" if end - start == 1 else "E"
        tags[start:end] = [f"{prefix}-{kind}" if kind else prefix for prefix in prefixes]
        before = (start, end, kind)
    return tags


def convert(tags: Tags, scheme: Scheme) -> list[str]:
    """Convert tags to another scheme; illegal tags are interpreted as `conlleval` does.

    Conversion between span schemes is lossless. Converting tags to their own scheme repairs illegal
    tags.

    Example:
        >>> convert(["I-P", "B-P"], "IOB2"), convert(["O", "I-P"], "IOB2")
        (['B-P', 'B-P'], ['O', 'B-P'])
    """
    return list(tags) if scheme == "plain" else write_spans(spans(tags), len(tags), scheme)


def in_scheme(sentences: Sequence[Tags], scheme: Scheme) -> Sequence[Tags]:
    """Convert tags to a scheme if they are spans in another scheme.

    The current scheme is detected from the span tags; all other tags stay unchanged.

    Example:
        >>> in_scheme([["B-P", "E-P", "_"]], "IOB2")
        [['B-P', 'I-P', '_']]
    """
    stray = {tag for tags in sentences for tag in tags if is_stray(tag)}
    of_spans = [[OUTSIDE if tag in stray else tag for tag in tags] for tags in sentences]
    if scheme == "plain" or detect_scheme(of_spans) in (scheme, "plain"):
        return sentences
    return [
        [
            tag if tag in stray else other
            for tag, other in zip(tags, convert(tags, scheme), strict=True)
        ]
        for tags in sentences
    ]


def learnt_scheme(scheme: Scheme) -> Scheme:
    """Return the scheme to train on: IOB2 for IOB1, whose tags depend on the previous span."""
    return "IOB2" if scheme == "IOB1" else scheme


@dataclass(frozen=True)
class TypeScores:
    """Scores of the spans of one type, or for plain tags, of the words with one tag.

    Attributes:
        type: The type, or the plain tag.
        precision: Share of the predicted spans that are correct.
        recall: Share of the gold spans that were predicted.
        f1: Harmonic mean of precision and recall.
        support: Number of gold spans.
    """

    type: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class TagScores:
    """Strict scores of spans, as computed by CoNLL's `conlleval`.

    A span is correct if its boundaries and its type are. For plain tags, each word is a span.

    Attributes:
        precision: Precision over all types.
        recall: Recall over all types.
        f1: F1 over all types.
        accuracy: Share of words with the correct tag.
        words: Number of words.
        types: Scores of each type, sorted by name.
    """

    precision: float
    recall: float
    f1: float
    accuracy: float
    words: int
    types: tuple[TypeScores, ...]


def score_tags(gold: Sequence[Tags], predicted: Sequence[Tags], scheme: Scheme) -> TagScores:
    """Score the predicted tags of sentences.

    Args:
        gold: The correct tags.
        predicted: The predicted tags, in the same scheme.
        scheme: The scheme; only `plain` matters, all span schemes are scored alike.

    Raises:
        DataError: A sentence has different numbers of gold and predicted tags.
    """
    right: Counter[str] = Counter()
    wanted: Counter[str] = Counter()
    found: Counter[str] = Counter()
    words = same = 0
    for row, (theirs, ours) in enumerate(zip(gold, predicted, strict=True)):
        if len(theirs) != len(ours):
            raise DataError(f"sentence {row}: {len(theirs)} tags, but {len(ours)} predicted tags")
        words += len(theirs)
        same += sum(map(str.__eq__, theirs, ours))
        if scheme == "plain":
            wanted.update(theirs)
            found.update(ours)
            right.update(tag for tag, other in zip(theirs, ours, strict=True) if tag == other)
        else:
            expected, given = set(spans(theirs)), set(spans(ours))
            for counter, some in ((wanted, expected), (found, given), (right, expected & given)):
                counter.update(kind for _, _, kind in some)
    types = tuple(
        TypeScores(kind, *_rates(right[kind], found[kind], wanted[kind]), wanted[kind])
        for kind in sorted(wanted | found)
    )
    overall = _rates(right.total(), found.total(), wanted.total())
    return TagScores(*overall, same / words if words else 0.0, words, types)


def _rates(right: int, found: int, wanted: int) -> tuple[float, float, float]:
    """Return precision, recall and F1, each 0 where it is undefined."""
    precision, recall = right / found if found else 0.0, right / wanted if wanted else 0.0
    return precision, recall, 2 * right / (found + wanted) if right else 0.0
