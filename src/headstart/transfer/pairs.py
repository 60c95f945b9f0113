"""A classifier and a regressor of text pairs with the scikit-learn API."""

from collections.abc import Collection, Mapping, Set
from pathlib import Path
from typing import Any, Self

from headstart.data.in_memory import as_text, unwrapped
from headstart.errors import DataError, SettingsError
from headstart.hub.bundle import Pretrained
from headstart.progress import SILENT, Progress
from headstart.tasks.classification import ClassWeight
from headstart.tasks.multilabel import holds_label_sets
from headstart.tasks.pairs import Pairs
from headstart.transfer.estimators import TextClassifier
from headstart.transfer.methods import Method
from headstart.transfer.regressor import TextRegressor

PAIR_CLASSIFIER = "pair classifier"
PAIR_REGRESSOR = "pair regressor"
_INSTANCE = '("a text", "another")'


class PairClassifier(TextClassifier):
    """Text-pair classifier for any encoder and any transfer method.

    Encoders that replace the embedding layer encode both texts in one pipeline, in which each text
    attends to the other. BERT encodes `[CLS] first [SEP] second [SEP]`, and GPT encodes both texts
    with a delimiter token between them. `probe` encodes the two texts separately and combines
    their vectors. `frozen` does the same with a sentence encoder, which was pretrained on single
    texts only.

    Args:
        encoder: A pretrained encoder, or the path of its file or folder. None for methods that
            need no encoder.
        transfer: The name of a method, or a method; see `TextClassifier`.
        symmetric: Whether the order of the two texts is irrelevant, as in paraphrase detection. If
            so, swapping the texts does not change the probabilities.
        class_weight: None, `"balanced"`, or a dict from label to weight.
        calibrate: Whether to divide all scores by a temperature that calibrates the probabilities
            on the validation set. This never changes the predictions.
        max_tokens: Maximum number of tokens per pair where both texts are encoded together (the
            longer text is truncated first), otherwise per text. `fit_report_["truncated"]` counts
            what was truncated.
        random_state: Seed of all random choices, an integer.

    Attributes:
        fit_report_: The report of a `TextClassifier`, and `empty`, the number of pairs with an
            empty text. All other attributes are those of `TextClassifier`.

    Example:
        >>> pairs = [("a dog", "an animal"), ("a cat", "a stone")] * 10
        >>> fitted = PairClassifier(transfer="tfidf").fit(pairs, ["yes", "no"] * 10)
        >>> fitted.predict([("the dog", "the animal")]).tolist()
        ['yes']
    """

    kind = PAIR_CLASSIFIER
    _example, _instance = "pair", _INSTANCE

    def __init__(
        self,
        encoder: Pretrained | str | Path | None = None,
        transfer: str | Method = "auto",
        *,
        symmetric: bool = False,
        class_weight: ClassWeight = None,
        calibrate: bool = False,
        max_tokens: int = 512,
        random_state: int = 0,
    ) -> None:
        super().__init__(
            encoder,
            transfer,
            class_weight=class_weight,
            calibrate=calibrate,
            max_tokens=max_tokens,
            random_state=random_state,
        )
        self.symmetric = symmetric

    def fit(self, X: Collection[Any], y: Collection[Any], *, progress: Progress = SILENT) -> Self:
        """Fit the classifier to pairs and labels.

        Args:
            X: The pairs, each `(first, second)`.
            y: One label per pair.
            progress: Receives progress updates.

        Raises:
            DataError: The pairs or labels cannot be used.
            SettingsError: A setting is invalid, or the method needs an encoder and has none.
        """
        if hasattr(y, "__len__") and holds_label_sets(y):
            raise DataError("give one label per pair; only single texts may have several labels")
        super().fit(X, y, progress=progress)
        self.fit_report_["empty"] = _count_empty(X)
        return self

    def _texts_of(self, X: Collection[Any]) -> list[str]:
        return _as_sides(X)

    def _switches(self) -> dict[str, bool]:
        return {**super()._switches(), "symmetric": self.symmetric}

    @property
    def _pairs(self) -> Pairs:
        return _pairs_of(self.symmetric)


class PairRegressor(TextRegressor):
    """Text-pair regressor, such as for similarity, for any encoder and any transfer method.

    Args:
        encoder: See `PairClassifier`.
        transfer: See `PairClassifier`; `majority` always predicts the mean.
        symmetric: Whether the order of the two texts is irrelevant. If so, swapping the texts does
            not change the prediction.
        max_tokens: See `PairClassifier`.
        random_state: Seed of all random choices, an integer.

    Attributes:
        fit_report_: The report of a `TextRegressor`, and `empty`, the number of pairs with an
            empty text. All other attributes are those of `TextRegressor`.

    Example:
        >>> pairs = [("a dog", "a dog"), ("a cat", "a stone")] * 10
        >>> fitted = PairRegressor(transfer="tfidf", symmetric=True).fit(pairs, [5.0, 0.5] * 10)
        >>> like, unlike = fitted.predict([("a dog", "the dog"), ("a stone", "a cat")])
        >>> bool(like > unlike)
        True
    """

    kind = PAIR_REGRESSOR
    _example, _instance = "pair", _INSTANCE

    def __init__(
        self,
        encoder: Pretrained | str | Path | None = None,
        transfer: str | Method = "auto",
        *,
        symmetric: bool = False,
        max_tokens: int = 512,
        random_state: int = 0,
    ) -> None:
        super().__init__(encoder, transfer, max_tokens=max_tokens, random_state=random_state)
        self.symmetric = symmetric

    def fit(self, X: Collection[Any], y: Collection[Any], *, progress: Progress = SILENT) -> Self:
        """Fit the regressor to pairs and numbers.

        Args:
            X: The pairs, each `(first, second)`.
            y: One number per pair.
            progress: Receives progress updates.

        Raises:
            DataError: The pairs or numbers cannot be used.
            SettingsError: A setting is invalid, or the method needs an encoder and has none.
        """
        super().fit(X, y, progress=progress)
        self.fit_report_["empty"] = _count_empty(X)
        return self

    def _texts_of(self, X: Collection[Any]) -> list[str]:
        return _as_sides(X)

    def _switches(self) -> dict[str, bool]:
        return {"symmetric": self.symmetric}

    @property
    def _pairs(self) -> Pairs:
        return _pairs_of(self.symmetric)


PairEstimator = PairClassifier | PairRegressor


def _as_sides(X: Collection[Any]) -> list[str]:
    """Return all first texts, followed by all second texts.

    Raises:
        DataError: `X` is not a list of pairs of texts; the message gives the position.
    """
    if isinstance(X, str | bytes | Mapping | Set) or not hasattr(X, "__len__"):
        raise DataError(f"pairs must be a list of (first, second), got a {type(X).__name__}")
    if hasattr(X, "columns"):  # iterating over a table yields its columns or their names
        raise DataError(
            f"pairs must be a list of (first, second), got a {type(X).__name__}; for the columns a "
            'and b of a table, give list(zip(table["a"], table["b"]))'
        )
    sides: tuple[list[str], list[str]] = ([], [])
    for position, pair in enumerate(unwrapped(X)):
        no_pair = isinstance(pair, str | bytes | Mapping | Set)
        if no_pair or not hasattr(pair, "__len__") or len(pair) != 2:
            raise DataError(f"pair {position} must be two texts (first, second), got {pair!r:.60}")
        for side, text, name in zip(sides, pair, ("first", "second"), strict=True):
            side.append(as_text(text, f"the {name} text of pair {position}"))
    return sides[0] + sides[1]


def _count_empty(X: Collection[Any]) -> int:
    return sum(not (first.strip() and second.strip()) for first, second in unwrapped(X))


def _pairs_of(symmetric: object) -> Pairs:
    if not isinstance(symmetric, bool):
        raise SettingsError(f"symmetric must be true or false, got {symmetric!r}")
    return "symmetric" if symmetric else "ordered"
