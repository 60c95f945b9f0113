"""A pretrained encoder with everything needed to use it: model, tokenizer, and lineage.

It is saved as a folder with `config.json`, `model.safetensors`, `tokenizer.json`, a model card and
a manifest. Nothing in the folder can execute code when it is loaded.
"""

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from headstart.data.in_memory import as_texts
from headstart.devices import compute_device, reuse_freed_memory, torch_defaults
from headstart.errors import FormatError, SettingsError
from headstart.hub.cards import card
from headstart.hub.proof import hash_tensors
from headstart.models.interface import Encoder, Pooling, device_of
from headstart.models.packed_weights import version
from headstart.models.word_vectors import Neighbors, WordSpace, WordVectors
from headstart.settings import plain_arguments
from headstart.storage import (
    check_manifest,
    file_sha256,
    fingerprint,
    new_folder,
    numbered_disk_errors,
    read_json,
    write_json,
    write_text,
)
from headstart.tokenize.batches import Encoded
from headstart.tokenize.pairs import Frame, join_pairs
from headstart.tokenize.subwords import SubwordTokenizer
from headstart.tokenize.words import WordTokenizer, read_tokenizer
from headstart.weights import read_safetensors, write_safetensors

if TYPE_CHECKING:
    import torch

FORMAT = 1
WEIGHTS = "model.safetensors"
CONFIG = "config.json"
TOKENIZER = "tokenizer.json"
CURVE = "curve"  # lineage field with every validation of the run; too long for the card's table
ENCODER = "encoder"  # subfolder of a fitted model with its encoder
OURS = "headstart"  # the field with our own data in a config.json of transformers
_FIRST_WORD = 2  # rows 0 and 1 are padding and unknown words
_ROWS_AT_ONCE = 1 << 14
_State = list[tuple[int, int]]  # each tensor's address and number of changes
_KEPT_WEIGHTS = ("_hashed", "_placed")  # fields that are computed again in a copy
_SPACED_WORD = re.compile(r" [^\s\ufffd]+")  # U+FFFD: the piece is part of a character


class Tokenizer(Protocol):
    """The tokenizer interface that an encoder needs."""

    @property
    def vocabulary(self) -> list[str]: ...
    @property
    def vocabulary_size(self) -> int: ...
    @property
    def ids(self) -> dict[str, int]: ...
    @property
    def unknown_id(self) -> int: ...
    @property
    def lowercase(self) -> bool: ...
    def words(self, text: str) -> list[str]: ...
    def encode_batch(self, texts: Sequence[str]) -> Encoded: ...
    def save(self, path: str | Path) -> None: ...


class Savable(Protocol):
    """Anything that can write itself to a file."""

    def save(self, path: str | Path) -> None: ...


class Pretrained:
    """A pretrained encoder: its model, its tokenizer, and where they came from.

    Fitting and adapting never change it. Get one from `pretrain`, `adapt` or `load`, and keep it
    with `save`. `pretrain`, `adapt` and `load` return a subclass, whose `help` shows what this kind
    of encoder can do: word vectors have `most_similar`, `similarity` and `analogy`, CoVe
    `translate` and `word_states`, ELMo `word_states`, GPT `generate` and `perplexity`, BERT
    `fill_mask`.

    Attributes:
        kind: The kind of encoder, such as `glove` or `bert`.
        model: The network that turns token ids into vectors.
        tokenizer: Turns text into token ids.
        config: Sizes and settings, as plain values.
        lineage: Where the encoder came from: its corpus or file, training time, losses and notes.
    """

    computes_on_gpus: ClassVar[bool] = False
    _hashed: tuple[_State, str, list[Tensor]] | None = None  # the fingerprint of these weights

    def __init__(
        self,
        kind: str,
        model: Encoder,
        tokenizer: Tokenizer,
        *,
        config: Mapping[str, Any],
        lineage: Mapping[str, Any],
    ) -> None:
        self.kind = kind
        self.model = model
        self.tokenizer = tokenizer
        self.config = dict(config)
        self.lineage = dict(lineage)

    @classmethod
    def from_folder(
        cls, folder: Path, about: Mapping[str, Any], tensors: Mapping[str, Tensor]
    ) -> Self:
        """Build an encoder from what `read_folder` returned.

        Kinds that only headstart can read override this method. All others are also readable by
        `transformers` and are loaded by `hub.published`.

        Args:
            folder: The folder.
            about: Its `kind`, `config` and `lineage`, as returned by the method `about`.
            tensors: The weights.

        Raises:
            FormatError: The parts do not match.
        """
        del tensors
        raise FormatError(
            f"{folder / CONFIG}: a {about['kind']!r} needs a config.json of transformers"
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}, {self.tokenizer.vocabulary_size:,} ids>"

    def __sklearn_clone__(self) -> Self:
        return self

    def tensors(self) -> dict[str, Tensor]:
        """Return every weight by name."""
        return dict(self.model.state_dict())  # type: ignore[attr-defined]

    @property
    def fingerprint(self) -> str:
        """Hash of the weights and the vocabulary, as 16 hexadecimal digits.

        Changes that torch does not count (by fused optimizers, `.data` or NumPy) are noticed after
        `torch.autograd.graph.increment_version(list(model.parameters()))`.
        """
        weights, state = self._weights()
        if self._hashed is None or self._hashed[0] != state:
            hashed = hash_tensors(weights), self.tokenizer.vocabulary, self.tokenizer.lowercase
            self._hashed = state, fingerprint(*hashed), weights
        return self._hashed[1]

    def _weights(self) -> tuple[list[Tensor], _State]:
        """Return the weights, and a state that differs after they were changed or replaced.

        It does as long as these tensors are kept: no other can then take their addresses.
        """
        weights = list(self.tensors().values())
        return weights, [(each.data_ptr(), version(each)) for each in weights]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in _KEPT_WEIGHTS}

    @property
    def identity(self) -> str:
        """Hash of all that determines the output: fingerprint, tokenizer file and config."""
        return fingerprint(self.fingerprint, self._cutting, self.config)

    @cached_property
    def _cutting(self) -> str:
        """Hash of the tokenizer file: covers how text is split, not only the vocabulary."""
        with TemporaryDirectory() as folder:
            file = Path(folder, TOKENIZER)
            self.tokenizer.save(file)
            return file_sha256(file)

    @property
    def name(self) -> str:
        """Kind, width and fingerprint, such as `glove 50d 1f3a..`."""
        return f"{self.kind} {self.model.width}d {self.fingerprint}"

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Save the encoder as a folder, atomically: complete or not at all.

        `transformers` can also load the folder of a BERT or GPT.

        Args:
            folder: Where to save.
            overwrite: Whether an existing folder may be replaced.

        Returns:
            The folder.

        Raises:
            SettingsError: `load` could not read the folder, since the encoder is of a kind of your
                own, or `transformers` cannot represent this BERT or GPT.
            ExistsError: The folder exists and `overwrite` is false.
            StorageError: The folder cannot be written.
        """
        self.check_kind()
        folder = Path(folder)
        about, readme = self.about(), self.card(folder.name)
        return write_folder(
            folder, **self._parts(), config=about, readme=readme, overwrite=overwrite
        )

    def check_kind(self) -> None:
        """Check that `load` can read this encoder's folder.

        Raises:
            SettingsError: It reads this kind as another class, or not at all.
        """
        from headstart.hub.kinds import KINDS  # late: its classes are made of this one

        if not isinstance(self, KINDS.get(self.kind, ())):
            raise SettingsError(
                f"headstart.load could not read a {type(self).__name__} of kind {self.kind!r}; "
                "keep it, and what is fitted to it, with pickle"
            )

    def _parts(self) -> dict[str, Any]:
        """Return the arguments of `write_folder` that depend on the kind of encoder."""
        return {"tensors": self.tensors(), "tokenizer": self.tokenizer}

    def about(self) -> dict[str, Any]:
        """Return kind, config and lineage, as they are saved beside the weights."""
        return {"kind": self.kind, "config": self.config, "lineage": self.lineage}

    def card(self, title: str) -> str:
        """Return the model card in Markdown."""
        what = f"A pretrained encoder of kind **{self.kind}**, made with headstart."
        facts = {"width": self.model.width, **self.config, **self.lineage, CURVE: None}
        return card(title, what, facts, f"encoder = hs.load({title!r})")

    @property
    def pooling(self) -> Pooling:
        """How a text is pooled into one vector: first token's state, last token's, or the mean."""
        pooling: Pooling = self.config.get("pooling", "mean")
        return pooling

    def with_model(self, model: Encoder, tokenizer: Tokenizer | None = None) -> Self:
        """Return a copy of this encoder with another model, and optionally another tokenizer."""
        return type(self)(
            self.kind,
            model,
            tokenizer or self.tokenizer,
            config=self.config,
            lineage=self.lineage,
        )

    def to(self, device: "str | torch.device") -> Self:
        """Return this encoder with a copy of its model on another device.

        Everything fitted to the returned encoder or adapted from it runs on that device. The
        original stays on its own device; if that is the one requested, it is returned itself.

        Args:
            device: `cpu`, `cuda` for a GPU, or `cuda:1` for the second one.

        Raises:
            SettingsError: There is no such device, or this kind of encoder runs only on CPUs.
        """
        place = compute_device(device)
        if place == device_of(self.model):
            return self
        if not self.computes_on_gpus:
            raise SettingsError(
                f"{self.name} can only run on the cpu; {place.type} is for encoders that replace "
                "the whole model, such as bert and gpt"
            )
        moved: Any = deepcopy(self.model)
        return self.with_model(moved.to(place))

    def ids(self, texts: Sequence[str] | Encoded) -> Encoded:
        """Tokenize texts into ids; input that is already encoded is returned unchanged.

        Raises:
            DataError: `texts` is not a list of texts.
        """
        if isinstance(texts, Encoded):
            return texts
        return self.tokenizer.encode_batch(as_texts(texts))

    @property
    def frame(self) -> Frame:
        """The special tokens' ids around a text, and between the two texts of a pair."""
        return Frame(before=(), between=(), after=())

    @property
    def _positions(self) -> int | None:
        """The model's maximum sequence length; None if there is no limit."""
        return None

    @property
    def _segments(self) -> bool:
        """Whether the model gets segment ids: which text of a pair a token belongs to."""
        return False

    def room(self, max_tokens: int) -> int:
        """Return how many ids of `max_tokens` are left for the text itself.

        The model's maximum sequence length applies too; special tokens are subtracted.

        Raises:
            SettingsError: None are left.
        """
        around = len(self.frame.before) + len(self.frame.after)
        if max_tokens <= around:
            raise SettingsError(f"max_tokens must be above {around}, got {max_tokens}")
        return min(max_tokens, self._positions or max_tokens) - around

    def inputs(self, texts: Sequence[str] | Encoded, max_tokens: int) -> tuple[Encoded, int]:
        """Return texts as model input, with special tokens, and how many texts were truncated.

        Args:
            texts: The texts, or their result of `ids`.
            max_tokens: Maximum number of ids per text, special tokens included (for ELMo: of
                words). The model's maximum sequence length applies too.

        Raises:
            SettingsError: `max_tokens` leaves no room for a text.
        """
        encoded, cut = self.ids(texts).truncate(self.room(max_tokens))
        before, after = self.frame.before, self.frame.after
        return (encoded.surround(before, after) if before or after else encoded), cut

    def pair_inputs(
        self, texts: Sequence[str] | Encoded, max_tokens: int, *, both_orders: bool
    ) -> tuple[Encoded, int]:
        """Return text pairs as joint model input, and how many pairs were truncated.

        Args:
            texts: All the first texts, then all the second ones; or their result of `ids`.
            max_tokens: Maximum number of ids per pair, special tokens included. The longer text is
                truncated at its end.
            both_orders: Whether to append all pairs again with the second text first.

        Raises:
            SettingsError: `max_tokens` leaves no room for a pair.
        """
        most = min(max_tokens, self._positions or max_tokens)
        segments = self._segments
        return join_pairs(
            self.ids(texts), self.frame, most, both_orders=both_orders, segments=segments
        )


class PretrainedWordVectors(Pretrained):
    """Word vectors with their words: query similarities, neighbors and analogies.

    Example:
        >>> from headstart.models.word_vectors import WordVectors
        >>> words = WordTokenizer.from_vocabulary(["up", "high", "low"], lowercase=True)
        >>> matrix = np.float32([[0, 0], [0, 0], [0, 2], [1, 9], [1, -9]])
        >>> vectors = PretrainedWordVectors("glove", WordVectors.from_matrix(matrix), words,
        ...     config={}, lineage={})
        >>> vectors.most_similar("up", top=1)[0][0]
        'high'
    """

    model: WordVectors
    _placed: tuple[_State, WordSpace, list[Tensor]] | None = None  # the space of these weights

    @classmethod
    def from_folder(
        cls, folder: Path, about: Mapping[str, Any], tensors: Mapping[str, Tensor]
    ) -> Self:
        """Build word vectors from what `read_folder` returned; see `Pretrained.from_folder`.

        Raises:
            FormatError: The parts do not match.
        """
        try:
            model = WordVectors.from_matrix(tensors["embedding.weight"])
        except (KeyError, SettingsError) as error:
            raise FormatError(f"{folder / WEIGHTS}: contains no word vectors: {error}") from None
        tokenizer = load_tokenizer(folder / TOKENIZER)
        if tokenizer.vocabulary_size != len(model.embedding.weight):
            raise FormatError(
                f"{folder}: {tokenizer.vocabulary_size:,} words but "
                f"{len(model.embedding.weight):,} vectors"
            )
        return cls(model=model, tokenizer=tokenizer, **about)

    @classmethod
    def from_words(
        cls,
        kind: str,
        words: Sequence[str],
        matrix: NDArray[np.float32],
        *,
        config: Mapping[str, Any],
        lineage: Mapping[str, Any],
        unknown: NDArray[np.float32] | None = None,
        consume: bool = False,
    ) -> "PretrainedWordVectors":
        """Wrap a matrix of vectors `[words, dim]` as an encoder.

        Texts are lowercased if at least 99.9% of the words are lowercase (such a file may still
        contain an `UNK`). Padding gets a zero vector. Unknown words get `unknown`, or by default
        the mean vector of the 100 rarest words, as in GloVe's own code. Rows are assumed to be
        sorted by decreasing frequency, as in published files. With `consume`, `matrix` is resized
        in place to avoid a copy in memory, unless it is a view of another array.
        """
        joined = "\n".join(words)  # one comparison is far faster than one per word
        lowercase = (
            joined == joined.lower()
            or sum(word != word.lower() for word in words) <= len(words) / 1000
        )
        tokenizer = WordTokenizer.from_vocabulary(words, lowercase=lowercase)
        if unknown is None:
            unknown = matrix[-100:].mean(0)
        if consume and matrix.flags.owndata:
            matrix.resize((len(words) + _FIRST_WORD, matrix.shape[1]), refcheck=False)
            for end in range(len(words), 0, -_ROWS_AT_ONCE):
                start = max(0, end - _ROWS_AT_ONCE)
                matrix[start + _FIRST_WORD : end + _FIRST_WORD] = matrix[start:end]
        else:
            matrix = np.concatenate([np.empty((_FIRST_WORD, matrix.shape[1]), np.float32), matrix])
        matrix[0], matrix[1] = 0.0, unknown
        model = WordVectors.from_matrix(matrix)
        return cls(kind, model, tokenizer, config=config, lineage=lineage)

    @property
    def words(self) -> list[str]:
        """The words that have vectors."""
        return self.tokenizer.vocabulary[_FIRST_WORD:]

    @property
    def matrix(self) -> Tensor:
        """The vectors of `words`, shape `[words, dim]`."""
        return self.model.embedding.weight.detach()[_FIRST_WORD:]

    @property
    def space(self) -> WordSpace:
        """The vectors as points on the unit sphere, without zeros (subwords never seen).

        With a byte-level BPE tokenizer, only tokens that spell a whole word are included: a space
        followed by the word. The space is removed.
        """
        weights, state = self._weights()
        if self._placed is None or self._placed[0] != state:
            self._placed = state, self._new_space(), weights
        return self._placed[1]

    def _new_space(self) -> WordSpace:
        met = self.matrix.any(1)
        if isinstance(self.tokenizer, SubwordTokenizer) and self.tokenizer.spells_bytes:
            rows = met.nonzero().flatten().tolist()
            texts = {row: self.tokenizer.decode([row + _FIRST_WORD]) for row in rows}
            words = {text[1:]: row for row, text in texts.items() if _SPACED_WORD.fullmatch(text)}
            return WordSpace(list(words), self.matrix[list(words.values())])
        space = WordSpace(self.words, self.matrix)
        if met.all():
            return space
        return space.among([self.words[row] for row in met.nonzero().flatten().tolist()])

    @torch_defaults()
    @plain_arguments
    def most_similar(
        self, positive: str | Sequence[str], negative: str | Sequence[str] = (), *, top: int = 10
    ) -> Neighbors:
        """Return the words nearest to the sum of `positive` minus the sum of `negative`.

        Args:
            positive: A word or words to add.
            negative: A word or words to subtract.
            top: Number of neighbors.

        Returns:
            Pairs of word and cosine similarity, nearest first.

        Raises:
            SettingsError: A word has no vector.
        """
        return self.space.most_similar(positive, negative, top=top)

    @torch_defaults()
    @plain_arguments
    def analogy(self, a: str, b: str, c: str, *, top: int = 5) -> Neighbors:
        """Answer "a is to b as c is to ..".

        Raises:
            SettingsError: A word has no vector.
        """
        return self.space.analogies([(a, b, c)], top=top)[0]

    @torch_defaults()
    def similarity(self, first: str, second: str) -> float:
        """Return the cosine similarity of two words.

        Raises:
            SettingsError: A word has no vector.
        """
        return float(self.space.similarity([(first, second)])[0])


def write_folder(  # noqa: PLR0913 - one keyword per part of the folder
    folder: Path,
    *,
    tensors: Mapping[str, Tensor],
    tokenizer: Savable | None,
    config: Mapping[str, Any],
    readme: str,
    overwrite: bool,
    transformers: Mapping[str, Any] | None = None,
    files: Mapping[str, Mapping[str, Any] | str] | None = None,
    encoder: Pretrained | None = None,
) -> Path:
    """Write a folder that `read_folder` reads, atomically, and return it.

    Args:
        folder: Where to write.
        tensors: The weights; with `transformers`, under the names it uses.
        tokenizer: Written as `tokenizer.json`.
        config: Our own configuration; at least `kind`.
        readme: The model card.
        overwrite: Whether an existing folder may be replaced.
        transformers: The `config.json` for `transformers`, if it can load the folder too. Our own
            configuration then becomes one field of it.
        files: Further files by name: a mapping is written as JSON, a string as plain text.
        encoder: The encoder that belongs to it, saved in the subfolder `encoder`.

    Raises:
        SettingsError: `load` could not read the encoder.
        ExistsError: The folder exists and `overwrite` is false.
        StorageError: The folder cannot be written.
    """
    if encoder is not None:
        encoder.check_kind()
    about: dict[str, Any] = {"format": FORMAT, **config}
    if transformers is not None:
        about = {**transformers, OURS: about}
    metadata = None if transformers is None else {"format": "pt"}
    with new_folder(folder, overwrite=overwrite) as new:
        write_safetensors(new / WEIGHTS, tensors, metadata)
        with numbered_disk_errors():
            if tokenizer is not None:
                tokenizer.save(new / TOKENIZER)
        write_json(new / CONFIG, about)
        for name, content in (files or {}).items():
            if isinstance(content, str):
                write_text(new / name, content)
            else:
                write_json(new / name, content)
        if encoder is not None:
            encoder.save(new / ENCODER)
        write_text(new / "README.md", readme)
    return folder


def read_folder(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Check a saved folder and return its configuration and tensors.

    If `transformers` can load the folder too, its configuration is in the field `transformers`.

    Raises:
        FormatError: headstart did not save the folder, or it was corrupted since.
    """
    reuse_freed_memory()
    check_manifest(folder)
    config = read_json(folder / CONFIG)
    if isinstance(config.get(OURS), dict):
        theirs = {name: value for name, value in config.items() if name != OURS}
        config = {**config[OURS], "transformers": theirs}
    if config.get("format") != FORMAT:
        raise FormatError(f"{folder / CONFIG}: format {config.get('format')!r}, expected {FORMAT}")
    if not isinstance(config.get("kind"), str):
        raise FormatError(f"{folder / CONFIG}: 'kind' is missing")
    return config, read_safetensors(folder / WEIGHTS, finite=True)


def load_tokenizer(path: Path) -> WordTokenizer | SubwordTokenizer:
    """Load a word or subword tokenizer."""
    tokenizer = read_tokenizer(path)
    if type(tokenizer.model).__name__ == "WordLevel":
        return WordTokenizer.of(tokenizer, path)
    return SubwordTokenizer.of(tokenizer, path)
