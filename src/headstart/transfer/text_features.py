"""A scikit-learn transformer that turns texts into vectors.

It has a module of its own because scikit-learn's base classes are slow to import, and the other
estimators do not need them.
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
    r"""Turn texts into an encoder's pooled vectors, as features for any scikit-learn estimator.

    Nothing is trained, so `transform` works without `fit`. `fit` checks the settings and loads an
    encoder given by its path; without `fit`, each `transform` loads it again.

    Args:
        encoder: A pretrained encoder, or the path of its file or folder.
        pooling: `mean`, `max` or `mean+max` over the tokens of a text.
        max_tokens: Maximum number of tokens per text; longer texts are truncated.

    Attributes:
        encoder_: The encoder that `fit` checked or loaded.

    Example:
        >>> import tempfile
        >>> from headstart import load
        >>> file = Path(tempfile.mkdtemp(), "vectors.txt")
        >>> _ = file.write_text("cat 0.5 -1\ndog 0.25 3\n")
        >>> TextFeatures(load(file)).transform(["cat dog", "dog"])
        array([[0.375, 1.   ],
               [0.25 , 3.   ]], dtype=float32)
    """

    def __init__(
        self, encoder: Pretrained | str | Path, *, pooling: str = "mean", max_tokens: int = 512
    ) -> None:
        self.encoder = encoder
        self.pooling = pooling
        self.max_tokens = max_tokens

    @torch_defaults()
    def fit(self, X: Collection[Any], y: object = None) -> Self:
        """Check the settings and load the encoder; nothing is trained.

        Raises:
            DataError: `X` is not a list of texts.
            SettingsError: A setting is invalid.
            FormatError: The encoder cannot be read from its path.
        """
        del y
        as_texts(X)
        self.encoder_ = self._load()
        return self

    @torch_defaults()
    def transform(self, X: Collection[Any]) -> NDArray[np.float32]:
        """Return one vector per text `[texts, width]`, or `[texts, 2 * width]` for `mean+max`.

        It raises the same errors as `fit`.
        """
        self._check()
        encoder = getattr(self, "encoder_", None) or self._load()
        return pooled_features(
            encoder, as_texts(X), pooling=self.pooling, max_tokens=self.max_tokens
        )

    def get_feature_names_out(self, input_features: object = None) -> NDArray[np.object_]:
        """Return the names of the output features: `textfeatures0`, `textfeatures1`, ..."""
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
