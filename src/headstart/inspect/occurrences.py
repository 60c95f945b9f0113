"""The occurrences of a word in a corpus, each in its sentence."""

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
_CONTEXT = 240  # characters on either side; what lies farther says little of a word
_SPARE = 8  # times as many as are drawn are kept meanwhile: the more, the more even
_SPELLINGS = 50_000  # of a corpus, among which the nearest ones are looked for
_WORD = re.compile(r"\w[\w\u00ad\u200c\u200d]*")
_UNSPACED = re.compile(f"[{WITHOUT_SPACES}]")
_SPACED = rf"(?:[^\W{WITHOUT_SPACES}]|[\u00ad\u200c\u200d])"  # letters, digits, joiners of others


@dataclass(frozen=True)
class Occurrence:
    """A word where it stands.

    Attributes:
        sentence: What it stands in, of a long one what is near to it.
        start: Where in the sentence the word begins.
        end: Where it ends.
    """

    sentence: str
    start: int
    end: int

    @property
    def word(self) -> str:
        """The word as it is written here."""
        return self.sentence[self.start : self.end]

    @property
    def context(self) -> str:
        """The sentence without the word, wherever in it the word stands."""
        return pattern_of(self.word.lower()).sub(" ", self.sentence)

    def narrowed(self, most: int) -> "Occurrence":
        """Return it with at most so many characters on either side, cut between words."""
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
        word: The word that was looked for.
        total: How often the corpus holds it.
        drawn: Some of them, evenly over the corpus, each of another sentence.
    """

    word: str
    total: int
    drawn: list[Occurrence]


class EvenDraw(Generic[Item]):
    """Keeps some of a stream evenly, without knowing how long it is: one of 1, 2, 4, 8, ..

    Args:
        most: How many `items` returns at most.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[Item, None] = {}
        self._step = 1
        self.seen = 0

    def add(self, item: Item) -> None:
        """Take the next one of the stream; one that is kept already is not kept twice."""
        if self.seen % self._step == 0:
            self._kept[item] = None
            if len(self._kept) > _SPARE * self._most:
                self._kept = dict.fromkeys(islice(self._kept, 0, None, 2))
                self._step *= 2
        self.seen += 1

    def items(self) -> list[Item]:
        """Return those to keep, in their order."""
        kept = list(self._kept)
        if len(kept) <= self._most:
            return kept
        return [kept[number * len(kept) // self._most] for number in range(self._most)]


def check_word(word: str) -> None:
    """Check that a word is one.

    Raises:
        SettingsError: It holds a space, or no letter and no digit.
    """
    if not _WORD.search(word) or any(map(str.isspace, word)):
        raise SettingsError(f"{word!r} is not one word; give one without a space, such as 'bank'")


def pattern_of(word: str) -> re.Pattern[str]:
    """Return what finds a word: in small letters it is found in any, otherwise as it is written.

    No letter or digit stands beside it, but of a script that has no spaces between words.
    """
    flags = re.IGNORECASE if word == word.lower() else 0
    first, last = (_UNSPACED.match(letter) for letter in (word[0], word[-1]))
    before = "" if first else rf"(?<!{_SPACED})"
    after = "" if last else rf"(?!{_SPACED})"
    return re.compile(before + re.escape(word) + after, flags)


def find_occurrences(
    corpus: Corpus, word: str, *, most: int = 200, progress: Progress = SILENT
) -> Occurrences:
    """Find a word in a corpus, which is read once; of each sentence its first occurrence is taken.

    Args:
        corpus: The corpus.
        word: The word; `bank` finds Bank and BANK, too, and `Bank` only itself.
        most: How many are drawn.
        progress: Where progress goes.

    Raises:
        DataError: The corpus does not hold it in two sentences; the nearest spellings that it holds
            are named.
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
        hint = f"; near to it are {near}" if near else ""
        raise DataError(f"{corpus.description}: {word!r} does not occur{hint}")
    drawn = draw.items()
    if len(drawn) < 2:
        often = "occurs once" if total == 1 else f"occurs {total} times, always in one sentence"
        raise DataError(
            f"{corpus.description}: {word!r} {often}; it takes two sentences to compare them"
        )
    return Occurrences(word, total, drawn)


def _nearest(texts: Iterable[str], word: str) -> str:
    """Return the spellings most like a word that occur, the most frequent of each first."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(_WORD.findall(text))
    spellings: dict[str, str] = {}
    for spelling, _ in counts.most_common(_SPELLINGS):
        small = spelling.lower()
        spellings.setdefault(small, small if word == word.lower() else spelling)
    found = difflib.get_close_matches(word.lower(), spellings, n=3, cutoff=0.7)
    return ", ".join(repr(spellings[each]) for each in found)
