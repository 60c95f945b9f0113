"""Scripts without spaces between words, of which what reads words takes a clause for a word."""

import re
from collections.abc import Iterable, Sequence
from itertools import islice

WITHOUT_SPACES = (  # between words, as a range of re: Thai and Lao, Burmese, Khmer, kana, Han
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3041-\u30ff\u3400-\u9fff"
)
_LONG_RUN = re.compile(f"[{WITHOUT_SPACES}]{{5,}}")
_SOME = 1000  # texts that show how words are written


def parts_words_by_spaces(texts: Sequence[str]) -> bool:
    """Say whether most of the texts, by letters, have spaces between words.

    Chinese, Japanese and Thai do not: cut at spaces, they fall into clauses.
    """
    letters = sum(map(len, texts))
    return 2 * sum(len(run) for text in texts for run in _LONG_RUN.findall(text)) <= letters


def note_unspaced(texts: Iterable[str | tuple[str, ...]]) -> list[str]:
    """Return a note of texts, or pairs, without spaces between words: the first thousand show it.

    Others are not looked at.
    """
    if parts_words_by_spaces(["".join(text) for text in islice(texts, _SOME)]):
        return []
    return [
        "The texts have no spaces between words: methods that read words (tfidf, scratch, word "
        "vectors, CoVe, ELMo) take a clause for a word. Encoders that read pieces do not; or "
        "part the words beforehand."
    ]
