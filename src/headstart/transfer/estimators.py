"""The scikit-learn surface: a classifier and a transformer for texts.

Constructors store, `fit` learns, a trailing underscore marks what was learnt. Methods and encoders
are values, so `clone`, `Pipeline`, `cross_val_score` and `GridSearchCV` work on them.
"""

import json
import time
from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from headstart.errors import DataError, SettingsError
from headstart.hub.bundle import Pretrained, PretrainedWordVectors, write_folder
from headstart.hub.cards import card
from headstart.hub.proof import Proof
from headstart.hub.store import load_encoder
from headstart.models.word_vectors import WordVectors
from headstart.progress import SILENT, Progress
from headstart.tasks.classification import (
    Classes,
    ClassWeight,
    class_weights,
    encode_labels,
    probabilities,
)
from headstart.transfer.features import pooled_features
from headstart.transfer.fitted import ContextualModel
from headstart.transfer.fitting import fit, whole_model_width
from headstart.transfer.folders import folder_parts
from headstart.transfer.methods import (
    FineTune,
    Method,
    Probe,
    Scratch,
    as_plain,
    method_of,
    name_of,
    with_defaults,
)
from headstart.transfer.task import Task
from headstart.transfer.token_states import reads_in_context

KIND = "classifier"


class TextClassifier(ClassifierMixin, BaseEstimator):
    """Sentence classification with any encoder and any transfer.

    Args:
        encoder: A pretrained encoder, or its file or folder; None for methods that need none.
        transfer: A name (`scratch`, `probe`, `frozen`, `finetune`, `gradual`, `lora`, `tfidf`,
            `majority`) or a method with settings of its own, such as
            `FineTune(learning_rate=1e-3)`. `auto` is `finetune` with an encoder and `scratch`
            without.
        class_weight: None, `"balanced"`, or a dict from label to weight.
        max_tokens: How much of a text is read; `fit_report_["truncated"]` counts the texts cut.
        random_state: Decides everything random.

    Attributes:
        classes_: The labels, sorted.
        method_: The method that was fitted.
        proof_: What the model owes to its encoder; None without one.
        model_: The fitted model.
        fit_report_: Validation scores, what the validation part chose, seconds, texts cut.

    Example:
        >>> texts, labels = ["good", "fine", "bad", "poor"] * 5, ["+", "+", "-", "-"] * 5
        >>> TextClassifier(transfer="tfidf").fit(texts, labels).predict(["so bad"]).tolist()
        ['-']
    """

    def __init__(
        self,
        encoder: Pretrained | str | Path | None = None,
        transfer: str | Method = "auto",
        *,
        class_weight: ClassWeight = None,
        max_tokens: int = 512,
        random_state: int = 0,
    ) -> None:
        self.encoder = encoder
        self.transfer = transfer
        self.class_weight = class_weight
        self.max_tokens = max_tokens
        self.random_state = random_state

    def fit(self, X: Sequence[str], y: Sequence[Any], *, progress: Progress = SILENT) -> Self:
        """Learn from texts and their labels, one label a text.

        Raises:
            DataError: The texts or labels cannot be used.
            SettingsError: The method needs an encoder and there is none.
        """
        texts = _as_texts(X)
        if not hasattr(y, "__len__") or isinstance(y, str):
            raise DataError(f"labels must be a list or one column, got a {type(y).__name__}")
        if len(texts) != len(y):
            raise DataError(f"{len(texts)} texts but {len(y)} labels; give one label a text")
        if not isinstance(self.random_state, int | np.integer):
            raise SettingsError(f"random_state must be a whole number, got {self.random_state!r}")
        _check_max_tokens(self.max_tokens)
        encoder = None if self.encoder is None else _as_encoder(self.encoder, progress)
        if isinstance(self.transfer, str) and self.transfer == "auto":
            method: Method = Scratch() if encoder is None else FineTune()
        else:
            method = method_of(self.transfer)
        method = with_defaults(
            method, whole_model=whole_model_width(encoder), in_context=reads_in_context(encoder)
        )
        classes, labels = encode_labels(y)
        started = time.perf_counter()
        task = Task(
            texts=texts,
            target=Classes(labels, class_weights(self.class_weight, classes, labels)),
            seed=int(self.random_state),
            max_tokens=self.max_tokens,
        )
        result = fit(method, encoder, task, progress=progress)
        _, held_out = task.parts()
        answers = probabilities(result.validation.scores).argmax(1)
        self.classes_ = classes
        self.method_ = method
        self.proof_: Proof | None = result.proof
        self.fit_report_ = {
            "labels": len(texts),
            "seconds": time.perf_counter() - started,
            "validation_accuracy": float((answers == labels[held_out]).mean()),
            "validation_loss": result.validation.loss,
            "validation_classes": len(np.unique(answers)),
            "truncated": result.truncated,
            **result.chosen,
        }
        self.model_ = result.model
        return self

    def predict_proba(self, X: Sequence[str]) -> NDArray[np.float64]:
        """Return the probability of each class `[texts, classes]`, columns as in `classes_`."""
        check_is_fitted(self, "classes_")
        return probabilities(self.model_.scores(_as_texts(X)))

    def predict(self, X: Sequence[str]) -> NDArray[Any]:
        """Return the most probable class of each text `[texts]`."""
        found = self.predict_proba(X)
        return self.classes_[found.argmax(1)]

    @property
    def megabytes(self) -> float:
        """Size of all that prediction needs, weights and vocabulary, in units of 10**6 bytes."""
        check_is_fitted(self, "classes_")
        weights = sum(t.numel() * t.element_size() for t in self.model_.tensors().values())
        tokenizer = self.model_.tokenizer
        words = sum(len(word.encode()) for word in tokenizer.vocabulary) if tokenizer else 0
        return (weights + words + len(json.dumps(self.model_.config()))) / 1e6

    def fitted_vectors(self) -> PretrainedWordVectors | None:
        """Return the word vectors inside the fitted pipeline; None if it has none."""
        check_is_fitted(self, "classes_")
        weight = self.model_.tensors().get("encoder.embedding.weight")
        tokenizer = self.model_.tokenizer
        if weight is None or tokenizer is None or isinstance(self.model_, ContextualModel):
            return None
        kind, vectors = name_of(self.method_), WordVectors.from_matrix(weight)
        return PretrainedWordVectors(kind, vectors, tokenizer, config={}, lineage={})

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write the model as a folder, whole or not at all; `headstart.load` reads it.

        Raises:
            StorageError: The folder exists and `overwrite` is false, or the disk refuses.
            DataError: The labels are of a type that JSON has not.
        """
        check_is_fitted(self, "classes_")
        folder, classes = Path(folder), self.classes_.tolist()
        if not all(isinstance(label, str | int | float) for label in classes):
            raise DataError(f"only text and numbers can be saved as labels, not {classes[0]!r}")
        weight = self.class_weight
        pairs = (
            [[_plain(label), float(value)] for label, value in weight.items()]
            if isinstance(weight, Mapping)
            else weight
        )
        config = {
            "kind": KIND,
            "classes": classes,
            "dtype": self.classes_.dtype.str,
            "method": as_plain(self.method_),
            "parameters": {
                "class_weight": pairs,  # JSON would turn the keys of a dict into text
                "max_tokens": int(self.max_tokens),
                "random_state": int(self.random_state),
            },
            "model": self.model_.config(),
            "proof": self.proof_.as_dict() if self.proof_ else None,
            "report": self.fit_report_,
        }
        return write_folder(
            folder,
            **folder_parts(self.model_, [str(label) for label in classes]),
            config=config,
            readme=self._card(folder.name),
            overwrite=overwrite,
        )

    def _card(self, name: str) -> str:
        facts = {
            "method": name_of(self.method_),
            "classes": self.classes_.tolist(),
            **self.fit_report_,
            **(self.proof_.as_dict() if self.proof_ else {}),
        }
        use = f'model = hs.load({name!r})\nmodel.predict(["a text"])'
        return card(name, "A text classifier, made with headstart.", facts, use)

    def __sklearn_tags__(self) -> Any:  # noqa: ANN401 - scikit-learn's Tags
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        return tags


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

    def fit(self, X: Sequence[str], y: object = None) -> Self:
        """Check the settings and load the encoder; there is nothing to learn."""
        del y
        _as_texts(X)
        self.encoder_ = self._load()
        return self

    def transform(self, X: Sequence[str]) -> NDArray[np.float32]:
        """Return one vector a text `[texts, width]` (`[texts, 2 * width]` for `mean+max`)."""
        self._check()
        encoder = getattr(self, "encoder_", None) or self._load()
        return pooled_features(
            encoder, _as_texts(X), pooling=self.pooling, max_tokens=self.max_tokens
        )

    def get_feature_names_out(self, input_features: object = None) -> NDArray[np.object_]:
        """Return a name for each number of a vector: `textfeatures0`, `textfeatures1`, .."""
        del input_features
        encoder = getattr(self, "encoder_", None) or self._load()
        width = encoder.model.width * (2 if self.pooling == "mean+max" else 1)
        return np.array([f"textfeatures{number}" for number in range(width)], dtype=object)

    def _check(self) -> None:
        Probe(pooling=self.pooling)
        _check_max_tokens(self.max_tokens)

    def _load(self) -> Pretrained:
        self._check()
        return _as_encoder(self.encoder)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:  # noqa: ANN401 - scikit-learn's Tags
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.requires_fit = False
        return tags


def _as_encoder(encoder: object, progress: Progress = SILENT) -> Pretrained:
    if isinstance(encoder, str | Path):
        return load_encoder(encoder, progress=progress)
    if not isinstance(encoder, Pretrained):
        raise SettingsError(
            f"encoder must be a pretrained encoder or its path, not {encoder!r:.40}"
        )
    return encoder


def _plain(label: Any) -> Any:  # noqa: ANN401 - whatever is a label
    """Return a label of numpy's as Python's own, which JSON can hold."""
    return label.item() if isinstance(label, np.generic) else label


def _check_max_tokens(max_tokens: object) -> None:
    whole = isinstance(max_tokens, int | np.integer) and not isinstance(max_tokens, bool)
    if not whole or max_tokens < 1:  # type: ignore[operator]
        raise SettingsError(f"max_tokens must be a whole number above 0, got {max_tokens!r}")


def _as_texts(X: Iterable[str]) -> list[str]:
    """Return the texts as plain strings.

    Raises:
        DataError: `X` is no list, array or column of texts; the message has the position.
    """
    if isinstance(X, str | bytes):
        raise DataError("one string was given where a list of texts is expected; write [text]")
    table = isinstance(X, Mapping | Set) or getattr(X, "ndim", 1) != 1
    if table or not hasattr(X, "__len__"):
        raise DataError(f"texts must be a list or one column, got a {type(X).__name__}")
    texts = list(X)
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise DataError(
                f"text {position} is a {type(text).__name__}, not a string: {text!r:.40}"
            )
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise DataError(f"text {position} is not valid Unicode: {error.reason}") from None
    return [str(text) for text in texts]
