"""Published tests of word vectors: word similarity and analogies.

Similarity: rank correlation of cosines with human ratings of word pairs, as for WordSim-353
(Finkelstein et al., 2002) and SimLex-999 (Hill et al., 2015). Analogies: the share of Mikolov et
al.'s questions (2013) answered correctly. Items with a word that has no vector are left out, and
the result says how many are covered.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from headstart.data.lines import read_lines
from headstart.errors import DataError
from headstart.models.word_vectors import WordSpace
from headstart.progress import SILENT, Progress

_HEADER_CELL = re.compile(r"word[ _]?\d", re.IGNORECASE)
_QUESTIONS_AT_ONCE = 1024


@dataclass(frozen=True)
class SimilarityTest:
    """Word pairs and their human similarity ratings."""

    name: str
    pairs: list[tuple[str, str]]
    ratings: list[float]


@dataclass(frozen=True)
class SimilarityScore:
    """How well cosines agree with the ratings.

    Attributes:
        name: The name of the test.
        spearman: Rank correlation over the covered pairs; None if it is undefined.
        covered: Pairs of which both words have vectors.
        total: Pairs in the test.
        missing: Words without a vector.
    """

    name: str
    spearman: float | None
    covered: int
    total: int
    missing: tuple[str, ...]


@dataclass(frozen=True)
class AnalogyScore:
    """The questions of one section: answered correctly, covered by the vocabulary, and in total."""

    section: str
    correct: int
    covered: int
    total: int

    @property
    def accuracy(self) -> float | None:
        """Share of the covered questions answered correctly; None if none is covered."""
        return self.correct / self.covered if self.covered else None


Question = tuple[str, str, str, str]


def read_similarity_test(path: str | Path) -> SimilarityTest:
    """Read word pairs with ratings: columns separated by tab, comma or space, header optional.

    The rating is the first numeric column after the two words, which is correct for WordSim-353,
    SimLex-999, SimVerb-3500 and their plain three-column copies.

    Raises:
        DataError: A line does not have two words and a rating; the message names the line.
    """
    path = Path(path)
    pairs: list[tuple[str, str]] = []
    ratings: list[float] = []
    column = None
    for number, line in _content(path):
        fields = _fields(line)
        if not pairs and len(fields) > 2 and all(map(_HEADER_CELL.fullmatch, fields[:2])):
            continue
        if column is None:
            found = (at for at, field in enumerate(fields) if at > 1 and _rating(field) is not None)
            column = next(found, 2)
        rating = _rating(fields[column]) if len(fields) > column else None
        if rating is None or not (fields[0] and fields[1]):
            raise DataError(
                f"{path} line {number}: expected two words and a rating in column {column + 1}, "
                f"found {line[:60]!r}"
            )
        pairs.append((fields[0], fields[1]))
        ratings.append(rating)
    if not pairs:
        raise DataError(f"{path}: no word pairs found")
    return SimilarityTest(path.stem, pairs, ratings)


def read_analogies(path: str | Path) -> dict[str, list[Question]]:
    """Read questions `a b c d` (a is to b as c is to d) under `: section` lines.

    Raises:
        DataError: A line does not have four words, or is before the first section.
    """
    path = Path(path)
    sections: dict[str, list[Question]] = {}
    questions: list[Question] | None = None
    for number, line in _content(path):
        if line.startswith(":"):
            questions = sections.setdefault(line[1:].strip(), [])
            continue
        words = line.split()
        if questions is None or len(words) != 4:
            wanted = "': section' first" if questions is None else "four words"
            raise DataError(f"{path} line {number}: expected {wanted}, found {line[:60]!r}")
        questions.append((words[0], words[1], words[2], words[3]))
    if not sections:
        raise DataError(f"{path}: no analogy questions found")
    return sections


def evaluate_similarity(
    space: WordSpace, test: SimilarityTest, *, lowercase: bool = False
) -> SimilarityScore:
    """Correlate cosines with ratings over the covered pairs.

    Args:
        space: The vectors.
        test: The result of `read_similarity_test`.
        lowercase: Look up words in lower case, for vectors of lower-cased text.
    """
    pairs = [(_cased(a, lowercase), _cased(b, lowercase)) for a, b in test.pairs]
    rows = [row for row, (a, b) in enumerate(pairs) if a in space and b in space]
    cosines = space.similarity([pairs[row] for row in rows])
    missing = dict.fromkeys(word for pair in pairs for word in pair if word not in space)
    spearman = _spearman(cosines, np.array([test.ratings[row] for row in rows]))
    return SimilarityScore(test.name, spearman, len(rows), len(pairs), tuple(missing))


def evaluate_analogies(
    space: WordSpace,
    sections: dict[str, list[Question]],
    *,
    lowercase: bool = False,
    progress: Progress = SILENT,
) -> list[AnalogyScore]:
    """Answer every question whose four words have vectors; return one score per section.

    Args:
        space: The vectors; all its words are candidate answers.
        sections: The result of `read_analogies`.
        lowercase: Look up words in lower case, for vectors of lower-cased text.
        progress: Receives progress reports.
    """
    scores = []
    total = sum(map(len, sections.values()))
    with progress.stage("answering analogies", total, "questions") as advance:
        for section, questions in sections.items():
            cased = [tuple(_cased(word, lowercase) for word in question) for question in questions]
            covered = [words for words in cased if all(word in space for word in words)]
            correct = 0
            for start in range(0, len(covered), _QUESTIONS_AT_ONCE):
                part = covered[start : start + _QUESTIONS_AT_ONCE]
                answers = space.analogies([(a, b, c) for a, b, c, _ in part])
                pairs = zip(part, answers, strict=True)
                correct += sum(bool(best) and best[0][0] == words[3] for words, best in pairs)
                advance(len(part))
            advance(len(questions) - len(covered))
            scores.append(AnalogyScore(section, correct, len(covered), len(questions)))
    return scores


def _content(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines that are neither empty nor comments, with their line numbers."""
    for number, line in enumerate(read_lines(path), start=1):
        if line.strip() and not line.startswith("#"):
            yield number, line.strip()


def _fields(line: str) -> list[str]:
    for delimiter in ("\t", ","):
        if delimiter in line:
            return [field.strip() for field in line.split(delimiter)]
    return line.split()


def _rating(field: str) -> float | None:
    try:
        rating = float(field)
    except ValueError:
        return None
    return rating if math.isfinite(rating) else None


def _cased(word: str, lowercase: bool) -> str:  # noqa: FBT001 - private
    return word.lower() if lowercase else word


def _spearman(first: np.ndarray, second: np.ndarray) -> float | None:
    if len(first) < 2 or np.ptp(first) == 0.0 or np.ptp(second) == 0.0:
        return None
    return float(np.corrcoef(rankdata(first), rankdata(second))[0, 1])
