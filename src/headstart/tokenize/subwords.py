"""Pieces of words and their ids: byte-pair encoding and WordPiece over the `tokenizers` library.

No text is out of vocabulary for byte-level BPE (Sennrich et al. 2016; GPT-2's byte alphabet);
WordPiece is BERT's (Devlin et al. 2019), with its `##` continuations and its special tokens.
"""

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from headstart.errors import DataError, FormatError, SettingsError
from headstart.progress import SILENT, Progress
from headstart.tokenize.batches import Encoded, encode_batch
from headstart.tokenize.words import PAD, PAD_ID, UNKNOWN, UNKNOWN_ID, read_tokenizer

SPECIALS = (PAD, UNKNOWN, "[CLS]", "[SEP]", "[MASK]")
Kind = Literal["bpe", "wordpiece"]


class SubwordTokenizer:
    """A vocabulary of word pieces; id 0 is padding. Make one with `train` or `load`."""

    def __init__(self, tokenizer: tokenizers.Tokenizer) -> None:
        tokenizer.encode_special_tokens = True  # "[PAD]" in a text is text
        self._tokenizer = tokenizer

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        *,
        kind: Kind = "wordpiece",
        vocabulary_size: int = 8192,
        min_count: int = 2,
        lowercase: bool = True,
        progress: Progress = SILENT,
    ) -> Self:
        """Learn the pieces of `texts`.

        Raises:
            SettingsError: An unknown kind, or a vocabulary smaller than its alphabet can be.
            DataError: The texts hold nothing.
        """
        if vocabulary_size <= len(SPECIALS) + 256:
            raise SettingsError(f"vocabulary_size must be above 261, got {vocabulary_size}")
        if kind == "bpe":
            tokenizer, trainer = _byte_pairs(vocabulary_size, min_count, lowercase=lowercase)
        elif kind == "wordpiece":
            tokenizer, trainer = _word_pieces(vocabulary_size, min_count, lowercase=lowercase)
        else:
            raise SettingsError(f"kind must be 'bpe' or 'wordpiece', not {kind!r}")
        seen = 0

        def counted() -> Iterable[str]:
            nonlocal seen
            for text in texts:
                seen += bool(text.strip())
                yield text
                advance(1)

        with progress.stage(f"learning {kind} pieces", unit="texts") as advance:
            tokenizer.train_from_iterator(counted(), trainer)
        if not seen:
            raise DataError("no text to learn a vocabulary from")
        return cls(tokenizer)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a `tokenizer.json`, ours or another's that has `[PAD]` as 0 and `[UNK]` as 1.

        What it would cut, pad or add around a text is left to those who make batches.

        Raises:
            FormatError: The file is damaged, holds a word vocabulary, or has other numbers.
        """
        tokenizer = read_tokenizer(path)
        if isinstance(tokenizer.model, models.WordLevel):
            raise FormatError(f"{path}: a word vocabulary, expected word pieces")
        numbers = sorted(tokenizer.get_vocab().values())
        specials = [tokenizer.token_to_id(token) for token in (PAD, UNKNOWN)]
        if specials != [PAD_ID, UNKNOWN_ID] or numbers != list(range(len(numbers))):
            raise FormatError(
                f"{path}: pieces must be numbered without gaps, {PAD} 0 and {UNKNOWN} 1; here "
                f"{len(numbers):,} pieces have numbers up to {max(numbers, default=0):,}, {PAD} "
                f"{specials[0]} and {UNKNOWN} {specials[1]}"
            )
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return cls(tokenizer)

    def save(self, path: str | Path) -> None:
        """Write `tokenizer.json`, which the `tokenizers` library reads too."""
        self._tokenizer.save(str(path), pretty=False)

    @cached_property
    def vocabulary(self) -> list[str]:
        """Every piece, in the order of the ids."""
        by_piece = self._tokenizer.get_vocab()
        return sorted(by_piece, key=by_piece.__getitem__)

    @cached_property
    def ids(self) -> dict[str, int]:
        """The id of every piece."""
        return dict(self._tokenizer.get_vocab())

    @property
    def lowercase(self) -> bool:
        """Whether texts are lower-cased first."""
        normalizer = repr(self._tokenizer.normalizer)
        return "Lowercase" in normalizer or "lowercase=True" in normalizer

    def words(self, text: str) -> list[str]:
        """Cut one text into its pieces."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).tokens)

    def encode_batch(self, texts: Sequence[str]) -> Encoded:
        """Return the ids of all texts, in one flat array, without special tokens."""
        return encode_batch(self._tokenizer, texts)

    def decode(self, ids: Sequence[int]) -> str:
        """Join pieces to text again; exact for byte pairs, up to spacing and case for WordPiece."""
        return str(self._tokenizer.decode(list(ids)))


def _byte_pairs(
    vocabulary_size: int, min_count: int, *, lowercase: bool
) -> tuple[tokenizers.Tokenizer, trainers.Trainer]:
    tokenizer = tokenizers.Tokenizer(models.BPE())
    if lowercase:
        tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        min_frequency=min_count,
        special_tokens=list(SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    return tokenizer, trainer


def _word_pieces(
    vocabulary_size: int, min_count: int, *, lowercase: bool
) -> tuple[tokenizers.Tokenizer, trainers.Trainer]:
    tokenizer = tokenizers.Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocabulary_size,
        min_frequency=min_count,
        special_tokens=list(SPECIALS),
        show_progress=False,
    )
    return tokenizer, trainer
