"""Scripts without spaces between words, of which what reads words takes a clause for a word."""

import re
from collections.abc import Iterable
from itertools import islice

WITHOUT_SPACES = (  # between words, as a range of re: Thai and Lao, Burmese, Khmer, kana, Han
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3041-\u30ff\u3400-\u9fff"
)
_LONG_RUN = re.compile(f"[{WITHOUT_SPACES}]{{5,}}")
_SOME = 1000  # texts that show how words are written
_BEGINNING = 10_000  # characters of a text that do


def parts_words_by_spaces(texts: Iterable[str]) -> bool:
    """Say whether most of the texts, by letters, have spaces between words.

    Chinese, Japanese and Thai do not: cut at spaces, they fall into clauses.
    """
    without = 0
    for text in texts:
        without += 2 * sum(map(len, _LONG_RUN.findall(text))) - len(text)
    return without <= 0


def note_unspaced(texts: Iterable[str | tuple[str, ...]]) -> list[str]:
    """Return a note of texts, or pairs, without spaces between words: the first thousand show it.

    Others are not looked at, nor the rest of a long one.
    """
    some = (
        part[:_BEGINNING]
        for text in islice(texts, _SOME)
        for part in ([text] if isinstance(text, str) else text)
    )
    if parts_words_by_spaces(some):
        return []
    return [
        "The texts have no spaces between words: methods that read words (tfidf, scratch, word "
        "vectors, CoVe, ELMo) take a clause for a word. Encoders that read pieces do not; or "
        "part the words beforehand."
    ]
