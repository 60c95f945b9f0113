"""Scripts without spaces between words, where word-level methods mistake a clause for a word."""

import re
from collections.abc import Iterable, Iterator
from itertools import islice

WITHOUT_SPACES = (  # a range for re: Thai and Lao, Burmese, Khmer, kana, Han
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3041-\u30ff\u3400-\u9fff"
)
_UNSPACED = re.compile(f"[{WITHOUT_SPACES}]")
_LETTER = re.compile(rf"[^\W\d_]|[{WITHOUT_SPACES}]")  # \w lacks the vowel signs of Thai
_SPACE = re.compile(r"[\s\u200b]+")  # U+200B divides words of Thai and Khmer invisibly
_LONG = 5  # letters between spaces that are more than one word
_SOME = 1000  # texts to look at
_BEGINNING = 10_000  # characters of each text to look at


def parts_words_by_spaces(texts: Iterable[str]) -> bool:
    """Return whether most of the texts, by letters and spaces, have spaces between words.

    Chinese, Japanese and Thai do not: split at spaces, they fall into clauses, and a short text is
    one clause.
    """
    without = 0
    for text in texts:
        parts = _SPACE.split(text.strip())
        clauses = [letters for part in parts if (letters := len(_UNSPACED.findall(part)))]
        unspaced = sum(letters for letters in clauses if letters >= _LONG or len(clauses) == 1)
        without += 2 * unspaced - len(_LETTER.findall(text)) - (len(parts) - 1)
    return without <= 0


def beginnings(texts: Iterable[str | tuple[str, ...]]) -> Iterator[str]:
    """Yield the beginnings of the first thousand texts, or of both sides of pairs."""
    for text in islice(texts, _SOME):
        for part in [text] if isinstance(text, str) else text:
            yield part[:_BEGINNING]


def note_unspaced(texts: Iterable[str | tuple[str, ...]]) -> list[str]:
    """Return a note if texts, or pairs of texts, have no spaces between words.

    Only the beginnings of the first thousand texts are examined.
    """
    if parts_words_by_spaces(beginnings(texts)):
        return []
    return [
        "The texts have no spaces between words: word-level methods (tfidf, scratch, word "
        "vectors, CoVe, ELMo) treat a clause as one word. Use an encoder with subwords, or "
        "segment the words first."
    ]
