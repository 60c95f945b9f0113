"""The scikit-learn surface: a classifier of texts.

Constructors store, `fit` learns, a trailing underscore marks what was learnt. Methods and encoders
are values, so `clone`, `Pipeline`, `cross_val_score` and `GridSearchCV` work on them.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.data.in_memory import as_texts
from headstart.devices import torch_defaults
from headstart.errors import DataError, SettingsError
from headstart.hub.bundle import Pretrained, PretrainedWordVectors, write_folder
from headstart.progress import SILENT, Progress
from headstart.tasks.calibration import fit_temperature
from headstart.tasks.classification import (
    Classes,
    ClassWeight,
    class_weights,
    encode_labels,
    index_labels,
    probabilities,
)
from headstart.tasks.multilabel import (
    LabelSets,
    choose_thresholds,
    encode_label_sets,
    holds_label_sets,
    label_probabilities,
    label_set_scores,
    label_weights,
    micro_f1,
)
from headstart.tasks.pairs import Pairs
from headstart.transfer.fitted import megabytes, word_vectors
from headstart.transfer.folders import folder_parts
from headstart.transfer.learning import (
    check_targets,
    learn,
    plain,
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
from headstart.transfer.stopping import Validation

CLASSIFIER = "classifier"
LABEL_TYPE = re.compile(r"[<>|=][biufUO]\d{0,9}")  # as numpy writes them; it reads far more


class TextClassifier:
    """Sentence classification with any encoder and any transfer: one label a text, or several.

    Args:
        encoder: A pretrained encoder, or its file or folder; None for methods that need none.
        transfer: A name (`scratch`, `probe`, `frozen`, `finetune`, `gradual`, `lora`, `tfidf`,
            `majority`) or a method with settings of its own, such as
            `FineTune(learning_rate=1e-3)`. `auto` is `finetune` with an encoder and `scratch`
            without.
        class_weight: None, `"balanced"`, or a dict from label to weight. Where texts have several
            labels it weighs the texts that have a label against those that have not.
        calibrate: Whether all scores are divided by the one temperature that makes probabilities
            fit the validation part best. No answer changes where a text has one label.
        max_tokens: How much of a text is read; `fit_report_["truncated"]` counts the texts cut.
        random_state: Decides everything random.

    Attributes:
        classes_: The labels, sorted.
        thresholds_: The probability from which each label is given, where texts have several; None
            where they have one.
        temperature_: What scores are divided by; 1 unless calibrated.
        method_: The method that was fitted.
        proof_: What the model owes to its encoder; None without one.
        model_: The fitted model.
        fit_report_: Validation scores, what the validation part chose, seconds, texts cut.

    Example:
        >>> texts, labels = ["good", "fine", "bad", "poor"] * 5, ["+", "+", "-", "-"] * 5
        >>> TextClassifier(transfer="tfidf").fit(texts, labels).predict(["so bad"]).tolist()
        ['-']
        >>> texts, labels = ["fish", "chips", "fish chips", ""], [["a"], ["b"], ["a", "b"], []]
        >>> several = TextClassifier(transfer="tfidf").fit(texts * 9, labels * 9)
        >>> several.predict(["chips and fish", "peas"]).tolist()
        [['a', 'b'], []]
    """

    get_params, set_params, __repr__ = get_params, set_params, describe
    get_metadata_routing = routing
    kind = CLASSIFIER
    _example, _instance = "text", '"a text"'  # what has a label, for messages and for the card

    def __init__(
        self,
        encoder: Pretrained | str | Path | None = None,
        transfer: str | Method = "auto",
        *,
        class_weight: ClassWeight = None,
        calibrate: bool = False,
        max_tokens: int = 512,
        random_state: int = 0,
    ) -> None:
        self.encoder = encoder
        self.transfer = transfer
        self.class_weight = class_weight
        self.calibrate = calibrate
        self.max_tokens = max_tokens
        self.random_state = random_state

    def fit(self, X: Collection[Any], y: Collection[Any], *, progress: Progress = SILENT) -> Self:
        """Learn from texts and their labels: one label a text, or a list or set of labels a text.

        Raises:
            DataError: The texts or labels cannot be used.
            SettingsError: The method needs an encoder and there is none.
        """
        texts = self._texts_of(X)
        check_targets(X, y, "label", of=self._example)
        if not isinstance(self.calibrate, bool):
            raise SettingsError(f"calibrate must be true or false, got {self.calibrate!r}")
        target: Classes | LabelSets
        if holds_label_sets(y):
            classes, matrix = encode_label_sets(y)
            target = LabelSets(matrix, label_weights(self.class_weight, classes, matrix))
        else:
            classes, labels = encode_labels(y)
            target = Classes(labels, class_weights(self.class_weight, classes, labels))
        learnt = learn(self, texts, target, pairs=self._pairs, progress=progress)
        temperature, thresholds, figures = _judge(
            target, learnt.validation, calibrate=self.calibrate
        )
        self.classes_ = classes
        self.temperature_: float = temperature
        self.thresholds_: NDArray[np.float64] | None = thresholds
        self.method_, self.model_, self.proof_ = learnt.method, learnt.model, learnt.proof
        self.fit_report_ = {**learnt.report, **figures}
        return self

    @torch_defaults()
    def predict_proba(self, X: Collection[Any]) -> NDArray[np.float64]:
        """Return the probability of each class `[texts, classes]`, columns as in `classes_`.

        A row sums to one where a text has one label; where it may have several, each stands alone.
        """
        check_is_fitted(self, "classes_")
        turn = probabilities if self.thresholds_ is None else label_probabilities
        return turn(self.model_.scores(self._texts_of(X)) / self.temperature_)

    def predict(self, X: Collection[Any]) -> NDArray[Any]:
        """Return the most probable class of each text `[texts]`, or the list of its labels."""
        found = self.predict_proba(X)
        if self.thresholds_ is None:
            return self.classes_[found.argmax(1)]
        lists = (self.classes_[given].tolist() for given in found >= self.thresholds_)
        return np.fromiter(lists, object, len(found))

    def score(
        self, X: Collection[Any], y: Collection[Any], sample_weight: ArrayLike | None = None
    ) -> float:
        """Return the accuracy; where texts have several labels, micro-averaged F1.

        Raises:
            DataError: The labels are of another type than those it was fitted to, or a text is
                given several where it has one, or one where it has several.
        """
        predicted = self.predict(X)
        if self.thresholds_ is None:
            from sklearn.metrics import accuracy_score

            if holds_label_sets(y):
                raise DataError("this classifier gives a text one label; score it by one a text")
            # As numbers: scikit-learn knows no float and no column of objects for labels.
            labels = np.asarray(y).ravel()
            _, both = index_labels([*labels, *predicted])
            truth, said = np.split(both, [len(labels)])
            return float(accuracy_score(truth, said, sample_weight=sample_weight))
        weights = np.ones(len(predicted)) if sample_weight is None else sample_weight
        return micro_f1(y, predicted, weights)

    @property
    def megabytes(self) -> float:
        """Size of all that prediction needs, weights and vocabulary, in units of 10**6 bytes."""
        check_is_fitted(self, "classes_")
        return megabytes(self.model_)

    def fitted_vectors(self) -> PretrainedWordVectors | None:
        """Return the word vectors inside the fitted pipeline; None if it has none."""
        check_is_fitted(self, "classes_")
        return word_vectors(self.model_, name_of(self.method_))

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write the model as a folder, whole or not at all; `headstart.load` reads it.

        Raises:
            ExistsError: The folder exists and `overwrite` is false.
            StorageError: The disk refuses.
            DataError: The labels are of a type that JSON has not.
        """
        check_is_fitted(self, "classes_")
        folder, classes = Path(folder), self.classes_.tolist()
        odd = [label for label in classes if not isinstance(label, str | int | float)]
        if not LABEL_TYPE.fullmatch(self.classes_.dtype.str):
            odd = odd or [self.classes_[0]]  # a time, which Python may have as a number
        if odd:
            raise DataError(f"only text and numbers can be saved as labels, not {odd[0]!r}")
        weight = self.class_weight
        pairs = (
            [[plain(label), float(value)] for label, value in weight.items()]
            if isinstance(weight, Mapping)
            else weight
        )
        several = self.thresholds_ is not None
        about = {
            "kind": self.kind,
            "classes": classes,
            "dtype": self.classes_.dtype.str,
            "thresholds": self.thresholds_.tolist() if self.thresholds_ is not None else None,
            "temperature": self.temperature_,
            **saved_settings(self),
        }
        about["parameters"] |= {"class_weight": pairs, **self._switches()}
        parts = folder_parts(self.model_, [str(label) for label in classes], several=several)
        one = self._example
        what = f"A {one} classifier{f' of several labels a {one}' * several}, made with headstart."
        facts = {"classes": classes}
        readme = saved_card(self, folder.name, what, facts, example=self._instance)
        return write_folder(folder, **parts, config=about, readme=readme, overwrite=overwrite)

    def _texts_of(self, X: Collection[Any]) -> list[str]:
        """Return the texts as a `Task` holds them."""
        return as_texts(X)

    @property
    def _pairs(self) -> Pairs:
        return None

    def _switches(self) -> dict[str, bool]:
        return {"calibrate": self.calibrate}

    def __sklearn_tags__(self) -> Any:  # noqa: ANN401 - scikit-learn's Tags
        return text_tags("classifier")


def _judge(
    target: Classes | LabelSets, validation: Validation, *, calibrate: bool
) -> tuple[float, NDArray[np.float64] | None, dict[str, Any]]:
    """Return what the validation part says of answers: temperature, thresholds, and figures."""
    scores, rows = validation.scores, validation.rows
    turn = probabilities if isinstance(target, Classes) else label_probabilities
    temperature, figures = 1.0, {}
    if calibrate:
        unweighted = replace(target, weights=np.ones_like(target.weights))
        temperature = fit_temperature(
            lambda each: unweighted.mean_loss(scores / each, rows), len(rows)
        )
        before = target.calibration_error(turn(scores), rows)
        figures = {"temperature": temperature, "validation_calibration_error_before": before}
    found = turn(scores / temperature)
    figures["validation_calibration_error"] = target.calibration_error(found, rows)
    if isinstance(target, Classes):
        answers = found.argmax(1)
        figures |= {
            "validation_accuracy": float((answers == target.labels[rows]).mean()),
            "validation_classes": len(np.unique(answers)),
        }
        return temperature, None, figures
    thresholds = choose_thresholds(found, target.matrix[rows])
    told = label_set_scores(target.matrix[rows], found >= thresholds)
    return temperature, thresholds, figures | {f"validation_{n}": v for n, v in told.items()}
