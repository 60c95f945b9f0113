"""The scikit-learn surface for sentence pairs: a label for each, or a number."""

from collections.abc import Collection, Mapping, Set
from pathlib import Path
from typing import Any, Self

from headstart.data.in_memory import as_text
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
    """Sentence-pair classification with any encoder and any transfer.

    What replaces the embedding layer reads both texts side by side, in one pipeline in which each
    attends to the other. BERT reads `[CLS] first [SEP] second [SEP]`, and GPT a delimiter between
    them. `probe` reads both by themselves, and combines what it read, and so does `frozen` of a
    sentence encoder, which has read single texts only.

    Args:
        encoder: A pretrained encoder, or its file or folder; None for methods that need none.
        transfer: A name or a method, as for `TextClassifier`.
        symmetric: Whether neither text of a pair comes first, as in paraphrases: then probabilities
            are the same if the texts change places.
        class_weight: None, `"balanced"`, or a dict from label to weight.
        calibrate: Whether one temperature makes probabilities fit the validation part best.
        max_tokens: How much is read: of a pair where both texts are read at once, cut at the end of
            the longer one, else of each text; `fit_report_["truncated"]` counts those cut.
        random_state: Decides everything random.

    Attributes:
        fit_report_: As a `TextClassifier` has it, and all other attributes, too; `empty` counts
            the pairs with an empty side.

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
        """Learn from pairs `(first, second)` and their labels, one label a pair.

        Raises:
            DataError: The pairs or labels cannot be used.
            SettingsError: The method needs an encoder and there is none.
        """
        if hasattr(y, "__len__") and holds_label_sets(y):
            raise DataError("a pair has one label; several a pair are for single texts only")
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
    """A number for each pair of texts, such as how similar they are, by any encoder and transfer.

    Args:
        encoder: As of `PairClassifier`.
        transfer: As of `PairClassifier`; `majority` always answers with the mean.
        symmetric: Whether neither text of a pair comes first: then the number is the same if the
            texts change places.
        max_tokens: As of `PairClassifier`.
        random_state: Decides everything random.

    Attributes:
        fit_report_: As a `TextRegressor` has it, and all other attributes, too; `empty` counts the
            pairs with an empty side.

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
        """Learn from pairs `(first, second)` and their numbers, one a pair.

        Raises:
            DataError: The pairs or numbers cannot be used.
            SettingsError: The method needs an encoder and there is none.
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
    """Return all the first texts, and then all the second ones.

    Raises:
        DataError: `X` is no list of pairs of texts; the message has the position.
    """
    if isinstance(X, str | bytes | Mapping | Set) or not hasattr(X, "__len__"):
        raise DataError(f"pairs must be a list of (first, second), got a {type(X).__name__}")
    if hasattr(X, "columns"):  # a table, which is read by its columns or by their names
        raise DataError(
            f"pairs must be a list of (first, second), got a {type(X).__name__}; of the columns a "
            'and b of a table, give list(zip(table["a"], table["b"]))'
        )
    sides: tuple[list[str], list[str]] = ([], [])
    for position, pair in enumerate(X):
        no_pair = isinstance(pair, str | bytes | Mapping | Set)
        if no_pair or not hasattr(pair, "__len__") or len(pair) != 2:
            raise DataError(f"pair {position} is not two texts (first, second): {pair!r:.60}")
        for side, text, name in zip(sides, pair, ("first", "second"), strict=True):
            side.append(as_text(text, f"the {name} text of pair {position}"))
    return sides[0] + sides[1]


def _count_empty(X: Collection[Any]) -> int:
    return sum(not (first.strip() and second.strip()) for first, second in X)


def _pairs_of(symmetric: object) -> Pairs:
    if not isinstance(symmetric, bool):
        raise SettingsError(f"symmetric must be true or false, got {symmetric!r}")
    return "symmetric" if symmetric else "ordered"
