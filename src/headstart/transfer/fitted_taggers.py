"""Fitted taggers, which turn words into tags, and how they are saved and restored.

Four forms cover all methods. Each consists of tensors and plain values, so a saved tagger cannot
run code.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from headstart.hub.bundle import ENCODER, Pretrained, PretrainedWordVectors, Tokenizer
from headstart.hub.store import load_encoder
from headstart.models.blank import blank_weights
from headstart.models.interface import evaluating
from headstart.models.word_vectors import WordVectors
from headstart.progress import SILENT, Progress
from headstart.tasks.crf import Legal
from headstart.tasks.heads import classification_head, last_states, lay_out
from headstart.tasks.pipelines import task_layers
from headstart.tasks.taggers import (
    HeadTagger,
    TaggingPipeline,
    WholeTagger,
    WordStates,
    decoder_of,
)
from headstart.tokenize.batches import Rows, inference_batches, ranges
from headstart.tokenize.windows import Windows
from headstart.transfer.contextual import reading_of
from headstart.transfer.fitted import Kept, described
from headstart.transfer.methods import Layers
from headstart.transfer.tag_task import (
    Sentences,
    pipeline_inputs,
    replaces_embedding,
    window_inputs,
    word_ids,
)
from headstart.transfer.token_states import TokenMemory, reads_in_context, states_of_words

_TOKENS_AT_ONCE = 4096
_SENTENCES_AT_ONCE = 256  # whose word states are in memory at once
Found = list[NDArray[np.int64]]  # the tags of each sentence's words


class FittedTagger(Kept, Protocol):
    """A model fitted to sentences and tags."""

    def predict(self, sentences: Sentences) -> Found:
        """Return the index of each word's tag; no sentence is empty."""
        ...


@dataclass(frozen=True)
class FrequentTags:
    """The most frequent tag of each word, and for unseen words that of all words."""

    words: Mapping[str, int]
    usual: int
    tokenizer: Tokenizer | None = None

    def predict(self, sentences: Sentences) -> Found:
        usual = self.usual
        return [
            np.array([self.words.get(word, usual) for word in words], np.int64)
            for words in sentences
        ]

    def tensors(self) -> dict[str, Tensor]:
        return {"tags": torch.tensor([self.usual, *self.words.values()])}

    def config(self) -> dict[str, Any]:
        return {"form": "frequent tags", "words": list(self.words)}


@dataclass(frozen=True)
class PipelineTagger:
    """The trained shared pipeline with a CRF.

    Attributes:
        encoder: The encoder that replaces the embedding layer, frozen or fine-tuned.
        pipeline: The pipeline, in evaluation mode; it contains the encoder's model.
        layers: Which layers of a CoVe or ELMo it uses.
        frozen: Whether the encoder was frozen.
    """

    encoder: Pretrained
    pipeline: TaggingPipeline
    layers: Layers
    frozen: bool

    @property
    def tokenizer(self) -> Tokenizer | None:
        return self.encoder.tokenizer

    def predict(self, sentences: Sentences) -> Found:
        found: Found = []
        for start in range(0, len(sentences), _SENTENCES_AT_ONCE):
            some = sentences[start : start + _SENTENCES_AT_ONCE]
            given = pipeline_inputs(self.encoder, some, spelled=self.pipeline.spelling is not None)
            if self.frozen and reads_in_context(self.encoder):  # rounded, as in fitting
                states = states_of_words(self.encoder, some, given.encoded)
                given = replace(given, states=states)
            found += decode(self.pipeline, given, np.arange(len(some)))
        return found

    def tensors(self) -> dict[str, Tensor]:
        return dict(self.pipeline.state_dict())

    def config(self) -> dict[str, Any]:
        return {
            "form": "pipeline",
            "hidden": self.pipeline.lstm.forwards.hidden_size,
            "layers": asdict(self.layers),
            "frozen": self.frozen,
            "encoder": described(self.encoder),
        }


@dataclass(frozen=True)
class HeadOnStates:
    """A head on an encoder's frozen states of words.

    Attributes:
        encoder: The encoder.
        head: The head, in evaluation mode.
        max_tokens: Maximum number of subwords that a whole model encodes at once.
    """

    encoder: Pretrained
    head: HeadTagger
    max_tokens: int

    @property
    def tokenizer(self) -> Tokenizer | None:
        return self.encoder.tokenizer

    def predict(self, sentences: Sentences) -> Found:
        found: Found = []
        for start in range(0, len(sentences), _SENTENCES_AT_ONCE):
            some = sentences[start : start + _SENTENCES_AT_ONCE]
            states = word_states(self.encoder, some, max_tokens=self.max_tokens)
            found += decode(self.head, states, np.arange(len(some)))
        return found

    def tensors(self) -> dict[str, Tensor]:
        encoder = {f"encoder.{name}": t for name, t in self.encoder.tensors().items()}
        return {**encoder, **self.head.state_dict()}

    def config(self) -> dict[str, Any]:
        return {
            "form": "head on frozen states",
            "max_tokens": self.max_tokens,
            "encoder": described(self.encoder),
        }


@dataclass(frozen=True)
class TunedTagger:
    """A fine-tuned encoder that replaces the whole model.

    Attributes:
        encoder: The encoder with its fine-tuned weights.
        module: The same encoder with its classifier, in evaluation mode.
        max_tokens: Maximum number of subwords that it encodes at once.
    """

    encoder: Pretrained
    module: WholeTagger
    max_tokens: int

    @property
    def tokenizer(self) -> Tokenizer | None:
        return self.encoder.tokenizer

    def predict(self, sentences: Sentences) -> Found:
        windows = window_inputs(self.encoder, sentences, self.max_tokens)
        return decode(self.module, windows, np.arange(len(sentences)))

    def tensors(self) -> dict[str, Tensor]:
        return dict(self.module.state_dict())

    def config(self) -> dict[str, Any]:
        return {
            "form": "whole model",
            "max_tokens": self.max_tokens,
            "encoder": described(self.encoder),
        }


def decode(tagger: Any, given: Any, rows: Rows) -> Found:  # noqa: ANN401 - a Tagger, its inputs
    """Return the most probable legal tags of the sentences in `rows`, in evaluation mode."""
    found: Found = [np.zeros(0, np.int64)] * len(rows)
    lengths = given.lengths[rows]
    with torch.inference_mode(), evaluating(tagger):
        for batch in inference_batches(lengths, max_tokens=_TOKENS_AT_ONCE):
            scores_BTK, mask_BT = tagger.scores(given, rows[batch])
            tags_BT = tagger.decoder.viterbi(scores_BTK, mask_BT).numpy()
            for row, tags in zip(batch.tolist(), tags_BT, strict=True):
                found[row] = tags[: lengths[row]].copy()
    return found


def word_states(
    encoder: Pretrained, sentences: Sentences, *, max_tokens: int, progress: Progress = SILENT
) -> WordStates:
    """Return an encoder's state of every word; for a whole model, that of its first subword.

    States of sentences in the encoder's cache (`word_memory`) are not computed again.
    """
    if not replaces_embedding(encoder):
        return _first_pieces(encoder, sentences, max_tokens, progress)
    encoded = word_ids(encoder, sentences)
    if reads_in_context(encoder):
        values = states_of_words(encoder, sentences, encoded, progress=progress).values
        return WordStates(values.mean(1, dtype=np.float32), encoded.offsets)
    with torch.inference_mode():
        ids_1N = torch.from_numpy(encoded.ids).long()[None]
        (layer_1ND,) = task_layers(encoder.model, ids_1N, torch.ones_like(ids_1N).bool())
    return WordStates(layer_1ND[0].numpy(), encoded.offsets)


def _first_pieces(
    encoder: Pretrained, sentences: Sentences, max_tokens: int, progress: Progress
) -> WordStates:
    memory: TokenMemory | None = getattr(encoder, "word_memory", None)
    if memory is None or memory.max_tokens != max_tokens:
        return _read_pieces(encoder, window_inputs(encoder, sentences, max_tokens), progress)
    offsets = np.cumsum([0, *map(len, sentences)])
    states = WordStates(np.zeros((offsets[-1], encoder.model.width), np.float32), offsets)
    missing = memory.recall(list(map(tuple, sentences)), states.values, offsets)
    if len(missing):
        windows = window_inputs(encoder, [sentences[row] for row in missing], max_tokens)
        states.values[ranges(offsets, missing)] = _read_pieces(encoder, windows, progress).values
    return states


def _read_pieces(encoder: Pretrained, windows: Windows, progress: Progress) -> WordStates:
    values = np.zeros((len(windows.window_N), encoder.model.width), np.float32)
    everything = np.arange(len(windows.lengths))
    pieces = np.add.reduceat(windows.encoded.lengths, windows.first[:-1])
    with (
        torch.inference_mode(),
        evaluating(encoder.model),
        progress.stage("encoding sentences", len(everything), "sentences") as advance,
    ):
        for rows in inference_batches(pieces, max_tokens=_TOKENS_AT_ONCE):
            packed = lay_out(encoder.model, windows.encoded, windows.windows_of(rows))
            states = last_states(encoder.model, packed).float().cpu().numpy()
            own = states[windows.places_of(rows, packed.first_N)]
            ends = np.cumsum(windows.lengths[rows])[:-1]
            for row, its in zip(rows.tolist(), np.split(own, ends), strict=True):
                values[windows.offsets[row] : windows.offsets[row + 1]] = its
            advance(len(rows))
    return WordStates(values, windows.offsets)


def folder_parts(model: FittedTagger) -> dict[str, Any]:
    """Return the arguments of `write_folder` that save a model: tensors, tokenizer, encoder.

    Word vectors are saved with the tensors; any other encoder is saved in a subfolder.
    """
    encoder = getattr(model, "encoder", None)
    if not isinstance(encoder, Pretrained) or isinstance(encoder.model, WordVectors):
        return {"tensors": model.tensors(), "tokenizer": model.tokenizer}
    own = {name: t for name, t in model.tensors().items() if not name.startswith("encoder.")}
    return {"tensors": own, "tokenizer": None, "encoder": encoder}


def rebuild(
    config: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    tokenizer: Tokenizer | None,
    folder: Path,
    legal: Legal,
) -> FittedTagger:
    """Restore a fitted tagger from the results of `config()` and `folder_parts()`.

    Args:
        config: The result of `config()`.
        tensors: The folder's tensors.
        tokenizer: The folder's tokenizer.
        folder: The folder, which may contain an encoder.
        legal: Which tags may follow which.

    Raises:
        KeyError, ValueError, RuntimeError: The parts do not belong together.
        FormatError: The encoder's folder is corrupted.
    """
    form = config["form"]
    if form == "frequent tags":
        usual, *tags = tensors["tags"].tolist()
        return FrequentTags(dict(zip(config["words"], tags, strict=True)), usual)
    about = config["encoder"]
    if tokenizer is None:
        encoder = load_encoder(folder / ENCODER)
    else:
        weight = tensors["encoder.embedding.weight"]
        if len(weight) != tokenizer.vocabulary_size:
            raise ValueError(f"{tokenizer.vocabulary_size:,} words but {len(weight):,} vectors")
        vectors = WordVectors.from_matrix(weight)
        facts = {"config": about["config"], "lineage": about["lineage"]}
        encoder = PretrainedWordVectors(about["kind"], vectors, tokenizer, **facts)
    own = {name: t for name, t in tensors.items() if not name.startswith("encoder.")}
    decoder = decoder_of(legal, crf="decoder.transitions" in own)
    num_tags = len(legal.start_K)
    if form == "pipeline":
        layers = Layers(**config["layers"])
        with blank_weights():  # all numbers come from `tensors`
            pipeline = TaggingPipeline(
                encoder.model,
                decoder,
                num_tags,
                spelled="spelling.convolve.weight" in own,
                hidden=int(config["hidden"]),
                dropout=0.0,
                scale=own["scale"],
                **reading_of(encoder.model, layers),
            )
        _assign(pipeline, own)
        return PipelineTagger(encoder, pipeline.eval(), layers, bool(config["frozen"]))
    if form == "head on frozen states":
        head = HeadTagger(_head_like(own, num_tags), decoder, own["scale"])
        _assign(head, own)
        return HeadOnStates(encoder, head.eval(), int(config["max_tokens"]))
    if form == "whole model":
        module = WholeTagger(encoder.model, decoder, num_tags, dropout=0.0)
        _assign(module, own)
        return TunedTagger(encoder, module.eval(), int(config["max_tokens"]))
    raise ValueError(f"unknown form of tagger {form!r}")


def _head_like(tensors: Mapping[str, Tensor], tags: int) -> nn.Module:
    """Return an untrained head with the shapes of these tensors: one layer, or two."""
    if "head.weight" in tensors:
        return nn.Linear(tensors["head.weight"].shape[1], tags)
    hidden, width = tensors["head.1.weight"].shape
    return classification_head(width, tags, hidden=hidden, dropout=0.0)


def _assign(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Load a module's tensors, except its encoder's, which are already in place."""
    own = {name for name in module.state_dict() if not name.startswith("encoder.")}
    if own != set(tensors):
        raise ValueError(f"expected the tensors {sorted(own)}, found {sorted(tensors)}")
    module.load_state_dict(dict(tensors), strict=False, assign=True)
