"""Choice of an interesting word in a corpus: frequent, no function word, with varied uses."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from headstart.data.corpora import Corpus
from headstart.data.sentences import split_sentences
from headstart.errors import DataError
from headstart.hub.bundle import Pretrained
from headstart.inspect.occurrences import EvenDraw, Occurrence
from headstart.inspect.word_states import has_vectors, occurrence_vectors, reads_context
from headstart.progress import SILENT, Progress

_CHARACTERS = 4_000_000  # of the corpus that are searched
_CANDIDATES = 24
_EACH = 8  # occurrences used to judge a candidate
_CONTEXT = 100  # characters on each side of them
_FEWEST = 8
_MOST_SENTENCES = 0.01  # of all; a word in more is a function word or the corpus's topic
_PROPER = re.compile(r"[^\W\d_]{3,}")
_AFTER_ARTICLE = re.compile(r"\b(?:an?|the) ([^\W\d_]{3,})", re.IGNORECASE)
_NOUN = 0.15  # share of a noun's sentences in which it follows an article


def choose_word(
    encoders: Mapping[str, Pretrained], corpus: Corpus, *, progress: Progress = SILENT
) -> str:
    """Return the word whose occurrences differ most under the contextual encoders.

    Suitable words have at least three letters, are mostly in lower case, are no English function
    words, and occur in at least 8 of the sentences in the first 4 million characters and in at most
    1% of them (or 8). If any of these often follow an article, only those are used, because senses
    are clearest for nouns. The 24 most frequent of them are the candidates, without words that
    always have the same context, such as an email footer. The word with the lowest mean cosine
    between two of its occurrences, averaged over the contextual encoders, is chosen; without such
    encoders, the most frequent.

    Raises:
        DataError: There is no such word for which all encoders have vectors.
    """
    sentences = _first_sentences(corpus)
    drawn = _candidates(sentences)
    for encoder in encoders.values():
        drawn = {
            word: occurrences
            for word, occurrences in drawn.items()
            if has_vectors(encoder, occurrences).all()
        }
    if not drawn:
        raise DataError(
            f"{corpus.description}: no suitable word occurs in {_FEWEST} sentences and has "
            "vectors; name a word"
        )
    words = list(drawn)
    cosines = np.zeros(len(words))
    together = [each for occurrences in drawn.values() for each in occurrences]
    ends = np.cumsum([len(occurrences) for occurrences in drawn.values()])[:-1]
    for encoder in encoders.values():
        if reads_context(encoder):
            vectors = occurrence_vectors(encoder, together, progress=progress)
            cosines += [_mean_cosine(each) for each in np.split(vectors, ends)]
    return words[int(cosines.argmin())]


def _first_sentences(corpus: Corpus) -> list[str]:
    sentences: dict[str, None] = {}
    read = 0
    for text in corpus.texts():
        sentences |= dict.fromkeys(split_sentences(text))
        read += len(text)
        if read >= _CHARACTERS:
            break
    return list(sentences)


def _candidates(sentences: Sequence[str]) -> dict[str, list[Occurrence]]:
    """Return the candidates, most frequent first, each with two or more occurrences."""
    small: Counter[str] = Counter()
    other: Counter[str] = Counter()
    after_article: Counter[str] = Counter()
    for sentence in sentences:
        for word in set(_PROPER.findall(sentence)):
            (small if word == word.lower() else other)[word.lower()] += 1
        after_article.update(set(_AFTER_ARTICLE.findall(sentence)))
    most = max(_FEWEST, int(_MOST_SENTENCES * len(sentences)))
    proper = [
        word
        for word, count in sorted(small.items(), key=lambda item: (-item[1], item[0]))
        if _FEWEST <= count <= most and count > other[word] and word not in ENGLISH_STOP_WORDS
    ]
    nouns = [word for word in proper if after_article[word] >= _NOUN * small[word]]
    chosen = (nouns or proper)[:_CANDIDATES]
    draws: dict[str, EvenDraw[Occurrence]] = {word: EvenDraw(_EACH) for word in chosen}
    for sentence in sentences:
        met: set[str] = set()
        for match in _PROPER.finditer(sentence):
            if match[0] in draws and match[0] not in met:
                met.add(match[0])
                draws[match[0]].add(Occurrence(sentence, *match.span()).narrowed(_CONTEXT))
    drawn = {word: draw.items() for word, draw in draws.items()}
    return {word: occurrences for word, occurrences in drawn.items() if len(occurrences) > 1}


def _mean_cosine(vectors: NDArray[np.float32]) -> float:
    """Return the mean cosine of two different vectors."""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    count = len(unit)
    return float((np.square(unit.sum(0)).sum() - count) / (count * (count - 1)))
