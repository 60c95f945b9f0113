"""ELMo with its tokenizer: contextual vectors of every word, layer by layer."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from headstart.data.in_memory import as_sentences, as_texts
from headstart.devices import torch_defaults
from headstart.errors import FormatError, SettingsError
from headstart.hub.bundle import TOKENIZER, Pretrained
from headstart.hub.foreign import elmo
from headstart.models.blank import blank_weights
from headstart.models.elmo import Elmo, ElmoConfig, State
from headstart.models.interface import evaluating
from headstart.progress import SILENT, Progress
from headstart.settings import plain_arguments
from headstart.tokenize.batches import Encoded, offsets_of
from headstart.tokenize.characters import distinct_words, words_to_characters
from headstart.tokenize.words import WordTokenizer

_SENTENCES_AT_ONCE = 64


class PretrainedElmo(Pretrained):
    """An ELMo; gives each word vectors that depend on its sentence.

    The tokenizer splits texts into words. Its vocabulary is the words that the model can predict;
    a model of the original release has none. Any word has vectors, because they are built from its
    characters.
    """

    model: Elmo
    tokenizer: WordTokenizer

    @classmethod
    def of(
        cls,
        model: Elmo,
        tokenizer: WordTokenizer,
        *,
        lineage: Mapping[str, Any],
        settings: Mapping[str, Any] | None = None,
    ) -> Self:
        """Combine a model with its tokenizer.

        Args:
            model: The encoder.
            tokenizer: Its tokenizer.
            lineage: Where it came from.
            settings: Further entries of `config`.
        """
        config = {**asdict(model.config), **(settings or {})}
        return cls("elmo", model.eval(), tokenizer, config=config, lineage=lineage)

    @classmethod
    def from_folder(
        cls, folder: Path, about: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]
    ) -> Self:
        """Build an ELMo from what `read_folder` returned; see `Pretrained.from_folder`.

        Raises:
            FormatError: The parts do not match.
        """
        tokenizer = WordTokenizer.load(folder / TOKENIZER)
        model = read_elmo(about["config"], tokenizer, folder)
        expected = model.state_dict()
        for name in sorted(expected.keys() | tensors.keys()):
            if name not in expected or name not in tensors:
                problem = "is missing" if name in expected else "does not belong to an ELMo"
                raise FormatError(f"{folder}: the tensor {name} {problem}")
            if expected[name].shape != tensors[name].shape:
                sizes = ["x".join(map(str, each[name].shape)) for each in (expected, tensors)]
                raise FormatError(f"{folder}: {name} has shape {sizes[1]}, expected {sizes[0]}")
        model = model.to_empty(device="cpu")
        model.load_state_dict(dict(tensors))
        return cls(model=model.eval(), tokenizer=tokenizer, **about)

    def ids(self, texts: Sequence[str] | Encoded) -> Encoded:
        """Split texts into words and return their characters; encoded input is unchanged."""
        if isinstance(texts, Encoded):
            return texts
        sentences = [self.tokenizer.words(text) for text in as_texts(texts)]
        words, numbers = distinct_words(sentences)
        lengths = np.fromiter(map(len, sentences), np.int64, len(sentences))
        ids = words_to_characters(words).astype(np.int32)[numbers]
        return Encoded(ids, offsets_of(lengths))

    @torch_defaults()
    @plain_arguments
    def word_states(
        self,
        sentences: Sequence[Sequence[str]],
        *,
        stateful: bool = False,
        batch_size: int = _SENTENCES_AT_ONCE,
        progress: Progress = SILENT,
    ) -> list[NDArray[np.float32]]:
        """Return the vectors of every word, `[layers, words, width]` per sentence.

        The first layer is the context-independent word layer; one layer per LSTM follows. Unless
        `stateful`, a sentence's vectors do not depend on the other sentences.

        Args:
            sentences: Lists of words; normalized (for example lowercased) by the tokenizer.
            stateful: Whether the LSTMs keep their state from one batch to the next, row by row, as
                in the original release. Sentences are then processed in their order.
            batch_size: Sentences per batch.
            progress: Receives progress updates.

        Raises:
            DataError: `sentences` is not a list of lists of words.
            SettingsError: `batch_size` is not above 0.
        """
        sentences = as_sentences(sentences)
        if type(batch_size) is not int or batch_size < 1:
            raise SettingsError(f"batch_size must be a whole number above 0, got {batch_size!r}")
        lengths = np.fromiter(map(len, sentences), np.int64, len(sentences))
        order = np.arange(len(sentences)) if stateful else np.argsort(-lengths, kind="stable")
        words, numbers = distinct_words([sentences[row] for row in order])
        found: list[NDArray[np.float32]] = [np.zeros(0, np.float32)] * len(sentences)
        state: State | None = None
        read = 0
        with (
            torch.no_grad(),
            evaluating(self.model),
            progress.stage("encoding", len(order), "sentences") as advance,
        ):
            normal = [self.tokenizer.normal(word) for word in words]
            ids_WC = torch.from_numpy(words_to_characters(normal)).long()
            tokens_WP = F.pad(self.model.tokens(ids_WC), (0, 0, 0, 1))  # the last row: padding
            for start in range(0, len(order), batch_size):
                rows = order[start : start + batch_size]
                mask_BT = np.arange(max(1, lengths[rows].max())) < lengths[rows, None]
                numbers_BT = np.full(mask_BT.shape, len(words))
                numbers_BT[mask_BT] = numbers[read : read + lengths[rows].sum()]
                read += lengths[rows].sum()
                tokens_BTP = F.embedding(torch.from_numpy(numbers_BT), tokens_WP)
                layers, after = self.model.read(
                    tokens_BTP, torch.from_numpy(lengths[rows]), state if stateful else None
                )
                state = after
                states_BLTD = torch.stack(layers, 1).float().numpy()
                for row, states in zip(rows.tolist(), states_BLTD, strict=True):
                    found[row] = states[:, : lengths[row]].copy()
                advance(len(rows))
        return found


def read_elmo(config: Mapping[str, Any], tokenizer: WordTokenizer, place: Path) -> Elmo:
    """Return the model that a saved configuration describes, without weights.

    Raises:
        FormatError: A size is missing or invalid, or does not match the tokenizer.
    """
    sizes = {name: config[name] for name in ElmoConfig.__dataclass_fields__ if name in config}
    try:
        sizes["filters"] = tuple((width, number) for width, number in sizes["filters"])
        made = ElmoConfig(**sizes)
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{place}: contains no valid sizes of an ELMo: {error}") from None
    if made.vocabulary_size > tokenizer.vocabulary_size:
        raise FormatError(
            f"{place}: the model predicts {made.vocabulary_size:,} words, but the tokenizer has "
            f"only {tokenizer.vocabulary_size:,}"
        )
    if max(made.layers, made.highways, len(made.filters)) > elmo.MOST_LAYERS:
        raise FormatError(f"{place}: more than {elmo.MOST_LAYERS} layers")
    try:
        with blank_weights():
            return Elmo(made)
    except RuntimeError as error:
        raise FormatError(f"{place}: invalid sizes of an ELMo: {error}") from None


def load_original_elmo(
    folder: Path, lineage: Mapping[str, Any], progress: Progress = SILENT
) -> PretrainedElmo | None:
    """Load an ELMo in the format of the original release; None if the folder has another format.

    Raises:
        FormatError: A file is missing or corrupted, or the two files do not match.
        MissingExtraError: `h5py` is not installed.
    """
    files = elmo.find_files(folder)
    if files is None:
        return None
    with progress.stage(f"reading {folder.name}"):
        elmo.try_original(*files)
        model, report = elmo.read_original(*files)
    if report.unexpected:
        progress.note(f"{folder.name}: {report}")
    tokenizer = WordTokenizer.from_vocabulary([], lowercase=False)
    about = {**lineage, "format": "ELMo's original release", "loaded": report.as_dict()}
    return PretrainedElmo.of(model, tokenizer, lineage=about)
