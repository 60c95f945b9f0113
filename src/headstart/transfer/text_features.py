"""The scikit-learn surface: a transformer of texts.

It is apart from the estimators that predict, since its base classes take long to import.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin

from headstart.data.in_memory import as_texts
from headstart.devices import torch_defaults
from headstart.hub.bundle import Pretrained
from headstart.tasks.pipelines import task_shape
from headstart.transfer.features import pooled_features
from headstart.transfer.learning import as_encoder, check_max_tokens
from headstart.transfer.methods import Probe


class TextFeatures(TransformerMixin, BaseEstimator):
    """Texts to an encoder's pooled vectors, for any estimator of scikit-learn.

    Nothing is learnt, so `transform` needs no `fit`; `fit` checks the settings and keeps an encoder
    that is given by its path, which is read again at each `transform` otherwise.

    Args:
        encoder: A pretrained encoder, or the file or folder of one.
        pooling: `mean`, `max` or `mean+max` over a text's tokens.
        max_tokens: How much of a text is read.
    """

    def __init__(
        self, encoder: Pretrained | str | Path, *, pooling: str = "mean", max_tokens: int = 512
    ) -> None:
        self.encoder = encoder
        self.pooling = pooling
        self.max_tokens = max_tokens

    @torch_defaults()
    def fit(self, X: Collection[Any], y: object = None) -> Self:
        """Check the settings and load the encoder; there is nothing to learn."""
        del y
        as_texts(X)
        self.encoder_ = self._load()
        return self

    @torch_defaults()
    def transform(self, X: Collection[Any]) -> NDArray[np.float32]:
        """Return one vector a text `[texts, width]` (`[texts, 2 * width]` for `mean+max`)."""
        self._check()
        encoder = getattr(self, "encoder_", None) or self._load()
        return pooled_features(
            encoder, as_texts(X), pooling=self.pooling, max_tokens=self.max_tokens
        )

    def get_feature_names_out(self, input_features: object = None) -> NDArray[np.object_]:
        """Return a name for each number of a vector: `textfeatures0`, `textfeatures1`, .."""
        del input_features
        encoder = getattr(self, "encoder_", None) or self._load()
        width = task_shape(encoder.model)[1] * (2 if self.pooling == "mean+max" else 1)
        return np.array([f"textfeatures{number}" for number in range(width)], dtype=object)

    def _check(self) -> None:
        Probe(pooling=self.pooling)
        check_max_tokens(self.max_tokens)

    def _load(self) -> Pretrained:
        self._check()
        return as_encoder(self.encoder)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:  # noqa: ANN401 - scikit-learn's Tags
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.two_d_array = True, False
        tags.requires_fit = False
        return tags
