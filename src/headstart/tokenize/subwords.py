"""Subword vocabularies: byte-pair encoding and WordPiece over the `tokenizers` library.

Byte-level BPE (Sennrich et al. 2016; GPT-2's byte alphabet) has no out-of-vocabulary text.
WordPiece is that of BERT (Devlin et al. 2019), with its `##` continuations and special tokens.
Other trained tokenizers have special tokens with other names and ids; `Specials` maps them.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import tokenizers
from numpy.typing import NDArray
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from headstart.errors import DataError, FormatError, SettingsError
from headstart.progress import SILENT, Progress
from headstart.tokenize.batches import Encoded, encode_batch, library_errors
from headstart.tokenize.piece_memory import PieceMemory, knows_words_apart
from headstart.tokenize.words import PAD, UNKNOWN, Vocabulary, read_tokenizer

CLS, SEP, MASK, END = "[CLS]", "[SEP]", "[MASK]", "<|endoftext|>"
Kind = Literal["bpe", "wordpiece"]
SPECIALS: dict[Kind, tuple[str, ...]] = {
    "bpe": (PAD, UNKNOWN, END),
    "wordpiece": (PAD, UNKNOWN, CLS, SEP, MASK),
}


@dataclass(frozen=True, kw_only=True)
class Specials:
    """The ids of special tokens; None if a vocabulary has no such token.

    Attributes:
        pad: Padding.
        unknown: Replaces what the vocabulary cannot spell.
        cls: Begins a text; its hidden state represents the whole text.
        sep: Ends a text.
        mask: Replaces a token to be predicted.
        end: Separates documents, for left-to-right models.
    """

    pad: int | None
    unknown: int | None
    cls: int | None
    sep: int | None
    mask: int | None
    end: int | None


_LONGEST_WORD = 200  # letters, as in BERT's original code; longer ones are unknown
_RUN = re.compile(r"\S+|\s+")
_MANY_SPACES = " " * (_LONGEST_WORD + 1)
_LETTERS_SHARE = 0.75  # of a vocabulary; 8,192 subwords cover all but the rarest Chinese characters
_NAMES = {
    "pad": (PAD, "<pad>"),
    "unknown": (UNKNOWN, "<unk>"),
    "cls": (CLS, "<s>"),
    "sep": (SEP, "</s>"),
    "mask": (MASK, "<mask>"),
    "end": (END,),
}


def check_vocabulary_size(size: object) -> None:
    """Reject an invalid vocabulary size.

    Raises:
        SettingsError: It is not a whole number, or smaller than an alphabet can be.
    """
    if type(size) is not int:
        raise SettingsError(f"vocabulary_size must be a whole number, got {size!r}")
    if size <= 261:
        raise SettingsError(f"vocabulary_size must be above 261, got {size}")


class SubwordTokenizer(Vocabulary):
    """A vocabulary of subwords. Make one with `train` or `load`.

    Args:
        tokenizer: The library's own tokenizer.
        end: The id that ends a document, if it is not the usual `<|endoftext|>`.
    """

    def __init__(self, tokenizer: tokenizers.Tokenizer, end: int | None = None) -> None:
        tokenizer.encode_special_tokens = True  # "[PAD]" in a text is text
        self._tokenizer = tokenizer
        self._end = end
        self._memory = PieceMemory(tokenizer) if knows_words_apart(tokenizer) else None

    def __reduce__(self) -> tuple[Any, ...]:
        # The library's own copy reads "[PAD]" as a token.
        return type(self), (self._tokenizer, self._end)

    @classmethod
    def train(
        cls,
        texts: Iterable[str] | Callable[[], Iterable[str]],
        *,
        kind: Kind = "wordpiece",
        vocabulary_size: int = 8192,
        min_count: int = 2,
        lowercase: bool = True,
        progress: Progress = SILENT,
    ) -> Self:
        """Learn the subwords of `texts`; the same texts give the same subwords.

        Args:
            texts: The texts, or a function that returns them; WordPiece reads them twice.
            kind: `bpe` or `wordpiece`.
            vocabulary_size: The number of subwords, including special tokens and single characters.
                In WordPiece, the most frequent characters take at most three quarters; words with
                other characters become unknown.
            min_count: Rarer pairs are not merged into a subword.
            lowercase: Whether texts are lowercased first.
            progress: Receives progress.

        Raises:
            SettingsError: The kind is unknown, or the vocabulary is smaller than an alphabet.
            DataError: The texts are empty.
        """
        check_vocabulary_size(vocabulary_size)
        if type(lowercase) is not bool:
            raise SettingsError(f"lowercase must be true or false, got {lowercase!r}")
        if kind not in SPECIALS:
            raise SettingsError(f"kind must be 'bpe' or 'wordpiece', got {kind!r}")
        if not callable(texts):
            texts = partial(iter, texts if isinstance(texts, Sequence) else list(texts))
        if kind == "bpe":
            tokenizer, trainer = _byte_pairs(vocabulary_size, min_count, lowercase=lowercase)
            rare: dict[int, str] = {}
        else:
            letters: Counter[str] = Counter()
            with progress.stage("reading the alphabet", unit="texts") as advance:
                for text in texts():
                    letters.update(text)
                    advance(1)
            tokenizer, trainer, rare = _word_pieces(
                vocabulary_size, min_count, letters, lowercase=lowercase
            )
        seen = 0

        def counted() -> Iterable[str]:
            nonlocal seen
            for text in texts():
                seen += bool(text.strip())
                yield from _in_parts(text.translate(rare) if rare else text)
                advance(1)

        with progress.stage(f"learning {kind} subwords", unit="texts") as advance:
            tokenizer.train_from_iterator(counted(), trainer)
        if isinstance(tokenizer.model, models.WordPiece):  # training resets it
            tokenizer.model.max_input_chars_per_word = _LONGEST_WORD
        if not seen:
            raise DataError("no text to learn a vocabulary from")
        return cls(_with_special(tokenizer, SPECIALS[kind]))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a `tokenizer.json`, ours or another's.

        Truncation, padding and special tokens around texts are left to the code that makes batches.

        Raises:
            FormatError: The file is corrupted, has a word-level vocabulary, or ids with gaps.
        """
        return cls.of(read_tokenizer(path), path)

    @classmethod
    def of(cls, tokenizer: tokenizers.Tokenizer, path: str | Path) -> Self:
        """Use a tokenizer that was read from a file.

        Raises:
            FormatError: It has a word-level vocabulary, or ids with gaps.
        """
        if isinstance(tokenizer.model, models.WordLevel):
            raise FormatError(f"{path}: contains a word-level vocabulary, expected subwords")
        numbers = sorted(tokenizer.get_vocab().values())
        if not numbers or numbers != list(range(len(numbers))):
            raise FormatError(
                f"{path}: subword ids must have no gaps, but {len(numbers):,} subwords have "
                f"ids up to {max(numbers, default=0):,}"
            )
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return cls(tokenizer)

    def with_tokens(self, names: Sequence[str]) -> Self:
        """Return the same tokenizer with more special tokens at the end of its vocabulary.

        Raises:
            SettingsError: The vocabulary already contains one of them.
        """
        if taken := [name for name in names if name in self.ids]:
            raise SettingsError(f"the vocabulary already contains {taken[0]!r}")
        larger = tokenizers.Tokenizer.from_str(self._tokenizer.to_str())
        larger.add_special_tokens(list(names))
        return type(self)(larger, self._end)

    def ending_in(self, identity: object) -> Self:
        """Return the same tokenizer with the end-of-document id from a model's settings.

        Args:
            identity: The id in the settings, or a list of ids of which the first is used. A
                vocabulary that contains `<|endoftext|>`, or no special token of this id, stays
                unchanged.
        """
        if isinstance(identity, list) and identity:
            identity = identity[0]
        added = self._tokenizer.get_added_tokens_decoder()
        if self.specials.end is not None or type(identity) is not int or identity not in added:
            return self
        return type(self)(self._tokenizer, identity) if added[identity].special else self

    def as_json(self) -> str:
        """Return what `save` writes."""
        return str(self._tokenizer.to_str())

    @property
    def backend(self) -> tokenizers.Tokenizer:
        """The library's own tokenizer, which also knows the special tokens around texts."""
        return self._tokenizer

    @cached_property
    def specials(self) -> Specials:
        """The special tokens, found by their usual names."""
        found: dict[str, int | None]
        found = {
            role: next((self.ids[name] for name in names if name in self.ids), None)
            for role, names in _NAMES.items()
        }
        if self._end is not None:
            found["end"] = self._end
        return Specials(**found)

    @property
    def unknown_id(self) -> int:
        """The id of what the vocabulary cannot spell; -1 if it can spell everything."""
        unknown = self.specials.unknown
        return -1 if unknown is None else unknown

    @cached_property
    def continues(self) -> NDArray[np.bool_]:
        """Whether each subword continues the word of the one before it `[vocabulary]`."""
        pieces = self.vocabulary
        if any(piece.startswith("##") for piece in pieces):
            return np.array([piece.startswith("##") for piece in pieces])
        return np.array([not _begins_a_word(piece) for piece in pieces])

    @property
    def lowercase(self) -> bool:
        """Whether texts are lowercased first."""
        normalizer = repr(self._tokenizer.normalizer)
        return "Lowercase" in normalizer or "lowercase=True" in normalizer

    @property
    def spells_bytes(self) -> bool:
        """Whether subwords are written in GPT-2's alphabet of bytes: `Ġthe` is " the"."""
        return "ByteLevel" in repr(self._tokenizer.decoder)

    def words(self, text: str) -> list[str]:
        """Split one text into its subwords."""
        with library_errors():
            return list(self._tokenizer.encode(text, add_special_tokens=False).tokens)

    def encode_batch(self, texts: Sequence[str]) -> Encoded:
        """Return the ids of all texts, in one flat array, without special tokens."""
        if self._memory is None:
            return encode_batch(self._tokenizer, texts)
        return self._memory.encode_batch(texts)

    def decode(self, ids: Sequence[int]) -> str:
        """Join subwords to text; exact for byte pairs, up to spacing and case for WordPiece."""
        with library_errors():
            return str(self._tokenizer.decode(list(ids)))


def _begins_a_word(piece: str) -> bool:
    """Return whether a subword begins with an encoded space or with punctuation."""
    first = piece[:1]
    space = first == "▁" or "Ā" <= first <= "Ġ"  # bytes 0 to 32 in GPT-2's alphabet: all letters
    return space or (first.isascii() and not first.isalnum())


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
        special_tokens=list(SPECIALS["bpe"]),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    return tokenizer, trainer


def _word_pieces(
    vocabulary_size: int, min_count: int, letters: Mapping[str, int], *, lowercase: bool
) -> tuple[tokenizers.Tokenizer, trainers.Trainer, dict[int, str]]:
    """Return a tokenizer, its trainer, and a map that replaces the rarest letters with spaces.

    Letters are replaced only if all of them would leave no room for longer subwords.
    """
    tokenizer = tokenizers.Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    # Published uncased BERTs drop accents with the case, which makes one word of `bán` and `bạn`.
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase, strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    found: set[str] = set()
    rare: dict[int, str] = {}
    for letter in sorted(letters, key=lambda each: (-letters[each], each)):
        more = _spelled(tokenizer, letter) - found
        if len(found) + len(more) > _LETTERS_SHARE * vocabulary_size:
            rare[ord(letter)] = " "
        else:
            found |= more
    # The library numbers continuations in an order that varies between runs, and breaks ties by
    # these numbers. Without this list, two trainings would not give the same subwords.
    continuations = sorted(piece for piece in found if len(piece) > 1)
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocabulary_size,
        min_frequency=min_count,
        special_tokens=[*SPECIALS["wordpiece"], *continuations],
        show_progress=False,
    )
    numbered = [(piece, number) for number, piece in enumerate(SPECIALS["wordpiece"])]
    tokenizer.post_processor = processors.TemplateProcessing(  # for other readers of the file
        single=f"{CLS} $A {SEP}",
        pair=f"{CLS} $A {SEP} $B:1 {SEP}:1",
        special_tokens=[(piece, number) for piece, number in numbered if piece in (CLS, SEP)],
    )
    return tokenizer, trainer, rare


def _spelled(tokenizer: tokenizers.Tokenizer, letter: str) -> set[str]:
    """Return the subwords that spell a letter: `a`, and `##a` if it can continue a word."""
    normal = tokenizer.normalizer.normalize_str(f"a{letter}")
    words = [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normal)]
    goes_on = {f"##{each}" for word in words for each in word[1:]}
    return goes_on | {each for word in words for each in word}


def _in_parts(text: str) -> Iterator[str]:
    """Yield a text, cut where a run without spaces, or of spaces, is longer than any word.

    The library's time is quadratic in a run's length, and not all scripts have spaces.
    """
    start = 0
    if _may_have_long_runs(text):
        for run in _RUN.finditer(text):
            for end in range(run.start() + _LONGEST_WORD, run.end(), _LONGEST_WORD):
                yield text[start:end]
                start = end
    yield text[start:]


def _may_have_long_runs(text: str) -> bool:
    """Return whether a text may have long runs: one with a space every so often has none."""
    at = 0
    while at + _LONGEST_WORD < len(text):
        space = text.rfind(" ", at, at + _LONGEST_WORD + 1)
        if space < 0:
            return True
        at = space + 1
    return _MANY_SPACES in text


def _with_special(tokenizer: tokenizers.Tokenizer, special: Sequence[str]) -> tokenizers.Tokenizer:
    """Return the same tokenizer with only these special tokens."""
    plain = json.loads(tokenizer.to_str())
    plain["added_tokens"] = [each for each in plain["added_tokens"] if each["content"] in special]
    return tokenizers.Tokenizer.from_str(json.dumps(plain))
