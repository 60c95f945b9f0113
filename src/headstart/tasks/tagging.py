"""Tagging: schemes that write spans as tags, the strict scores of spans, and what is legal.

A span is a run of words with a type, such as a person's name. Four ways to write them, after
Ramshaw and Marcus (1995) and Tjong Kim Sang and Veenstra (1999):

    words   Mary Ann met Bob in Rome Italy
    IOB1    I-P  I-P O   I-P O  I-L  B-L      B only where a span follows another of its type
    IOB2    B-P  I-P O   B-P O  B-L  B-L      B at the beginning of each; also called BIO
    BIOES   B-P  E-P O   S-P O  S-L  S-L      an end of its own, and a tag for spans of one word

Tags of any other form, parts of speech for instance, are `plain`: each stands for itself.
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
_LIKE_A_SPAN = re.compile("[BIESLUM]-.+", re.DOTALL)  # of BILOU and BMES, too
_OTHER_NAMES: dict[str, Scheme] = {"BIO": "IOB2"}
_PREFIXES = {"IOB1": "BI", "IOB2": "BI", "BIOES": "BIES", "plain": ""}


def scheme_of(name: str) -> Scheme:
    """Return the scheme that goes by a name.

    Raises:
        SettingsError: There is none.
    """
    found = _OTHER_NAMES.get(name, name)
    if found not in get_args(Scheme):
        raise SettingsError(
            f"scheme must be auto, BIO, {', '.join(get_args(Scheme))}, not {name!r}"
        )
    return found  # type: ignore[return-value]


def detect_scheme(sentences: Iterable[Tags]) -> Scheme:
    """Return the scheme in which all tags are legal, or else the one that fewest offend.

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


def is_stray(tag: str) -> bool:
    """Say whether a tag is neither `O` nor one that a span is written with."""
    return tag != OUTSIDE and not _SPAN_TAG.fullmatch(tag)


def note_of_plain(sentences: Sequence[Tags], place: Callable[[int, int], str]) -> str | None:
    """Return a sentence on the tag that makes all plain, where most of them look like spans.

    Args:
        sentences: The tags of each sentence.
        place: Says where a word of a sentence stands.

    Returns:
        The sentence; None where tags are spans, or look like no spans.
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
        f"{place(row, at)}: tag {tag!r} is none of BIO, IOB1 or BIOES, so that all tags are read "
        f"as plain and scored word by word, {OUTSIDE!r} too; write it in one of these for the "
        "scores of spans"
    )


def split_tag(tag: str) -> tuple[str, str]:
    """Return prefix and type of a tag; `O` has no type, and no type is `""`."""
    prefix, _, kind = tag.partition("-")
    return prefix, kind


def follows(first: str, second: str, scheme: Scheme) -> bool:
    """Say whether one tag may follow another; before and after a sentence stands `O`."""
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
    """Return the words whose tags may not stand where they do; of an end, the last word."""
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
    """Refuse tags that are illegal in a scheme.

    Args:
        sentences: The tags of each sentence.
        scheme: The scheme.
        place: Says where a word of a sentence stands, for the message.
        repair: Whether tags of spans may stand anywhere, for they are repaired.

    Raises:
        DataError: There are such tags; names the first and says how many.
    """
    stray = {tag for tags in sentences for tag in tags if scheme != "plain" and is_stray(tag)}
    if stray:
        found = [(row, at) for row, tags in enumerate(sentences) for at in _places(tags, stray)]
        row, at = found[0]
        raise DataError(
            f"{place(row, at)}: tag {sentences[row][at]!r} is no tag of {scheme} "
            f"({len(found):,} tags are none); correct the file or name its scheme"
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
        f"({len(found):,} tags are not legal); correct the file, name its scheme, or ask for repair"
    )


def _places(tags: Tags, some: set[str]) -> list[int]:
    return [at for at, tag in enumerate(tags) if tag in some]


def spans(tags: Tags) -> list[Span]:
    """Return the spans that tags of any scheme stand for, as CoNLL's `conlleval` reads them.

    A span ends where another type follows, before B and S, and after E and S. What is illegal is
    read, too: an I or E that goes on with nothing begins a span. A tag of any other form has none.

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
    """Return the tags of so many words that stand for spans, which are in order.

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
    """Return the same spans in another scheme; of illegal tags, those that `conlleval` reads.

    Between schemes of spans nothing is lost. Converting to a scheme's own repairs what is illegal.

    Example:
        >>> convert(["I-P", "B-P"], "IOB2"), convert(["O", "I-P"], "IOB2")
        (['B-P', 'B-P'], ['O', 'B-P'])
    """
    return list(tags) if scheme == "plain" else write_spans(spans(tags), len(tags), scheme)


def in_scheme(sentences: Sequence[Tags], scheme: Scheme) -> Sequence[Tags]:
    """Return tags as a scheme writes them, where they are spans in another.

    Which scheme they are in is seen by the tags of spans; any other tag stays as it is.

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
    """Return the scheme that is learnt: in IOB1 a span's tag would depend on the one before."""
    return "IOB2" if scheme == "IOB1" else scheme


@dataclass(frozen=True)
class TypeScores:
    """How well the spans of a type were found; of plain tags, the words of a tag.

    Attributes:
        type: The type.
        precision: Share of those found that are right.
        recall: Share of the right ones that were found.
        f1: The harmonic mean of the two.
        support: How many right ones there are.
    """

    type: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class TagScores:
    """How good tags are: strict scores of spans, as CoNLL's `conlleval` counts them.

    A span is right if its words and its type are. Of plain tags each word is a span.

    Attributes:
        precision: Over all types together.
        recall: Likewise.
        f1: Likewise.
        accuracy: Share of words with the right tag.
        words: How many words.
        types: The scores of each type, by name.
    """

    precision: float
    recall: float
    f1: float
    accuracy: float
    words: int
    types: tuple[TypeScores, ...]


def score_tags(gold: Sequence[Tags], predicted: Sequence[Tags], scheme: Scheme) -> TagScores:
    """Score the tags of sentences.

    Args:
        gold: The right tags.
        predicted: As many, in the same scheme.
        scheme: Whether tags are spans or `plain`.

    Raises:
        DataError: Of a sentence there are not as many tags as there should be.
    """
    right: Counter[str] = Counter()
    wanted: Counter[str] = Counter()
    found: Counter[str] = Counter()
    words = same = 0
    for row, (theirs, ours) in enumerate(zip(gold, predicted, strict=True)):
        if len(theirs) != len(ours):
            raise DataError(f"sentence {row}: {len(theirs)} tags, but {len(ours)} were predicted")
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
