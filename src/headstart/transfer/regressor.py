"""A text regressor with the scikit-learn API: `TextClassifier` for numbers."""

from collections.abc import Collection
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.data.in_memory import as_texts
from headstart.devices import torch_defaults
from headstart.errors import DataError
from headstart.hub.bundle import Pretrained, PretrainedWordVectors, write_folder
from headstart.progress import SILENT, Progress
from headstart.tasks.pairs import Pairs
from headstart.tasks.regression import Numbers, as_numbers, regression_scores
from headstart.transfer.fitted import megabytes, word_vectors
from headstart.transfer.folders import folder_parts
from headstart.transfer.learning import (
    check_targets,
    learn,
    saved_card,
    saved_settings,
)
from headstart.transfer.methods import Method, name_of
from headstart.transfer.parameters import (
    check_is_fitted,
    describe,
    get_params,
    routing,
    set_params,
    text_tags,
)

REGRESSOR = "regressor"


class TextRegressor:
    """Text regressor for any encoder and any transfer method.

    The targets are standardized to mean 0 and standard deviation 1, and the model is trained on
    squared error.

    Args:
        encoder: See `TextClassifier`.
        transfer: See `TextClassifier`; `majority` always predicts the mean.
        max_tokens: Maximum number of tokens per text. Longer texts are truncated, and
            `fit_report_["truncated"]` counts them.
        random_state: Seed of all random choices, an integer.

    Attributes:
        mean_: Mean of the targets.
        scale_: Standard deviation of the targets.
        method_: The fitted method, with all its settings.
        proof_: What was transferred from the encoder and how far training moved it, a `Proof`
            that `print` shows as a table; None for methods that transfer nothing.
        model_: The fitted model.
        fit_report_: Validation scores, settings chosen on the validation set, wall-clock seconds
            and the number of truncated texts.

    Example:
        >>> texts, stars = ["good", "fine", "bad", "poor"] * 5, [5, 4, 1, 1.5] * 5
        >>> TextRegressor(transfer="tfidf").fit(texts, stars).predict(["good", "bad"]).round(1)
        array([5., 1.])
    """

    get_params, set_params, __repr__ = get_params, set_params, describe
    get_metadata_routing = routing
    kind = REGRESSOR
    _example, _instance = "text", '"a text"'  # what has a number, in messages and the model card

    def __init__(
        self,
        encoder: Pretrained | str | Path | None = None,
        transfer: str | Method = "auto",
        *,
        max_tokens: int = 512,
        random_state: int = 0,
    ) -> None:
        self.encoder = encoder
        self.transfer = transfer
        self.max_tokens = max_tokens
        self.random_state = random_state

    def fit(self, X: Collection[Any], y: Collection[Any], *, progress: Progress = SILENT) -> Self:
        """Fit the regressor to texts and numbers.

        Args:
            X: The texts.
            y: One number per text.
            progress: Receives progress updates.

        Raises:
            DataError: The texts or numbers cannot be used.
            SettingsError: A setting is invalid, or the method needs an encoder and has none.
        """
        texts = self._texts_of(X)
        check_targets(X, y, "number", of=self._example)
        if not texts:
            raise DataError(f"no {self._example}s to learn from")
        target = Numbers(as_numbers(y))
        learnt = learn(self, texts, target, pairs=self._pairs, progress=progress)
        said = learnt.validation
        predicted = target.mean + target.scale * said.scores[:, 0].astype(np.float64)
        told = regression_scores(target.values[said.rows], predicted)
        self.mean_, self.scale_ = target.mean, target.scale
        self.method_, self.model_, self.proof_ = learnt.method, learnt.model, learnt.proof
        self.fit_report_ = {**learnt.report, **{f"validation_{n}": v for n, v in told.items()}}
        return self

    @torch_defaults()
    def predict(self, X: Collection[Any]) -> NDArray[np.float64]:
        """Return the predicted number of each text `[texts]`."""
        check_is_fitted(self, "mean_")
        scores = self.model_.scores(self._texts_of(X))[:, 0].astype(np.float64)
        found: NDArray[np.float64] = self.mean_ + self.scale_ * scores
        return found

    def score(
        self, X: Collection[Any], y: Collection[Any], sample_weight: ArrayLike | None = None
    ) -> float:
        """Return R², the share of the variance of `y` that the predictions explain."""
        from sklearn.metrics import r2_score

        return float(r2_score(y, self.predict(X), sample_weight=sample_weight))

    @property
    def megabytes(self) -> float:
        """Size of everything prediction needs, weights and vocabulary, in units of 10**6 bytes."""
        check_is_fitted(self, "mean_")
        return megabytes(self.model_)

    def fitted_vectors(self) -> PretrainedWordVectors | None:
        """Return the word vectors of the fitted pipeline, or None if it has none."""
        check_is_fitted(self, "mean_")
        return word_vectors(self.model_, name_of(self.method_))

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Save the model as a folder for `headstart.load`; a failed save leaves no partial folder.

        `transformers` cannot open it, because its models do not store the mean and standard
        deviation of the targets.

        Raises:
            SettingsError: `load` could not read its encoder, which is of a kind of your own.
            ExistsError: The folder exists and `overwrite` is false.
            StorageError: The folder cannot be written.
        """
        check_is_fitted(self, "mean_")
        folder, parts = Path(folder), folder_parts(self.model_, ())
        own = {"mean": self.mean_, "scale": self.scale_}
        about = {"kind": self.kind, **own, **saved_settings(self)}
        about["parameters"] |= self._switches()
        what = f"A {self._example} regressor, made with headstart."
        readme = saved_card(self, folder.name, what, own, example=self._instance)
        return write_folder(folder, **parts, config=about, readme=readme, overwrite=overwrite)

    def _texts_of(self, X: Collection[Any]) -> list[str]:
        """Return the texts in the order that `Task` expects."""
        return as_texts(X)

    @property
    def _pairs(self) -> Pairs:
        return None

    def _switches(self) -> dict[str, bool]:
        return {}

    def __sklearn_tags__(self) -> Any:  # noqa: ANN401 - scikit-learn's Tags
        return text_tags("regressor")
