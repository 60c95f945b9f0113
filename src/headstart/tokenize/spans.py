"""Where in a text each token of it stands: what belongs to a word that somebody points at."""

from collections.abc import Sequence

from headstart.tokenize.batches import library_errors
from headstart.tokenize.subwords import SubwordTokenizer
from headstart.tokenize.words import WordTokenizer

Span = tuple[int, int]


def token_spans(
    tokenizer: WordTokenizer | SubwordTokenizer, texts: Sequence[str]
) -> list[list[Span]]:
    """Return where each token begins and ends, in characters of its text as it was given.

    There are as many as `encode_batch` gives ids, and as `words` gives tokens.

    Example:
        >>> token_spans(WordTokenizer.from_vocabulary([], lowercase=True), ["It's İzmir!"])
        [[(0, 2), (2, 4), (5, 10), (10, 11)]]
    """
    with library_errors():
        encodings = tokenizer._tokenizer.encode_batch(list(texts), add_special_tokens=False)
    return [list(encoding.offsets) for encoding in encodings]


def overlapping(spans: Sequence[Span], start: int, end: int) -> list[int]:
    """Return which spans share a character with another one.

    Example:
        >>> overlapping([(0, 3), (3, 8), (8, 8), (8, 9)], 4, 8)
        [1]
    """
    return [number for number, (low, high) in enumerate(spans) if low < end and start < high]
