"""Scripts without spaces between words, where word-level methods mistake a clause for a word."""

import re
from collections.abc import Iterable
from itertools import islice

WITHOUT_SPACES = (  # a range for re: Thai and Lao, Burmese, Khmer, kana, Han
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3041-\u30ff\u3400-\u9fff"
)
_LONG_RUN = re.compile(f"[{WITHOUT_SPACES}]{{5,}}")
_SOME = 1000  # texts to look at
_BEGINNING = 10_000  # characters of each text to look at


def parts_words_by_spaces(texts: Iterable[str]) -> bool:
    """Return whether most of the texts, by letters, have spaces between words.

    Chinese, Japanese and Thai do not: split at spaces, they fall into clauses.
    """
    without = 0
    for text in texts:
        without += 2 * sum(map(len, _LONG_RUN.findall(text))) - len(text)
    return without <= 0


def note_unspaced(texts: Iterable[str | tuple[str, ...]]) -> list[str]:
    """Return a note if texts, or pairs of texts, have no spaces between words.

    Only the beginnings of the first thousand texts are examined.
    """
    some = (
        part[:_BEGINNING]
        for text in islice(texts, _SOME)
        for part in ([text] if isinstance(text, str) else text)
    )
    if parts_words_by_spaces(some):
        return []
    return [
        "The texts have no spaces between words: word-level methods (tfidf, scratch, word "
        "vectors, CoVe, ELMo) treat a clause as one word. Use an encoder with subwords, or "
        "segment the words first."
    ]
