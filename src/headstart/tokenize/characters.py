"""Words as characters, as in ELMo's original release: UTF-8 bytes, 50 ids per word.

The ids of a word are: begin of word, its bytes, end of word, and padding. All are larger by one
than in the files of the release, because 0 marks the absence of a word. Only the first 48 bytes of
a word are used.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Characters = NDArray[np.int16]

PER_WORD = 50  # ids
CHARACTERS = 262  # different ids, including 0
BEGIN_OF_WORD, END_OF_WORD, PADDED = 259, 260, 261
_MOST_BYTES = PER_WORD - 2


def _sentence_end(identity: int) -> Characters:
    word = np.full(PER_WORD, PADDED, np.int16)
    word[:3] = BEGIN_OF_WORD, identity, END_OF_WORD
    word.flags.writeable = False
    return word


BEGIN, END = _sentence_end(257), _sentence_end(258)  # before and after a sentence


def words_to_characters(words: Sequence[str]) -> Characters:
    """Return the ids of words `[words, 50]`.

    An unpaired surrogate, which has no UTF-8 form, is replaced with a question mark.

    Example:
        >>> words_to_characters(["né"])[0, :6].tolist()
        [259, 111, 196, 170, 260, 261]
    """
    written = [word.encode("utf-8", "replace")[:_MOST_BYTES] for word in words]
    lengths = np.fromiter(map(len, written), np.int64, len(written))
    ids = np.full((len(written), PER_WORD), PADDED, np.int16)
    columns = np.arange(PER_WORD)
    inside = (columns >= 1) & (columns <= lengths[:, None])
    ids[inside] = np.frombuffer(b"".join(written), np.uint8).astype(np.int16) + 1
    ids[:, 0] = BEGIN_OF_WORD
    ids[np.arange(len(written)), lengths + 1] = END_OF_WORD
    return ids


def distinct_words(sentences: Sequence[Sequence[str]]) -> tuple[list[str], NDArray[np.int64]]:
    """Return the distinct words of sentences, and the number of each running word.

    Example:
        >>> words, numbers = distinct_words([["to", "be"], ["or", "not", "to", "be"]])
        >>> words, numbers.tolist()
        (['to', 'be', 'or', 'not'], [0, 1, 2, 3, 0, 1])
    """
    numbers: dict[str, int] = {}
    running = [numbers.setdefault(word, len(numbers)) for words in sentences for word in words]
    return list(numbers), np.array(running, np.int64)
