"""Fitted models, which turn texts into scores, and what is saved of them.

Six forms cover all methods. Each consists of tensors and plain values, so a saved model cannot run
code.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from headstart.hub.bundle import Pretrained, PretrainedWordVectors, Tokenizer
from headstart.models.bert import Bert
from headstart.models.bert_openvino import OpenVinoBert, openvino_reader
from headstart.models.gpt import Gpt
from headstart.models.interface import Pooling, evaluating
from headstart.models.word_vectors import WordVectors
from headstart.tasks.heads import WholeModel, last_states, states_of_texts, sum_of_orders
from headstart.tasks.pairs import Pairs, combined, num_orders, num_sides
from headstart.tasks.pipelines import TextPipeline
from headstart.tasks.targets import Scores
from headstart.tokenize.batches import Encoded, Packed, inference_batches, pad
from headstart.tokenize.pairs import Frame, join_pairs, padded_lengths, rows_of_sides
from headstart.transfer.features import (
    Floats,
    frozen_states,
    pooled,
    pooled_features,
    read_inputs,
)
from headstart.transfer.methods import Layers
from headstart.transfer.token_states import TokenStates, token_states

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import TfidfVectorizer

_TOKENS_AT_ONCE = 4096
_TEXTS_AT_ONCE = 256  # whose word states are in memory at once


class Kept(Protocol):
    """A fitted model of any task, in the form in which it is saved."""

    @property
    def tokenizer(self) -> Tokenizer | None:
        """The tokenizer to save with the model."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """Return all tensors that were trained or that prediction needs."""
        ...

    def config(self) -> dict[str, Any]:
        """Return the plain values that, with the tensors, restore the model."""
        ...


class Fitted(Kept, Protocol):
    """A model fitted to texts and their targets."""

    def scores(self, texts: Sequence[str]) -> Scores:
        """Return the scores of each text `[texts, outputs]`; the task interprets them."""
        ...


@dataclass(frozen=True)
class ConstantModel:
    """The same scores `[outputs]` for every text."""

    values: NDArray[np.float64]
    tokenizer: Tokenizer | None = None
    pairs: Pairs = None

    def scores(self, texts: Sequence[str]) -> Scores:
        return np.tile(self.values, (len(texts) // num_sides(self.pairs), 1))

    def tensors(self) -> dict[str, Tensor]:
        return {"scores": torch.from_numpy(self.values)}

    def config(self) -> dict[str, Any]:
        return {"form": "constant", "pairs": self.pairs}


@dataclass(frozen=True)
class LinearModel:
    """A linear layer on fixed features: TF-IDF, or an encoder's pooled vectors.

    Attributes:
        features: Source of the features: a vectorizer, or an encoder.
        weight: `[outputs, features]`.
        bias: `[outputs]`.
        scale: Factor on the features.
        pooling: How an encoder's vectors are pooled.
        max_tokens: Maximum number of tokens per text for an encoder.
        pairs: None for single texts; for pairs, the weights apply to both sides combined.
    """

    features: "TfidfVectorizer | Pretrained"
    weight: NDArray[np.float64]
    bias: NDArray[np.float64]
    scale: float = 1.0
    pooling: str = "mean"
    max_tokens: int = 512
    pairs: Pairs = None

    @property
    def tokenizer(self) -> Tokenizer | None:
        return self.features.tokenizer if isinstance(self.features, Pretrained) else None

    def scores(self, texts: Sequence[str]) -> Scores:
        x: Any
        if isinstance(self.features, Pretrained):
            x = pooled_features(
                self.features, texts, pooling=self.pooling, max_tokens=self.max_tokens
            )
        elif texts:
            x = self.features.transform(texts)
        else:  # scikit-learn's vectorizer rejects an empty list
            x = np.zeros((0, len(self.features.vocabulary_)))
        return self.from_features(x)

    def from_features(self, x: Any) -> Scores:  # noqa: ANN401 - an array or a sparse matrix
        """Return the scores of texts or pairs from their features `[texts, outputs]`."""
        x = combined(self.scale * x, self.pairs)
        found: Scores = np.asarray(x @ self.weight.T) + self.bias
        return found

    def tensors(self) -> dict[str, Tensor]:
        head = {"weight": torch.from_numpy(self.weight), "bias": torch.from_numpy(self.bias)}
        if isinstance(self.features, Pretrained):
            return head | {f"encoder.{n}": t for n, t in self.features.tensors().items()}
        return head | {"idf": torch.from_numpy(self.features.idf_)}

    def config(self) -> dict[str, Any]:
        if isinstance(self.features, Pretrained):
            return {
                "form": "linear on an encoder",
                "scale": self.scale,
                "pooling": self.pooling,
                "max_tokens": self.max_tokens,
                "pairs": self.pairs,
                "encoder": described(self.features),
            }
        vocabulary = self.features.vocabulary_
        terms = sorted(vocabulary, key=vocabulary.__getitem__)
        return {"form": "linear on tf-idf", "terms": terms, "pairs": self.pairs}


@dataclass(frozen=True)
class NeuralModel:
    """The trained shared pipeline on word vectors.

    Attributes:
        tokenizer: Maps texts to the pipeline's ids.
        pipeline: The pipeline, in evaluation mode.
        max_tokens: Maximum number of tokens per text.
    """

    tokenizer: Tokenizer
    pipeline: TextPipeline
    max_tokens: int

    def scores(self, texts: Sequence[str]) -> Scores:
        encoded, _ = self.tokenizer.encode_batch(texts).truncate(self.max_tokens)
        rows = np.arange(len(texts) // self.pipeline.sides)
        return pipeline_scores(self.pipeline, encoded, rows)

    def tensors(self) -> dict[str, Tensor]:
        return dict(self.pipeline.state_dict())

    def config(self) -> dict[str, Any]:
        return {
            "form": "pipeline",
            "max_tokens": self.max_tokens,
            "pairs": self.pipeline.pairs,
            "hidden": self.pipeline.lstm.forwards.hidden_size,
        }


@dataclass(frozen=True)
class ContextualModel:
    """The trained shared pipeline on an encoder's states of words in context.

    Attributes:
        encoder: The encoder, frozen or fine-tuned.
        pipeline: The pipeline, in evaluation mode.
        layers: Which layers of the encoder it uses.
        max_tokens: Maximum number of tokens per text.
        frozen: Whether the encoder was frozen.
    """

    encoder: Pretrained
    pipeline: TextPipeline
    layers: Layers
    max_tokens: int
    frozen: bool

    @property
    def tokenizer(self) -> Tokenizer | None:
        return self.encoder.tokenizer

    def scores(self, texts: Sequence[str]) -> Scores:
        sides = self.pipeline.sides
        everything = np.arange(len(texts) // sides)
        found = np.zeros((len(everything), self.pipeline.classify.out_features), np.float32)
        for rows in np.array_split(everything, -(-len(texts) // _TEXTS_AT_ONCE) or 1):
            some = [texts[row] for row in rows_of_sides(rows, len(everything), sides=sides)]
            encoded, _ = self.encoder.inputs(some, self.max_tokens)
            states = None
            if self.frozen:
                states = token_states(
                    self.encoder, some, max_tokens=self.max_tokens, encoded=encoded
                )
            found[rows] = contextual_scores(self.pipeline, encoded, states, np.arange(len(rows)))
        return found

    def tensors(self) -> dict[str, Tensor]:
        own = self.pipeline.state_dict()
        own = {name: t for name, t in own.items() if not name.startswith("encoder.")}
        return own | {f"encoder.{name}": t for name, t in self.encoder.tensors().items()}

    def config(self) -> dict[str, Any]:
        return {
            "form": "pipeline on an encoder",
            "max_tokens": self.max_tokens,
            "pairs": self.pipeline.pairs,
            "hidden": self.pipeline.lstm.forwards.hidden_size,
            "layers": asdict(self.layers),
            "frozen": self.frozen,
            "encoder": described(self.encoder),
        }


@dataclass(frozen=True)
class FrozenModel:
    """A head on an encoder's frozen states.

    Attributes:
        encoder: The encoder.
        head: The head, in evaluation mode.
        scale: Factor on each dimension of the states.
        max_tokens: Maximum number of tokens per text, or per pair encoded together.
        pairs: None for single texts.
    """

    encoder: Pretrained
    head: nn.Sequential
    scale: Tensor
    max_tokens: int
    pairs: Pairs = None

    @property
    def tokenizer(self) -> Tokenizer | None:
        return self.encoder.tokenizer

    def scores(self, texts: Sequence[str]) -> Scores:
        return self.from_states(
            frozen_states(self.encoder, texts, max_tokens=self.max_tokens, pairs=self.pairs)
        )

    def from_states(self, states: Floats) -> Scores:
        """Return the scores of texts from their states `[texts, outputs]`."""
        with torch.inference_mode(), evaluating(self.head):
            found: Tensor = self.head(self.scale * torch.from_numpy(states))
        return found.float().numpy()

    def tensors(self) -> dict[str, Tensor]:
        head = {f"head.{name}": tensor for name, tensor in self.head.state_dict().items()}
        encoder = {f"encoder.{name}": tensor for name, tensor in self.encoder.tensors().items()}
        return {"scale": self.scale, **head, **encoder}

    def config(self) -> dict[str, Any]:
        return {
            "form": "head on frozen states",
            "max_tokens": self.max_tokens,
            "pairs": self.pairs,
            "encoder": described(self.encoder),
        }


@dataclass(frozen=True)
class Reading:
    """How a whole model encodes a text, or both texts of a pair together.

    Attributes:
        max_tokens: Maximum number of tokens, special tokens included.
        pooling: Which state represents the text or pair.
        before: Ids to put before the text that its tokenizer does not add; for GPT, the start
            token.
        after: Ids to put after the text; for GPT, the extract token.
        between: Ids to put between the texts of a pair; for GPT, the delimiter token.
        pairs: None for single texts.
    """

    max_tokens: int
    pooling: Pooling
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    between: tuple[int, ...] = ()
    pairs: Pairs = None

    def encode(self, encoder: Pretrained, texts: Sequence[str] | Encoded) -> tuple[Encoded, int]:
        """Return the ids of texts or pairs with special tokens, and how many were truncated."""
        if not self.before + self.after:
            return read_inputs(encoder, texts, self.max_tokens, self.pairs)
        encoded = encoder.ids(texts)
        if self.pairs is not None:
            frame = Frame(before=self.before, between=self.between, after=self.after)
            return join_pairs(
                encoded, frame, self.max_tokens, both_orders=self.pairs == "symmetric"
            )
        room = self.max_tokens - len(self.before) - len(self.after)
        encoded, cut = encoded.truncate(room)
        return encoded.surround(self.before, self.after), cut


@dataclass(frozen=True)
class TunedModel:
    """A fine-tuned encoder that replaces the whole model.

    Attributes:
        encoder: The encoder with its fine-tuned weights.
        module: The same encoder with its classifier, in evaluation mode.
        reading: How it encodes a text.
    """

    encoder: Pretrained
    module: WholeModel
    reading: Reading

    @property
    def tokenizer(self) -> Tokenizer | None:
        return self.encoder.tokenizer

    @property
    def is_portable(self) -> bool:
        """Whether `transformers` has a class for exactly this model."""
        model, pooling = self.encoder.model, self.reading.pooling
        if num_orders(self.reading.pairs) > 1:
            return False
        if isinstance(model, Bert):
            return pooling == "cls"
        return isinstance(model, Gpt) and pooling == "last"

    def scores(self, texts: Sequence[str]) -> Scores:
        encoded, _ = self.reading.encode(self.encoder, texts)
        reader = openvino_reader(
            self.module.encoder, encoded, first_only=self.module.pooling == "cls"
        )
        if reader is not None:
            return _scores_by(reader, self.module, encoded)
        rows = np.arange(len(texts) // num_sides(self.reading.pairs))
        return whole_model_scores(self.module, encoded, rows)

    def tensors(self) -> dict[str, Tensor]:
        head = {f"classify.{n}": t.detach() for n, t in self.module.classify.named_parameters()}
        return head | {f"encoder.{name}": t for name, t in self.encoder.tensors().items()}

    def config(self) -> dict[str, Any]:
        return {
            "form": "whole model",
            "reading": asdict(self.reading),
            "encoder": described(self.encoder),
        }


def megabytes(model: Kept) -> float:
    """Return the size of a model's weights, vocabulary and config, in units of 10**6 bytes."""
    weights = sum(t.numel() * t.element_size() for t in model.tensors().values())
    words = len("".join(model.tokenizer.vocabulary).encode()) if model.tokenizer else 0
    return (weights + words + len(json.dumps(model.config()))) / 1e6


def word_vectors(model: Fitted, kind: str) -> PretrainedWordVectors | None:
    """Return the word vectors of a fitted pipeline as an encoder, or None if it has none."""
    weight = model.tensors().get("encoder.embedding.weight")
    if weight is None or model.tokenizer is None or isinstance(model, ContextualModel):
        return None
    vectors = WordVectors.from_matrix(weight)
    return PretrainedWordVectors(kind, vectors, model.tokenizer, config={}, lineage={})


def whole_model_scores(
    model: WholeModel, encoded: Encoded, rows: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return the scores `[rows, outputs]` of the texts in `rows`, in evaluation mode."""
    return _in_batches(model, lambda packed: model(packed)[0], encoded, rows)


def _scores_by(reader: OpenVinoBert, model: WholeModel, encoded: Encoded) -> Scores:
    """Return the scores of all texts or pairs, from the states that OpenVINO computes."""
    batches, found = zip(*reader.read(encoded), strict=True)
    read = np.concatenate(found)[np.argsort(np.concatenate(batches))]
    with torch.inference_mode():
        if isinstance(model.encoder, Bert) and model.pooling == "cls":
            pooled_ND = model.encoder.pool(torch.from_numpy(read))
        else:
            pooled_ND = torch.from_numpy(pooled(read, model.pooling))
        scores: Tensor = model.classify(sum_of_orders(pooled_ND, model.orders))
    return scores.float().numpy()


def whole_model_states(
    model: WholeModel, encoded: Encoded, poolings: Sequence[Pooling]
) -> dict[Pooling, Floats]:
    """Return each text's state for every pooling, `[texts, width]`, from one forward pass."""

    def compute(packed: Packed) -> Tensor:
        states = last_states(model.encoder, packed)
        found = (states_of_texts(states, packed, pooling) for pooling in poolings)
        return torch.cat([sum_of_orders(each, model.orders).float() for each in found], -1)

    every = _in_batches(model, compute, encoded, np.arange(len(encoded) // model.orders))
    parts = np.split(every, len(poolings), axis=1)
    return dict(zip(poolings, map(np.ascontiguousarray, parts), strict=True))


def _in_batches(
    model: WholeModel,
    compute: Callable[[Packed], Tensor],
    encoded: Encoded,
    rows: NDArray[np.int64],
) -> NDArray[np.float32]:
    found: list[Tensor] = []
    order: list[NDArray[np.int64]] = []
    lengths = padded_lengths(encoded, sides=model.orders)[rows]
    with torch.inference_mode(), evaluating(model):
        for batch in inference_batches(lengths, max_tokens=_TOKENS_AT_ONCE):
            found.append(compute(model.batch(encoded, rows[batch])).float())
            order.append(batch)
    if not found:
        return np.zeros((0, model.classify.out_features), np.float32)
    sorted_by_length = torch.cat(found).cpu().numpy()
    ordered: NDArray[np.float32] = np.empty_like(sorted_by_length)
    ordered[np.concatenate(order)] = sorted_by_length
    return ordered


def pipeline_scores(
    pipeline: TextPipeline, encoded: Encoded, rows: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return the scores `[rows, outputs]` of the examples in `rows`, in evaluation mode."""
    scores = np.zeros((len(rows), pipeline.classify.out_features), np.float32)
    with torch.inference_mode(), evaluating(pipeline):
        for batch in inference_batches(padded_lengths(encoded, sides=pipeline.sides)[rows]):
            sides = pipeline.text_rows(rows[batch], encoded)
            ids_BT, mask_BT = map(torch.from_numpy, pad(encoded, sides))
            scores[batch] = pipeline(ids_BT, mask_BT).float().numpy()
    return scores


def contextual_scores(
    pipeline: TextPipeline, encoded: Encoded, states: TokenStates | None, rows: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return the scores `[rows, outputs]` of the examples in `rows`, in evaluation mode.

    Args:
        pipeline: The pipeline.
        encoded: The texts.
        states: The encoder's states of the texts if it is frozen; None to compute them.
        rows: Which examples.
    """
    scores = np.zeros((len(rows), pipeline.classify.out_features), np.float32)
    lengths = padded_lengths(encoded, sides=pipeline.sides)[rows]
    with torch.inference_mode(), evaluating(pipeline):
        for batch in inference_batches(lengths, max_tokens=_TOKENS_AT_ONCE):
            sides = pipeline.text_rows(rows[batch], encoded)
            if states is None:
                found = pipeline(*map(torch.from_numpy, pad(encoded, sides)))
            else:
                found = pipeline.read(*states.pad(sides))
            scores[batch] = found.float().numpy()
    return scores


def tfidf_vectorizer(terms: Sequence[str] | None = None) -> "TfidfVectorizer":
    """Return the baseline's features: words and word pairs, with logarithmic counts."""
    from sklearn.feature_extraction.text import TfidfVectorizer  # late: the import takes a second

    pattern = r"(?u)\b\w+\b"  # one-letter words too
    return TfidfVectorizer(
        sublinear_tf=True, ngram_range=(1, 2), vocabulary=terms, token_pattern=pattern
    )


def described(encoder: Pretrained) -> dict[str, Any]:
    """Return the description of an encoder in a model's config."""
    return {"kind": encoder.kind, "config": encoder.config, "lineage": encoder.lineage}
