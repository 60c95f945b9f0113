"""What fitting leaves behind: models that turn texts into probabilities, as folders and back.

Three forms serve all methods. Each is its tensors and plain values, so nothing saved can run code.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from torch import Tensor

from headstart.hub.bundle import Pretrained, Tokenizer
from headstart.models.word_vectors import WordVectors
from headstart.tasks.classification import probabilities
from headstart.tasks.pipelines import TextPipeline
from headstart.tokenize.batches import Encoded, inference_batches, pad
from headstart.transfer.features import pooled_features

Probabilities = NDArray[np.float64]


class Fitted(Protocol):
    """A model fitted to texts and classes."""

    @property
    def tokenizer(self) -> Tokenizer | None:
        """The tokenizer to save with it."""
        ...

    def predict(self, texts: Sequence[str]) -> Probabilities:
        """Return the probability of each class for each text `[texts, classes]`."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """Return every number that was learnt, or is needed to predict."""
        ...

    def config(self) -> dict[str, Any]:
        """Return the plain values that, with the tensors, make the model again."""
        ...


@dataclass(frozen=True)
class ConstantModel:
    """The same probabilities for every text: the classes' shares of the labels."""

    shares: Probabilities
    tokenizer: Tokenizer | None = None

    def predict(self, texts: Sequence[str]) -> Probabilities:
        return np.tile(self.shares, (len(texts), 1))

    def tensors(self) -> dict[str, Tensor]:
        return {"shares": torch.from_numpy(self.shares)}

    def config(self) -> dict[str, Any]:
        return {"form": "constant"}


@dataclass(frozen=True)
class LinearModel:
    """Fixed features under logistic regression: TF-IDF, or an encoder's pooled vectors.

    Attributes:
        features: Where the features come from: a vectorizer, or an encoder.
        weight: `[classes, features]`.
        bias: `[classes]`.
        scale: Factor on the features.
        pooling: How an encoder's vectors are pooled.
        max_tokens: How much of a text an encoder reads.
    """

    features: TfidfVectorizer | Pretrained
    weight: NDArray[np.float64]
    bias: NDArray[np.float64]
    scale: float = 1.0
    pooling: str = "mean"
    max_tokens: int = 512

    @property
    def tokenizer(self) -> Tokenizer | None:
        return self.features.tokenizer if isinstance(self.features, Pretrained) else None

    def predict(self, texts: Sequence[str]) -> Probabilities:
        if isinstance(self.features, Pretrained):
            x = self.scale * pooled_features(
                self.features, texts, pooling=self.pooling, max_tokens=self.max_tokens
            )
        elif texts:
            x = self.features.transform(texts)
        else:  # scikit-learn's vectorizer refuses no texts
            x = np.zeros((0, self.weight.shape[1]))
        return probabilities(np.asarray(x @ self.weight.T) + self.bias)

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
                "encoder": _describe(self.features),
            }
        terms = self.features.vocabulary_
        return {"form": "linear on tf-idf", "terms": sorted(terms, key=terms.__getitem__)}


@dataclass(frozen=True)
class NeuralModel:
    """The shared pipeline, trained.

    Attributes:
        tokenizer: Texts to the pipeline's ids.
        pipeline: In evaluation mode.
        max_tokens: How much of a text is read.
    """

    tokenizer: Tokenizer
    pipeline: TextPipeline
    max_tokens: int

    def predict(self, texts: Sequence[str]) -> Probabilities:
        encoded, _ = self.tokenizer.encode_batch(texts).truncate(self.max_tokens)
        return probabilities(pipeline_scores(self.pipeline, encoded, np.arange(len(texts))))

    def tensors(self) -> dict[str, Tensor]:
        return dict(self.pipeline.state_dict())

    def config(self) -> dict[str, Any]:
        return {
            "form": "pipeline",
            "max_tokens": self.max_tokens,
            "hidden": self.pipeline.lstm.forwards.hidden_size,
        }


def pipeline_scores(
    pipeline: TextPipeline, encoded: Encoded, rows: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return the scores `[rows, classes]` of some of the texts, in evaluation mode."""
    scores = np.zeros((len(rows), pipeline.classify.out_features), np.float32)
    pipeline.eval()
    with torch.inference_mode():
        for batch in inference_batches(encoded.lengths[rows]):
            ids_BT, mask_BT = map(torch.from_numpy, pad(encoded, rows[batch]))
            scores[batch] = pipeline(ids_BT, mask_BT).numpy()
    return scores


def rebuild(
    config: Mapping[str, Any], tensors: Mapping[str, Tensor], tokenizer: Tokenizer | None
) -> Fitted:
    """Make a fitted model again from what `config()` and `tensors()` returned.

    Raises:
        KeyError, ValueError, RuntimeError: They do not belong together.
    """
    form = config["form"]
    if form == "constant":
        return ConstantModel(tensors["shares"].numpy())
    if form == "pipeline" and tokenizer is not None:
        encoder = _word_vectors(tensors, tokenizer)
        with torch.device("meta"):  # no numbers are drawn: all come from `tensors`
            pipeline = TextPipeline(
                encoder,
                len(tensors["classify.bias"]),
                hidden=int(config["hidden"]),
                dropout=0.0,
                scale=1.0,
            )
        pipeline.load_state_dict(tensors, assign=True)
        return NeuralModel(tokenizer, pipeline.eval(), int(config["max_tokens"]))
    weight, bias = tensors["weight"].numpy(), tensors["bias"].numpy()
    if form == "linear on tf-idf":
        vectorizer = tfidf_vectorizer(config["terms"])
        vectorizer.idf_ = tensors["idf"].numpy()
        return LinearModel(vectorizer, weight, bias)
    if form == "linear on an encoder" and tokenizer is not None:
        about = config["encoder"]
        vectors = _word_vectors(tensors, tokenizer)
        pretrained = Pretrained(
            about["kind"], vectors, tokenizer, config=about["config"], lineage=about["lineage"]
        )
        scale, pooling = float(config["scale"]), str(config["pooling"])
        return LinearModel(pretrained, weight, bias, scale, pooling, int(config["max_tokens"]))
    raise ValueError(f"no model has the form {form!r}")


def _word_vectors(tensors: Mapping[str, Tensor], tokenizer: Tokenizer) -> WordVectors:
    weight = tensors["encoder.embedding.weight"]
    if len(weight) != len(tokenizer.vocabulary):
        raise ValueError(f"{len(tokenizer.vocabulary):,} words but {len(weight):,} vectors")
    return WordVectors.from_matrix(weight)


def tfidf_vectorizer(terms: Sequence[str] | None = None) -> TfidfVectorizer:
    """Return the baseline's features: words and word pairs, with logarithmic counts."""
    pattern = r"(?u)\b\w+\b"  # one-letter words too
    return TfidfVectorizer(
        sublinear_tf=True, ngram_range=(1, 2), vocabulary=terms, token_pattern=pattern
    )


def _describe(encoder: Pretrained) -> dict[str, Any]:
    return {"kind": encoder.kind, "config": encoder.config, "lineage": encoder.lineage}
