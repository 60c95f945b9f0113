"""An encoder with all it needs to be used: its model, its tokenizer, and where they came from.

As a folder: `config.json`, `model.safetensors`, `tokenizer.json`, a card, and a manifest. Nothing
in it can execute code when it is loaded.
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

from headstart.devices import compute_device, reuse_freed_memory
from headstart.errors import FormatError, SettingsError
from headstart.hub.cards import card
from headstart.hub.proof import hash_tensors
from headstart.models.interface import Encoder, Pooling, device_of
from headstart.models.word_vectors import Neighbors, WordSpace, WordVectors
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
CURVE = "curve"  # in a lineage: every validation of the run, too long for a table
ENCODER = "encoder"  # the folder of a fitted model's encoder
OURS = "headstart"  # the field that holds what we say, in a config.json of transformers
_FIRST_WORD = 2  # the rows before it are padding's and the unknown words'
_ROWS_AT_ONCE = 1 << 14
_SPACED_WORD = re.compile(r" [^\s\ufffd]+")  # the latter stands for a part of a letter


class Tokenizer(Protocol):
    """What an encoder asks of its tokenizer."""

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
    """What can write itself into a file."""

    def save(self, path: str | Path) -> None: ...


class Pretrained:
    """A pretrained encoder. It is a value: nothing that uses it changes it.

    Attributes:
        kind: Its name in the table of kinds, such as `glove`.
        model: The encoder.
        tokenizer: What turns text into the encoder's ids.
        config: Sizes and settings, plain values.
        lineage: Where it came from: corpus or file, time, and what was found on the way.
    """

    computes_on_gpus: ClassVar[bool] = False

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
        """Make one of what `read_folder` read; each kind that `save` writes has its own.

        Here is none: kinds that `transformers` reads, too, are read by `hub.published`.

        Args:
            folder: The folder.
            about: Its `kind`, `config` and `lineage`, as `about` returns them.
            tensors: The weights.

        Raises:
            FormatError: The parts do not fit one another.
        """
        del tensors
        raise FormatError(
            f"{folder / CONFIG}: is none of transformers, by which a {about['kind']!r} is read"
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}, {self.tokenizer.vocabulary_size:,} ids>"

    def __sklearn_clone__(self) -> Self:
        return self

    def tensors(self) -> dict[str, Tensor]:
        """Return every weight by its name."""
        return dict(self.model.state_dict())  # type: ignore[attr-defined]

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits of the weights and of what they are looked up by."""
        tokenizer = self.tokenizer
        weights = hash_tensors(self.tensors().values())
        return fingerprint(weights, tokenizer.vocabulary, tokenizer.lowercase)

    @property
    def identity(self) -> str:
        """16 hexadecimal digits of all that decides what it says: how texts are cut, settings."""
        return fingerprint(self.fingerprint, self._cutting, self.config)

    @cached_property
    def _cutting(self) -> str:
        """The hash of the tokenizer's file: two of the same vocabulary may cut in other ways."""
        with TemporaryDirectory() as folder:
            file = Path(folder, TOKENIZER)
            self.tokenizer.save(file)
            return file_sha256(file)

    @property
    def name(self) -> str:
        """Kind, width and fingerprint, such as `glove 50d 1f3a..`."""
        return f"{self.kind} {self.model.width}d {self.fingerprint}"

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write the folder, whole or not at all; one of BERT or GPT is read by `transformers`, too.

        Raises:
            SettingsError: The sizes are of no GPT of `transformers`.
            ExistsError: It exists and `overwrite` is false.
            StorageError: The disk refuses.
        """
        folder = Path(folder)
        about, readme = self.about(), self.card(folder.name)
        return write_folder(
            folder, **self._parts(), config=about, readme=readme, overwrite=overwrite
        )

    def _parts(self) -> dict[str, Any]:
        """Return what `write_folder` takes, apart from what every encoder says of itself."""
        return {"tensors": self.tensors(), "tokenizer": self.tokenizer}

    def about(self) -> dict[str, Any]:
        """Return what a folder says of it besides the weights."""
        return {"kind": self.kind, "config": self.config, "lineage": self.lineage}

    def card(self, title: str) -> str:
        """Return its model card."""
        what = f"A pretrained encoder of kind **{self.kind}**, made with headstart."
        facts = {"width": self.model.width, **self.config, **self.lineage, CURVE: None}
        return card(title, what, facts, f"encoder = hs.load({title!r})")

    @property
    def pooling(self) -> Pooling:
        """What stands for a whole text: the first token's state, the last one's, or the mean."""
        pooling: Pooling = self.config.get("pooling", "mean")
        return pooling

    def with_model(self, model: Encoder, tokenizer: Tokenizer | None = None) -> Self:
        """Return the same encoder with other weights, and perhaps a larger tokenizer."""
        return type(self)(
            self.kind,
            model,
            tokenizer or self.tokenizer,
            config=self.config,
            lineage=self.lineage,
        )

    def to(self, device: "str | torch.device") -> Self:
        """Return the same encoder with its model on another device; this one stays where it is.

        All that is made of it computes there: what is fitted to it, and what adapting makes of it.

        Args:
            device: `cpu`, `cuda` for a GPU, or `cuda:1` for the second one.

        Raises:
            SettingsError: There is no such device, or the encoder computes on processors alone.
        """
        place = compute_device(device)
        if place == device_of(self.model):
            return self
        if not self.computes_on_gpus:
            raise SettingsError(
                f"{self.name} computes on the cpu alone; {place.type} is for models that replace "
                "the whole model, such as bert and gpt"
            )
        moved: Any = deepcopy(self.model)
        return self.with_model(moved.to(place))

    def ids(self, texts: Sequence[str] | Encoded) -> Encoded:
        """Return the tokenizer's ids of texts, or of what has ids already, these."""
        return texts if isinstance(texts, Encoded) else self.tokenizer.encode_batch(texts)

    @property
    def frame(self) -> Frame:
        """The ids that stand around a text, and between the two of a pair."""
        return Frame(before=(), between=(), after=())

    @property
    def _positions(self) -> int | None:
        """The most ids that the model reads at once; None if there is no limit."""
        return None

    @property
    def _segments(self) -> bool:
        """Whether the model is to know which text of a pair a token belongs to."""
        return False

    def room(self, max_tokens: int) -> int:
        """Return how many ids of a text itself are read of `max_tokens`.

        Raises:
            SettingsError: None are.
        """
        around = len(self.frame.before) + len(self.frame.after)
        if max_tokens <= around:
            raise SettingsError(f"max_tokens must be above {around}, got {max_tokens}")
        return min(max_tokens, self._positions or max_tokens) - around

    def inputs(self, texts: Sequence[str] | Encoded, max_tokens: int) -> tuple[Encoded, int]:
        """Return texts as the encoder reads them, in its frame, and how many were cut to fit.

        Args:
            texts: The texts, or what `ids` returned of them.
            max_tokens: Ids of a text, special tokens included, or words of ELMo; never more than
                the model's positions.

        Raises:
            SettingsError: There is no room for a text.
        """
        encoded, cut = self.ids(texts).truncate(self.room(max_tokens))
        before, after = self.frame.before, self.frame.after
        return (encoded.surround(before, after) if before or after else encoded), cut

    def pair_inputs(
        self, texts: Sequence[str] | Encoded, max_tokens: int, *, both_orders: bool
    ) -> tuple[Encoded, int]:
        """Return pairs of texts as the encoder reads both at once, and how many were cut.

        Args:
            texts: All the first texts, and then all the second ones; or what `ids` returned of all.
            max_tokens: Ids of a pair, special tokens included; the longer text's end is cut.
            both_orders: Whether all pairs follow once more, the second text first.

        Raises:
            SettingsError: There is no room for a pair.
        """
        most = min(max_tokens, self._positions or max_tokens)
        segments = self._segments
        return join_pairs(
            self.ids(texts), self.frame, most, both_orders=both_orders, segments=segments
        )


class PretrainedWordVectors(Pretrained):
    """Word vectors with their words: ask what they know.

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

    @classmethod
    def from_folder(
        cls, folder: Path, about: Mapping[str, Any], tensors: Mapping[str, Tensor]
    ) -> Self:
        """Make one of what `read_folder` read, as told at `Pretrained.from_folder`.

        Raises:
            FormatError: The parts do not fit one another.
        """
        try:
            model = WordVectors.from_matrix(tensors["embedding.weight"])
        except (KeyError, SettingsError) as error:
            raise FormatError(f"{folder / WEIGHTS}: holds no word vectors: {error}") from None
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
        """Wrap vectors `[words, dim]` as an encoder.

        Its texts are lower-cased if at least 99.9 % of the words are: a lower-cased file may have
        an `UNK`. Padding gets zeros, unknown words get `unknown` or else the mean of the 100 rarest
        words' vectors, as in GloVe's own code; rows are taken to be sorted by falling frequency, as
        published files are. With `consume`, `matrix` is enlarged where it lies, so that memory
        never holds it twice, unless it is a view of another array.
        """
        joined = "\n".join(words)  # which is compared far faster than word by word
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
        """The vectors of `words` `[words, dim]`."""
        return self.model.embedding.weight.detach()[_FIRST_WORD:]

    @cached_property
    def space(self) -> WordSpace:
        """The vectors as points on the unit sphere; without zeros, the pieces never met.

        Of byte pairs, those that begin with a space and spell a word, which stands without it.
        """
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

    def most_similar(
        self, positive: str | Sequence[str], negative: str | Sequence[str] = (), *, top: int = 10
    ) -> Neighbors:
        """Return the words nearest to the sum of `positive` minus that of `negative`, with cosines.

        Raises:
            SettingsError: A word has no vector.
        """
        return self.space.most_similar(positive, negative, top=top)

    def analogy(self, a: str, b: str, c: str, *, top: int = 5) -> Neighbors:
        """Answer "a is to b as c is to ..".

        Raises:
            SettingsError: A word has no vector.
        """
        return self.space.analogies([(a, b, c)], top=top)[0]

    def similarity(self, first: str, second: str) -> float:
        """Return the cosine of two words' vectors.

        Raises:
            SettingsError: A word has no vector.
        """
        return float(self.space.similarity([(first, second)])[0])


def write_folder(  # noqa: PLR0913 - what a folder may hold, each by its name
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
    """Write a folder that `read_folder` reads, whole or not at all, and return it.

    Args:
        folder: Where.
        tensors: The weights; with `transformers`, under the names that it has for them.
        tokenizer: Writes `tokenizer.json`.
        config: What we say of it: at least its `kind`.
        readme: The card.
        overwrite: Whether a folder that exists may go.
        transformers: The `config.json` of `transformers`, so that it can read the folder too; ours
            is then one field of it.
        files: More files of JSON, or of text as it is, by their names.
        encoder: An encoder that belongs to it, saved as a folder `encoder` inside.

    Raises:
        ExistsError: It exists and `overwrite` is false.
        StorageError: The disk refuses.
    """
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
    """Check a saved folder and return what it says of itself, and its tensors.

    Where `transformers` can read the folder too, its configuration is the field `transformers`.

    Raises:
        FormatError: It is no folder of ours, or was damaged since.
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
    """Read a tokenizer of either kind."""
    tokenizer = read_tokenizer(path)
    if type(tokenizer.model).__name__ == "WordLevel":
        return WordTokenizer.of(tokenizer, path)
    return SubwordTokenizer.of(tokenizer, path)
