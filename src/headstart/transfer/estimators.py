"""A text classifier with the scikit-learn API.

Constructors only store their arguments, `fit` trains, and attributes set by `fit` end in an
underscore. Methods and encoders are plain values, so estimators work with `clone`, `Pipeline`,
`cross_val_score` and `GridSearchCV`.
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
from headstart.settings import plain
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
LABEL_TYPE = re.compile(r"[<>|=][biufUO]\d{0,9}")  # as numpy writes types; it accepts more


class TextClassifier:
    """Text classifier for any encoder and any transfer method, single-label or multilabel.

    Args:
        encoder: A pretrained encoder, or the path of its file or folder. None for methods that
            need no encoder.
        transfer: The name of a method (`scratch`, `probe`, `frozen`, `finetune`, `gradual`,
            `lora`, `tfidf`, `majority`), or a method with its own settings, such as
            `FineTune(learning_rate=1e-3)`. `auto` means `finetune` with an encoder and `scratch`
            without one.
        class_weight: None, `"balanced"`, or a dict from label to weight. In multilabel
            classification, the weight of the texts that have the label relative to the others.
        calibrate: Whether to divide all scores by a temperature that calibrates the probabilities
            on the validation set. This never changes the predictions of a single-label classifier.
        max_tokens: Maximum number of tokens per text. Longer texts are truncated, and
            `fit_report_["truncated"]` counts them.
        random_state: Seed of all random choices, an integer.

    Attributes:
        classes_: The labels, sorted.
        thresholds_: The probability from which each label is predicted, in multilabel
            classification; None otherwise.
        temperature_: The temperature that divides the scores; 1 if not calibrated.
        method_: The fitted method, with all its settings.
        proof_: What was transferred from the encoder and how far training moved it, a `Proof`
            that `print` shows as a table; None for methods that transfer nothing.
        model_: The fitted model.
        fit_report_: Validation scores, settings chosen on the validation set, wall-clock seconds
            and the number of truncated texts.

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
    _example, _instance = "text", '"a text"'  # what has a label, in messages and the model card

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
        """Fit the classifier to texts and labels.

        Args:
            X: The texts.
            y: One label per text, or a list or set of labels per text (multilabel).
            progress: Receives progress updates.

        Raises:
            DataError: The texts or labels cannot be used.
            SettingsError: A setting is invalid, or the method needs an encoder and has none.
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
        """Return class probabilities `[texts, classes]`, in the column order of `classes_`.

        Each row sums to one, except in multilabel classification, where labels are independent.
        """
        check_is_fitted(self, "classes_")
        turn = probabilities if self.thresholds_ is None else label_probabilities
        return turn(self.model_.scores(self._texts_of(X)) / self.temperature_)

    def predict(self, X: Collection[Any]) -> NDArray[Any]:
        """Return the most probable class of each text `[texts]`, or its list of labels."""
        found = self.predict_proba(X)
        if self.thresholds_ is None:
            return self.classes_[found.argmax(1)]
        lists = (self.classes_[given].tolist() for given in found >= self.thresholds_)
        return np.fromiter(lists, object, len(found))

    def score(
        self, X: Collection[Any], y: Collection[Any], sample_weight: ArrayLike | None = None
    ) -> float:
        """Return the accuracy, or the micro-averaged F1 in multilabel classification.

        Raises:
            DataError: The labels are not of the type used in `fit`, or a single-label classifier
                is given lists of labels, or a multilabel one single labels.
        """
        predicted = self.predict(X)
        if self.thresholds_ is None:
            from sklearn.metrics import accuracy_score

            if holds_label_sets(y):
                raise DataError(
                    f"this classifier predicts one label per {self._example}; give one for each"
                )
            # Scored as indices: scikit-learn accepts neither floats nor object arrays as labels.
            labels = np.asarray(y).ravel()
            try:
                _, both = index_labels([*labels, *predicted])
            except DataError as error:
                like = self.classes_[:1].tolist()[0]
                raise DataError(f"{error}; this model was fitted to labels like {like!r}") from None
            truth, said = np.split(both, [len(labels)])
            return float(accuracy_score(truth, said, sample_weight=sample_weight))
        weights = np.ones(len(predicted)) if sample_weight is None else sample_weight
        return micro_f1(y, predicted, weights)

    @property
    def megabytes(self) -> float:
        """Size of everything prediction needs, weights and vocabulary, in units of 10**6 bytes."""
        check_is_fitted(self, "classes_")
        return megabytes(self.model_)

    def fitted_vectors(self) -> PretrainedWordVectors | None:
        """Return the word vectors of the fitted pipeline, or None if it has none."""
        check_is_fitted(self, "classes_")
        return word_vectors(self.model_, name_of(self.method_))

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Save the model as a folder for `headstart.load`; a failed save leaves no partial folder.

        Raises:
            SettingsError: `load` could not read its encoder, which is of a kind of your own.
            ExistsError: The folder exists and `overwrite` is false.
            StorageError: The folder cannot be written.
            DataError: A label is neither text nor a number.
        """
        check_is_fitted(self, "classes_")
        folder, classes = Path(folder), self.classes_.tolist()
        odd = [label for label in classes if not isinstance(label, str | int | float)]
        if not LABEL_TYPE.fullmatch(self.classes_.dtype.str):
            odd = odd or [self.classes_[0]]  # a datetime, which tolist() may turn into a number
        if odd:
            raise DataError(f"only text and numbers can be saved as labels, got {odd[0]!r}")
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
        what = f"A {one} classifier{f' (several labels per {one})' * several}, made with headstart."
        facts = {"classes": classes}
        readme = saved_card(self, folder.name, what, facts, example=self._instance)
        return write_folder(folder, **parts, config=about, readme=readme, overwrite=overwrite)

    def _texts_of(self, X: Collection[Any]) -> list[str]:
        """Return the texts in the order that `Task` expects."""
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
    """Return the temperature, the thresholds and the scores found on the validation set."""
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
