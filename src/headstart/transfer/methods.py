"""How an encoder reaches the task: frozen values that check themselves when they are made.

Search over whole values, `{"transfer": [FineTune(learning_rate=1e-3), Features()]}`, not over names
nested in them.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from headstart.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a neural head is trained; the same for every method, so that none gets more care.

    The number of steps is found on the validation part: training stops `patience` evaluations after
    the lowest loss. Then the model is trained anew on all the labels given for as many passes over
    them, with the rate falling to zero. With 50 labels this is worth more than any other setting.

    Attributes:
        hidden: LSTM units per direction.
        dropout: Share of the embedding and pooled values dropped in training.
        batch_size: Texts per step.
        min_steps: The least number of steps, however few the labels: with ten of them the
            validation part is two, too few to stop early by.
        max_steps: No search for the number of steps goes further.
        evaluate_every: Steps between two looks at the validation part.
        patience: Looks without a lower loss before the search ends.
    """

    hidden: int = 48
    dropout: float = 0.3
    batch_size: int = 32
    min_steps: int = 50
    max_steps: int = 600
    evaluate_every: int = 10
    patience: int = 4

    def __post_init__(self) -> None:
        if not (_is_number(self.dropout) and 0.0 <= self.dropout < 1.0):
            raise SettingsError(f"dropout must be in [0, 1), got {self.dropout!r}")
        _check_fields(self)


@dataclass(frozen=True, kw_only=True)
class Majority:
    """Always the most frequent class, whatever the weights of classes: what any model must beat."""


@dataclass(frozen=True, kw_only=True)
class TfIdf:
    """Word and word-pair TF-IDF under logistic regression: what needs no transfer.

    Attributes:
        strengths: Inverse regularization strengths; the validation part chooses.
    """

    strengths: tuple[float, ...] = (1.0, 10.0, 100.0, 1000.0)

    def __post_init__(self) -> None:
        _check_strengths(self.strengths)


@dataclass(frozen=True, kw_only=True)
class Probe:
    """The encoder's pooled vectors under logistic regression: seconds to fit, hard to beat.

    Attributes:
        pooling: `mean`, `max` or `mean+max` over a text's tokens.
        strengths: Inverse regularization strengths; the validation part chooses.
    """

    pooling: str = "mean"
    strengths: tuple[float, ...] = (0.1, 1.0, 10.0, 100.0)

    def __post_init__(self) -> None:
        if self.pooling not in ("mean", "max", "mean+max"):
            raise SettingsError(f"pooling must be mean, max or mean+max, not {self.pooling!r}")
        _check_strengths(self.strengths)


@dataclass(frozen=True, kw_only=True)
class Scratch:
    """The pipeline with an embedding layer learnt from the task's labels alone.

    Attributes:
        width: Width of the embeddings.
        learning_rate: Of the LSTM and the classifier.
        embedding_rate: Of the embeddings, which start near zero and have far to go.
        training: Everything shared with the other methods.
    """

    width: int = 100
    learning_rate: float = 2e-3
    embedding_rate: float = 0.2
    training: Training = field(default_factory=Training)

    def __post_init__(self) -> None:
        _check_fields(self)


@dataclass(frozen=True, kw_only=True)
class Features:
    """The encoder in place of the embedding layer, frozen.

    Attributes:
        learning_rate: Of the LSTM and the classifier.
        training: Everything shared with the other methods.
    """

    learning_rate: float = 2e-2
    training: Training = field(default_factory=Training)

    def __post_init__(self) -> None:
        _check_fields(self)


@dataclass(frozen=True, kw_only=True)
class FineTune:
    """The encoder in place of the embedding layer, trained on with the task.

    Attributes:
        learning_rate: Of the LSTM and the classifier.
        encoder_rate: Of the encoder, whose vectors are brought to a root mean square of 1 first.
        training: Everything shared with the other methods.
    """

    learning_rate: float = 2e-2
    encoder_rate: float = 4e-3
    training: Training = field(default_factory=Training)

    def __post_init__(self) -> None:
        _check_fields(self)


Method = Majority | TfIdf | Probe | Scratch | Features | FineTune

METHODS: dict[str, type[Method]] = {
    "majority": Majority,
    "tfidf": TfIdf,
    "scratch": Scratch,
    "probe": Probe,
    "frozen": Features,
    "finetune": FineTune,
}
NO_ENCODER = (Majority, TfIdf, Scratch)


def method_of(transfer: str | Method) -> Method:
    """Return the method a name stands for, with its defaults; a method stands for itself.

    Raises:
        SettingsError: No method has this name.
    """
    if isinstance(transfer, str):
        if transfer not in METHODS:
            raise SettingsError(f"no transfer {transfer!r}; there are {', '.join(METHODS)}")
        return METHODS[transfer]()
    if not isinstance(transfer, tuple(METHODS.values())):
        raise SettingsError(f"transfer must be a name or a method, not {transfer!r}")
    return transfer


def name_of(method: Method) -> str:
    """Return the name under which `method_of` knows the kind of method."""
    return next(name for name, kind in METHODS.items() if type(method) is kind)


def _check_fields(settings: Any) -> None:  # noqa: ANN401 - any of the classes above
    for each in fields(settings):
        value = getattr(settings, each.name)
        if each.type is Training:
            if not isinstance(value, Training):
                raise SettingsError(f"training must be a Training(..), got {value!r}")
        elif each.type is int and type(value) is not int:
            raise SettingsError(f"{each.name} must be a whole number, got {value!r}")
        elif each.name != "dropout" and not (_is_number(value) and value > 0):
            raise SettingsError(f"{each.name} must be above 0, got {value!r}")


def _check_strengths(strengths: tuple[float, ...]) -> None:
    usable = isinstance(strengths, tuple) and all(
        _is_number(each) and each > 0 for each in strengths
    )
    if not (strengths and usable):
        raise SettingsError(f"strengths must be a tuple of numbers above 0, got {strengths!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def as_plain(method: Method) -> dict[str, Any]:
    """Return the method as values for JSON; `from_plain` makes it again."""
    return {"name": name_of(method), **asdict(method)}


def from_plain(values: Mapping[str, Any]) -> Method:
    """Make a method from what `as_plain` returned.

    Raises:
        KeyError, TypeError, SettingsError: The values are not a method's.
    """
    settings = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k != "name"}
    if isinstance(training := settings.get("training"), Mapping):
        settings["training"] = Training(**training)
    kind: Callable[..., Method] = METHODS[values["name"]]
    return kind(**settings)
