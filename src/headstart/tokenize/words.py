"""Words and their ids: a word-level vocabulary over the `tokenizers` library.

Words are split as in published English vectors: Penn Treebank clitics (`do n't`, `it 's`), whole
`1,000`, `1990s` and `u.s.`, and other punctuation apart. Texts then find their words in GloVe. A
word continues over the joiners of Persian, Hindi and Sinhala, U+200C and U+200D, as in Unicode's
Annex 29 (WB4); soft hyphens and marks of direction are dropped, and U+200B, which parts words in
Khmer, Burmese and Thai, is a space. Pretraining and task use the same tokenizer, and a word has the
same id in both.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

import tokenizers
from tokenizers import models, normalizers, pre_tokenizers, trainers

from headstart.errors import DataError, FormatError, SettingsError
from headstart.progress import SILENT, Advance, Progress
from headstart.tokenize.batches import Encoded, encode_batch, library_errors

PAD, UNKNOWN = "[PAD]", "[UNK]"
PAD_ID, UNKNOWN_ID = 0, 1
Split = Literal["words", "whitespace"]

_DROPPED = r"[\x{00AD}\x{200E}\x{200F}\x{202A}-\x{202E}\x{2066}-\x{2069}\x{FEFF}]"
_ZERO_WIDTH_SPACE = "\u200b"
_WORD = r"\w[\w\x{200C}\x{200D}]*"
_WORDS = (
    r"(?:\p{L}\.){2,}|\p{N}+(?:[.,:]\p{N}+)*(?:(?:st|nd|rd|th|s)\b)?"
    rf"|n't\b|'(?:s|re|ve|ll|d|m)\b|{_WORD}?(?=n't\b)|{_WORD}|[^\w\s]"
)
_WORDS_ANY_CASE = "(?i)" + _WORDS


class Vocabulary:
    """The common base of word and subword tokenizers: tokens, their ids, and a file."""

    _tokenizer: tokenizers.Tokenizer

    def save(self, path: str | Path) -> None:
        """Write `tokenizer.json`, which the `tokenizers` library can also read."""
        self._tokenizer.save(str(path), pretty=False)

    @cached_property
    def vocabulary(self) -> list[str]:
        """Every word or subword, in the order of the ids."""
        by_token = self._tokenizer.get_vocab()
        return sorted(by_token, key=by_token.__getitem__)

    @property
    def vocabulary_size(self) -> int:
        """The number of words or subwords, without building a list of them."""
        return int(self._tokenizer.get_vocab_size())

    @cached_property
    def ids(self) -> dict[str, int]:
        """The id of every word or subword."""
        return dict(self._tokenizer.get_vocab())


class WordTokenizer(Vocabulary):
    """A vocabulary of words: id 0 is padding, id 1 every unknown word.

    Make one with `train`, `from_vocabulary` or `load`.

    Example:
        >>> tokenizer = WordTokenizer.from_vocabulary(["it", "'s", "fine"], lowercase=True)
        >>> tokenizer.words("It's fine!")
        ['it', "'s", 'fine', '!']
        >>> tokenizer.encode_batch(["It's fine!"]).ids.tolist()
        [2, 3, 4, 1]
    """

    def __init__(self, tokenizer: tokenizers.Tokenizer) -> None:
        self._tokenizer = tokenizer

    @classmethod
    def from_vocabulary(
        cls, words: Iterable[str], *, lowercase: bool, split: Split = "words"
    ) -> Self:
        """Give the ids 2, 3, .. to distinct `words`, in order.

        Raises:
            SettingsError: A word occurs twice.
        """
        every = [PAD, UNKNOWN, *words]
        vocabulary = dict(zip(every, range(len(every)), strict=True))
        if len(vocabulary) < len(every):  # it has the last place of each word
            twice = next(word for place, word in enumerate(every) if vocabulary[word] != place)
            raise SettingsError(f"the vocabulary contains {twice!r} twice")
        made = cls(_tokenizer(vocabulary, lowercase=lowercase, split=split))
        made.vocabulary = every  # avoids reading and sorting it, which takes 1 s for 400,000 words
        return made

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        *,
        vocabulary_size: int = 400_000,
        min_count: int = 5,
        lowercase: bool = True,
        split: Split = "words",
        progress: Progress = SILENT,
    ) -> Self:
        """Build a vocabulary of the most frequent words of `texts`, most frequent first.

        Raises:
            SettingsError: `lowercase` is neither true nor false.
            DataError: No word occurs `min_count` times.
        """
        if type(lowercase) is not bool:
            raise SettingsError(f"lowercase must be true or false, got {lowercase!r}")
        tokenizer = _tokenizer({}, lowercase=lowercase, split=split)
        trainer = trainers.WordLevelTrainer(
            vocab_size=vocabulary_size,
            min_frequency=min_count,
            special_tokens=[PAD, UNKNOWN],
            show_progress=False,
        )
        with progress.stage("counting words", unit="texts") as advance:
            tokenizer.train_from_iterator(_counted(texts, advance), trainer)
        if tokenizer.get_vocab_size() <= 2:
            raise DataError(f"no word occurs {min_count} times (min_count); provide more text")
        words = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
        return cls.from_vocabulary(
            [word for word, _ in words if word not in (PAD, UNKNOWN)],  # texts may contain these
            lowercase=lowercase,
            split=split,
        )

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a `tokenizer.json` that contains a word-level vocabulary.

        Raises:
            FormatError: The file is not such a tokenizer.
        """
        return cls.of(read_tokenizer(path), path)

    @classmethod
    def of(cls, tokenizer: tokenizers.Tokenizer, path: str | Path) -> Self:
        """Use a tokenizer that was read from a file.

        Raises:
            FormatError: It is not a word-level vocabulary.
        """
        ids = [tokenizer.token_to_id(token) for token in (PAD, UNKNOWN)]
        if not isinstance(tokenizer.model, models.WordLevel) or ids != [PAD_ID, UNKNOWN_ID]:
            raise FormatError(f"{path}: not a word-level vocabulary with {PAD} 0 and {UNKNOWN} 1")
        if tokenizer.normalizer is None or tokenizer.pre_tokenizer is None:
            raise FormatError(f"{path}: the word-level vocabulary has no rule for splitting texts")
        return cls(tokenizer)

    @property
    def unknown_id(self) -> int:
        """The id of every unknown word."""
        return UNKNOWN_ID

    @property
    def lowercase(self) -> bool:
        """Whether texts are lowercased first."""
        return "Lowercase" in repr(self._tokenizer.normalizer)

    @property
    def split(self) -> Split:
        """How texts are split: `words`, or at `whitespace` for tokenized text."""
        whole = isinstance(self._tokenizer.pre_tokenizer, pre_tokenizers.WhitespaceSplit)
        return "whitespace" if whole else "words"

    def words(self, text: str) -> list[str]:
        """Split one text into words, as `encode_batch` does before it looks them up."""
        with library_errors():
            normal = self._tokenizer.normalizer.normalize_str(text)
            return [word for word, _ in self._tokenizer.pre_tokenizer.pre_tokenize_str(normal)]

    def normal(self, word: str) -> str:
        """Return a word in the form in which it is looked up."""
        with library_errors():
            return str(self._tokenizer.normalizer.normalize_str(word))

    def encode_batch(self, texts: Sequence[str]) -> Encoded:
        """Return the ids of all texts, in one flat array."""
        return encode_batch(self._tokenizer, texts)

    def encode_words(self, sentences: Sequence[Sequence[str]]) -> Encoded:
        """Return one id for each word of tokenized sentences."""
        ids: dict[str, int] = {}
        for word in {word for sentence in sentences for word in sentence}:
            ids[word] = self.ids.get(self.normal(word), UNKNOWN_ID)
        return Encoded.from_lists([[ids[word] for word in sentence] for sentence in sentences])


def _tokenizer(
    vocabulary: dict[str, int], *, lowercase: bool, split: Split
) -> tokenizers.Tokenizer:
    tokenizer = tokenizers.Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    steps: list[normalizers.Normalizer] = [normalizers.Replace("’", "'")]
    if split == "words":
        steps.append(normalizers.Replace(tokenizers.Regex(_DROPPED), ""))
        steps.append(normalizers.Replace(_ZERO_WIDTH_SPACE, " "))
    if lowercase:
        steps.append(normalizers.Lowercase())
    tokenizer.normalizer = normalizers.Sequence(steps)
    if split == "whitespace":
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    elif split == "words":
        pattern = tokenizers.Regex(_WORDS if lowercase else _WORDS_ANY_CASE)
        tokenizer.pre_tokenizer = pre_tokenizers.Split(pattern, "removed", invert=True)
    else:
        raise SettingsError(f"split must be 'words' or 'whitespace', got {split!r}")
    return tokenizer


def _counted(texts: Iterable[str], advance: Advance) -> Iterator[str]:
    for text in texts:
        yield text
        advance(1)


def read_tokenizer(path: str | Path) -> tokenizers.Tokenizer:
    """Read any `tokenizer.json`.

    Raises:
        FormatError: The file is missing or corrupted; this includes panics of the Rust library.
    """
    try:
        return tokenizers.Tokenizer.from_file(str(path))
    except BaseException as error:
        # The library answers some corrupted files with a panic, which is not an Exception.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise FormatError(f"{path}: not a readable tokenizer.json: {error}") from None
