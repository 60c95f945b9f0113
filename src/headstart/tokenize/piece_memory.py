"""Cache the subwords of words: most words of a corpus are repeated.

A tokenizer can be applied word by word if no subword spans a space, and none depends on text beyond
a space. This holds for BERT's tokenization, which drops spaces and splits words there, and for
GPT-2's, in which a space belongs to the word after it. Splitting at spaces and joining the subwords
then gives exactly the ids of the whole text.
"""

import re
from collections.abc import Sequence
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
import tokenizers
from tokenizers import models, normalizers, pre_tokenizers

from headstart.tokenize.batches import Encoded, Ids, encode_batch, offsets_of

_MOST_WORDS = 1 << 17  # in the cache, in about 30 MB
_MOST_PIECES = 8  # of a cached word; longer words are rarely repeated
_WORDS_AT_ONCE = 256  # tokenized as one text, which takes a third of the time of as many texts
_BEFORE_A_WORD = re.compile(r" (?=\S)")
_MARKS = ".,;:()\"'-"  # which BERT splits off like spaces
_ITEM = np.dtype(np.int32).itemsize
Part = str | tuple[str]  # text that follows a space; a tuple if it follows none


def knows_words_apart(tokenizer: tokenizers.Tokenizer) -> bool:
    """Return whether a tokenizer splits the text between spaces the same way everywhere."""
    if any(not token.special for token in tokenizer.get_added_tokens_decoder().values()):
        return False  # these are searched for in whole texts, and may contain spaces
    if not isinstance(
        tokenizer.normalizer, normalizers.BertNormalizer | normalizers.Lowercase | None
    ):
        return False
    if isinstance(tokenizer.model, models.BPE) and tokenizer.model.dropout:
        return False
    cut = tokenizer.pre_tokenizer
    if isinstance(cut, pre_tokenizers.ByteLevel):
        return cut.use_regex and not cut.add_prefix_space
    return isinstance(cut, pre_tokenizers.BertPreTokenizer)


class PieceMemory:
    """A tokenizer for which `knows_words_apart` is true, with a cache of the subwords of words.

    Args:
        tokenizer: Splits the words.
    """

    def __init__(self, tokenizer: tokenizers.Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._keeps_spaces = isinstance(tokenizer.pre_tokenizer, pre_tokenizers.ByteLevel)
        self._pieces: dict[Part, bytes] = {}  # the ids of each part

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._tokenizer,)  # copies start with an empty cache

    def encode_batch(self, texts: Sequence[str]) -> Encoded:
        """Return the ids of all texts, in one flat array, without special tokens."""
        of_texts = [self._parts(text) for text in texts]
        parts = [*chain.from_iterable(of_texts)]
        found = [*map(self._pieces.get, parts)]
        if None in found:
            met = zip(parts, found, strict=True)
            cut = self._cut([*dict.fromkeys(part for part, ids in met if ids is None)])
            met = zip(parts, found, strict=True)
            found = [cut[part] if ids is None else ids for part, ids in met]
        ids = np.frombuffer(bytearray().join(found), np.int32)  # type: ignore[arg-type] # no None
        sizes = np.fromiter(map(len, found), np.int64, len(found))  # type: ignore[arg-type]
        ends = offsets_of(sizes // _ITEM)
        counts = np.fromiter(map(len, of_texts), np.int64, len(of_texts))
        return Encoded(ids, ends[offsets_of(counts)])

    def _parts(self, text: str) -> list[Part]:
        """Split a text at the spaces that no subword spans."""
        if self._keeps_spaces:
            first, *others = _BEFORE_A_WORD.split(text)  # of several spaces, the last is the word's
            return [(first,), *others]
        for mark in _MARKS:
            text = text.replace(mark, f" {mark} ")
        return [*text.split(" ")]

    def _cut(self, parts: Sequence[Part]) -> dict[Part, bytes]:
        """Tokenize parts that are not in the cache, and cache them while there is room."""
        alone = [part for part in parts if isinstance(part, tuple) or self._separator is None]
        written = [part[0] if isinstance(part, tuple) else f" {part}" for part in alone]
        encoded = encode_batch(self._tokenizer, written)
        cut = {part: encoded[row].tobytes() for row, part in enumerate(alone)}
        if self._separator is not None:
            words = [part for part in parts if isinstance(part, str)]
            cut |= self._cut_together(words, *self._separator)
        short = {part: ids for part, ids in cut.items() if len(ids) <= _MOST_PIECES * _ITEM}
        if len(self._pieces) + len(short) <= _MOST_WORDS:
            self._pieces.update(short)
        return cut

    def _cut_together(self, words: Sequence[str], separator: str, mark: int) -> dict[Part, bytes]:
        """Tokenize many words as one text, separated by a word that is a single subword."""
        groups = [words[at : at + _WORDS_AT_ONCE] for at in range(0, len(words), _WORDS_AT_ONCE)]
        joined = encode_batch(
            self._tokenizer, [f" {f' {separator} '.join(group)}" for group in groups]
        )
        cut: dict[Part, bytes] = {}
        for row, group in enumerate(groups):
            ids = joined[row]
            marks = np.flatnonzero(ids == mark)
            if len(marks) != len(group) - 1:  # the separator is one of the words
                each = encode_batch(self._tokenizer, [f" {word}" for word in group])
                cut |= {word: each[at].tobytes() for at, word in enumerate(group)}
                continue
            flat, ends = ids.tobytes(), (marks * _ITEM).tolist()
            begins = [0, *(end + _ITEM for end in ends)]
            ends.append(len(flat))
            cut |= {
                word: flat[begin:end] for word, begin, end in zip(group, begins, ends, strict=True)
            }
        return cut

    @cached_property
    def _separator(self) -> tuple[str, int] | None:
        """The rarest word that is a single subword, and its id; None if there is none."""
        by_piece = self._tokenizer.get_vocab()
        for piece, number in sorted(by_piece.items(), key=lambda item: -item[1]):
            word = piece.removeprefix("Ġ")
            if word.isascii() and word.isalpha():
                ids: Ids = encode_batch(self._tokenizer, [f" {word}"]).ids
                if ids.tolist() == [number]:
                    return word, number
        return None
