"""The place of each token in its text, to find the tokens of a given span."""

from collections.abc import Sequence

from headstart.tokenize.batches import library_errors
from headstart.tokenize.subwords import SubwordTokenizer
from headstart.tokenize.words import WordTokenizer

Span = tuple[int, int]


def token_spans(
    tokenizer: WordTokenizer | SubwordTokenizer, texts: Sequence[str]
) -> list[list[Span]]:
    """Return where each token begins and ends, in characters of the original text.

    The tokens are those of `words`, and match the ids of `encode_batch`.

    Example:
        >>> token_spans(WordTokenizer.from_vocabulary([], lowercase=True), ["It's İzmir!"])
        [[(0, 2), (2, 4), (5, 10), (10, 11)]]
    """
    with library_errors():
        encodings = tokenizer._tokenizer.encode_batch(list(texts), add_special_tokens=False)
    return [list(encoding.offsets) for encoding in encodings]


def overlapping(spans: Sequence[Span], start: int, end: int) -> list[int]:
    """Return the numbers of the spans that share a character with `start:end`.

    Example:
        >>> overlapping([(0, 3), (3, 8), (8, 8), (8, 9)], 4, 8)
        [1]
    """
    return [number for number, (low, high) in enumerate(spans) if low < end and start < high]
