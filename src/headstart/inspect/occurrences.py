"""The occurrences of a word in a corpus, each with its sentence."""

import difflib
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

from headstart.data.corpora import Corpus
from headstart.data.sentences import split_sentences
from headstart.data.unspaced import WITHOUT_SPACES
from headstart.errors import DataError, SettingsError
from headstart.progress import SILENT, Progress

Item = TypeVar("Item")
_CONTEXT = 240  # characters on each side; text farther away says little about a word
_SPARE = 8  # times the sample size is kept meanwhile; more makes the sample more even
_SPELLINGS = 50_000  # of a corpus, among which close spellings are searched
_WORD = re.compile(r"\w[\w\u00ad\u200c\u200d]*")
_UNSPACED = re.compile(f"[{WITHOUT_SPACES}]")
_SPACED = rf"(?:[^\W{WITHOUT_SPACES}]|[\u00ad\u200c\u200d])"  # letter, digit, joiner; spaced script


@dataclass(frozen=True)
class Occurrence:
    """A word in its sentence.

    Attributes:
        sentence: The sentence, or of a long one the part near the word.
        start: The position in the sentence where the word begins.
        end: The position where it ends.
    """

    sentence: str
    start: int
    end: int

    @property
    def word(self) -> str:
        """The word as spelled here."""
        return self.sentence[self.start : self.end]

    @property
    def context(self) -> str:
        """The sentence with all occurrences of the word removed."""
        return pattern_of(self.word.lower()).sub(" ", self.sentence)

    def narrowed(self, most: int) -> "Occurrence":
        """Return it with at most `most` characters on each side, cut between words."""
        before, after = self.sentence[: self.start], self.sentence[self.end :]
        if len(before) > most:
            _, space, kept = before[len(before) - most :].partition(" ")
            before = kept if space else ""
        if len(after) > most:
            kept, space, _ = after[:most].rpartition(" ")
            after = kept if space else ""
        start = len(before)
        return Occurrence(before + self.word + after, start, start + self.end - self.start)


@dataclass(frozen=True)
class Occurrences:
    """The occurrences of a word in a corpus.

    Attributes:
        word: The word that was searched for.
        total: The number of occurrences in the corpus.
        drawn: A sample spread evenly over the corpus, each from a different sentence.
    """

    word: str
    total: int
    drawn: list[Occurrence]


class EvenDraw(Generic[Item]):
    """Sample a stream of unknown length evenly: keep every item, then every 2nd, 4th, 8th, ..

    Args:
        most: The maximum number that `items` returns.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[Item, None] = {}
        self._step = 1
        self.seen = 0

    def add(self, item: Item) -> None:
        """Process the next item of the stream; duplicates are kept only once."""
        if self.seen % self._step == 0:
            self._kept[item] = None
            if len(self._kept) > _SPARE * self._most:
                self._kept = dict.fromkeys(islice(self._kept, 0, None, 2))
                self._step *= 2
        self.seen += 1

    def items(self) -> list[Item]:
        """Return the sample, in stream order."""
        kept = list(self._kept)
        if len(kept) <= self._most:
            return kept
        return [kept[number * len(kept) // self._most] for number in range(self._most)]


def check_word(word: str) -> None:
    """Check that `word` is a single word.

    Raises:
        SettingsError: It contains white space, or neither a letter nor a digit.
    """
    if not _WORD.search(word) or any(map(str.isspace, word)):
        raise SettingsError(f"{word!r} is not one word; give one without a space, such as 'bank'")


def pattern_of(word: str) -> re.Pattern[str]:
    """Return the pattern of a word: case-insensitive if lower case, otherwise case-sensitive.

    No letter or digit may be next to the word, except in scripts without spaces between words.
    """
    flags = re.IGNORECASE if word == word.lower() else 0
    first, last = (_UNSPACED.match(letter) for letter in (word[0], word[-1]))
    before = "" if first else rf"(?<!{_SPACED})"
    after = "" if last else rf"(?!{_SPACED})"
    return re.compile(before + re.escape(word) + after, flags)


def find_occurrences(
    corpus: Corpus, word: str, *, most: int = 200, progress: Progress = SILENT
) -> Occurrences:
    """Find a word in a corpus, in one pass; only the first occurrence per sentence is sampled.

    Args:
        corpus: The corpus.
        word: The word; `bank` also finds Bank and BANK, `Bank` only itself.
        most: The sample size.
        progress: Receives progress reports.

    Raises:
        DataError: The corpus does not contain it in two sentences; if it never occurs, the message
            lists the closest spellings that do.
        SettingsError: It is not one word, or `most` is below 2.
    """
    check_word(word)
    if type(most) is not int or most < 2:
        raise SettingsError(f"most must be a whole number above 1, got {most!r}")
    wanted = pattern_of(word)
    draw: EvenDraw[Occurrence] = EvenDraw(most)
    total = 0
    with progress.stage(f"looking for {word!r}", unit="documents") as advance:
        for text in corpus.texts():
            if wanted.search(text):
                for sentence in split_sentences(text):
                    matches = list(wanted.finditer(sentence))
                    total += len(matches)
                    if matches:
                        whole = Occurrence(sentence, *matches[0].span())
                        draw.add(whole.narrowed(_CONTEXT))
            advance(1)
    if not total:
        near = _nearest(corpus.texts(), word)
        hint = f"; similar words: {near}" if near else ""
        raise DataError(f"{corpus.description}: {word!r} does not occur{hint}")
    drawn = draw.items()
    if len(drawn) < 2:
        often = "occurs once" if total == 1 else f"occurs {total} times, always in one sentence"
        raise DataError(
            f"{corpus.description}: {word!r} {often}; two different sentences are needed"
        )
    return Occurrences(word, total, drawn)


def _nearest(texts: Iterable[str], word: str) -> str:
    """Return the words of the texts that are closest to `word`, quoted.

    They are in lower case if `word` is, otherwise in their most frequent spelling.
    """
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(_WORD.findall(text))
    spellings: dict[str, str] = {}
    for spelling, _ in counts.most_common(_SPELLINGS):
        small = spelling.lower()
        spellings.setdefault(small, small if word == word.lower() else spelling)
    found = difflib.get_close_matches(word.lower(), spellings, n=3, cutoff=0.7)
    return ", ".join(repr(spellings[each]) for each in found)
