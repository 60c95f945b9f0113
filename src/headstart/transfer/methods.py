"""Transfer methods: how an encoder is applied to a task.

A method is an immutable value that checks its settings when it is created. A setting that is None
gets a default that depends on the encoder and the task. To search over methods, list whole values,
`{"transfer": [FineTune(learning_rate=1e-3), Features()]}`; nested parameter names do not work.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, get_args

from headstart.errors import SettingsError
from headstart.models.interface import Pooling
from headstart.settings import plain


def _set(settings: Any, **values: Any) -> None:  # noqa: ANN401 - any of the classes below
    for name, value in values.items():
        object.__setattr__(settings, name, value)  # the dataclass is frozen


def _check_fields(settings: Any, *, may_be_zero: tuple[str, ...] = ()) -> None:  # noqa: ANN401 - as above
    _set(settings, **plain(vars(settings)))
    for each in fields(settings):
        value = getattr(settings, each.name)
        if value is None and each.default is None:
            continue
        if each.name == "training":
            if not isinstance(value, Training):
                raise SettingsError(f"training must be a Training(..), got {value!r}")
        elif each.name == "layers":
            if not isinstance(value, Layers):
                raise SettingsError(f"layers must be a Layers(..), got {value!r}")
        elif each.type is int and type(value) is not int:
            raise SettingsError(f"{each.name} must be a whole number, got {value!r}")
        elif each.name == "pooling":
            if value not in get_args(Pooling):
                raise SettingsError(f"pooling must be cls, last or mean, got {value!r}")
        elif each.name != "dropout":
            zero = each.name in may_be_zero
            if not (_is_number(value) and (value > 0 or (zero and value == 0))):
                least = "0 or more" if zero else "above 0"
                raise SettingsError(f"{each.name} must be {least}, got {value!r}")


def _check_strengths(settings: "TfIdf | Probe") -> None:
    given = settings.strengths
    one_column = getattr(given, "ndim", 1) == 1 and not isinstance(given, Mapping | Set)
    strengths = tuple(map(plain, given)) if one_column and isinstance(given, Iterable) else ()
    if not (strengths and all(_is_number(each) and each > 0 for each in strengths)):
        raise SettingsError(f"strengths must be a list of numbers above 0, got {given!r}")
    _set(settings, strengths=strengths)


def _is_number(value: object) -> bool:
    return not isinstance(value, bool) and isinstance(value, int | float) and math.isfinite(value)


@dataclass(frozen=True, kw_only=True)
class Training:
    """Training settings, shared by all neural methods so that none is tuned more than another.

    The number of steps is found by early stopping: the search ends `patience` evaluations after
    the last improvement of the validation loss. The model is then retrained on all labels for as
    many epochs, with a learning rate that decays to zero. With 50 labels, this matters more than
    any other setting.

    Attributes:
        hidden: LSTM units per direction, or hidden units of a head.
        dropout: Dropout rate of the embeddings and the pooled values.
        batch_size: Texts per step.
        min_steps: Minimum number of steps, however few the labels. With ten labels the validation
            set has two texts, too few for early stopping.
        max_steps: Maximum number of steps in the search. The final model is still trained for
            `min_steps`, and for one epoch, if these are more. When a whole model is trained on
            texts, the search also ends after fifty epochs.
        evaluate_every: Minimum number of steps between two evaluations on the validation set. With
            many labels the interval is longer.
        patience: Evaluations without an improvement before the search ends. To count as one, the
            loss must fall by 0.001 since the last improvement, or by 0.005 when a whole model is
            fitted to texts.
    """

    hidden: int = 48
    dropout: float = 0.3
    batch_size: int = 32
    min_steps: int = 50
    max_steps: int = 4000
    evaluate_every: int = 10
    patience: int = 4

    def __post_init__(self) -> None:
        _check_fields(self)
        if not (_is_number(self.dropout) and 0.0 <= self.dropout < 1.0):
            raise SettingsError(f"dropout must be in [0, 1), got {self.dropout!r}")


@dataclass(frozen=True, kw_only=True)
class Layers:
    """Which layers of a CoVe or ELMo replace the embedding layer.

    For ELMo, a learned weighted sum of all layers: `gamma * sum_j softmax(w)_j h_j`, where `w` and
    `gamma` are trained with the task (Peters et al. 2018, equation 1). For CoVe, the upper layer
    concatenated with its input word vectors: `[GloVe(w); CoVe(w)]` (McCann et al. 2017, section 4).

    Attributes:
        word_vectors: Whether to concatenate the word vectors with CoVe's states.
        layer_norm: Whether to normalize each word's vector in every layer before the weighted sum.
        l2: Weight of the L2 penalty on `w`, which pulls it towards the mean of all layers; lambda
            in the paper.
        output: Whether to concatenate a second weighted sum, with its own weights, with the output
            of the BiLSTM.
    """

    word_vectors: bool = True
    layer_norm: bool = False
    l2: float = 1e-3
    output: bool = False

    def __post_init__(self) -> None:
        _set(self, **plain(vars(self)))
        for name in ("word_vectors", "layer_norm", "output"):
            if not isinstance(getattr(self, name), bool):
                raise SettingsError(f"{name} must be true or false, got {getattr(self, name)!r}")
        if not (_is_number(self.l2) and self.l2 >= 0):
            raise SettingsError(f"l2 must be 0 or more, got {self.l2!r}")


@dataclass(frozen=True, kw_only=True)
class Majority:
    """Always predict the most frequent class, ignoring class weights: the baseline to beat."""


@dataclass(frozen=True, kw_only=True)
class TfIdf:
    """Logistic regression on TF-IDF features of words and word pairs: a baseline without transfer.

    Attributes:
        strengths: Inverse regularization strengths to try; the validation set chooses one.
    """

    strengths: Sequence[float] = (1.0, 10.0, 100.0, 1000.0)

    def __post_init__(self) -> None:
        _check_strengths(self)


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Logistic regression on the encoder's pooled vectors: fits in seconds and is hard to beat.

    Attributes:
        pooling: `mean`, `max` or `mean+max` over the tokens of a text.
        strengths: Inverse regularization strengths to try; the validation set chooses one.
    """

    pooling: str = "mean"
    strengths: Sequence[float] = (0.1, 1.0, 10.0, 100.0)

    def __post_init__(self) -> None:
        if self.pooling not in ("mean", "max", "mean+max"):
            raise SettingsError(f"pooling must be mean, max or mean+max, got {self.pooling!r}")
        _check_strengths(self)


@dataclass(frozen=True, kw_only=True)
class Scratch:
    """Train on the labels alone, without transfer.

    Without an encoder, the model is the shared pipeline with its own embedding layer. With an
    encoder that replaces the whole model, it is the same architecture with random weights: the
    control that separates the effect of transfer from that of the architecture.

    Attributes:
        width: Width of the pipeline's embeddings.
        learning_rate: Learning rate of the LSTM and the classifier, or of the whole model.
        embedding_rate: Learning rate of the embeddings, higher because they start near zero.
        training: Settings shared with the other methods (`headstart.transfer.methods.Training`).
    """

    width: int = 100
    learning_rate: float | None = None
    embedding_rate: float | None = None
    training: Training | None = None

    def __post_init__(self) -> None:
        _check_fields(self)


@dataclass(frozen=True, kw_only=True)
class Features:
    """Keep the encoder frozen, as the embedding layer or under a head on its pooled states.

    Attributes:
        learning_rate: Learning rate of the LSTM and the classifier, or of the head.
        layers: Which layers of a CoVe or ELMo are used.
        training: Settings shared with the other methods (`headstart.transfer.methods.Training`).
    """

    learning_rate: float | None = None
    layers: Layers = Layers()
    training: Training | None = None

    def __post_init__(self) -> None:
        _check_fields(self)


@dataclass(frozen=True, kw_only=True)
class FineTune:
    """Fine-tune the encoder on the task.

    A whole model first gets a linear layer fitted to its frozen states; then all of it is trained
    (Kumar et al. 2022, https://arxiv.org/abs/2202.10054). With few labels, the first steps of a
    random layer would damage the pretrained weights. The fitted layer leaves half of the loss to
    be learned.

    GPT is trained on `lm_coef * L_xent + task_coef * L_task`, where `L_xent` is its language model
    loss. The default is `L_xent + lambda * L_task`, with lambda as `task_coef`. Radford et al.
    (2018, section 3.2) use `L_task + 0.5 * L_xent`, which is `lm_coef=0.5, task_coef=1`. The ratio
    of the two matters most. Adam's steps do not depend on the scale of the loss as long as
    gradients are clipped at every step, or at none; the scale decides at which steps they are.

    Attributes:
        learning_rate: Learning rate of the LSTM and the classifier, or of a whole model's top.
        encoder_rate: Learning rate of word vectors, which are first scaled to a root mean square
            of 1, or of a CoVe or ELMo.
        layer_decay: Ratio of each layer's learning rate to that of the layer above it.
        pooling: Which state of a whole model represents a text: `cls`, `last` or `mean`. By
            default the validation set chooses between the encoder's own pooling and the mean.
        lm_coef: Weight of GPT's language model loss; 0 disables it.
        task_coef: Weight of GPT's task loss.
        layers: Which layers of a CoVe or ELMo are used.
        training: Settings shared with the other methods (`headstart.transfer.methods.Training`).
    """

    learning_rate: float | None = None
    encoder_rate: float | None = None
    layer_decay: float = 0.9
    pooling: Pooling | None = None
    lm_coef: float = 1.0
    task_coef: float = 2.0
    layers: Layers = Layers()
    training: Training | None = None

    def __post_init__(self) -> None:
        _check_fields(self, may_be_zero=("lm_coef",))


@dataclass(frozen=True, kw_only=True)
class GradualUnfreeze:
    """Fine-tune a whole model and unfreeze it from the top, one layer at a time.

    Howard and Ruder, "Universal Language Model Fine-tuning for Text Classification", ACL 2018
    (https://arxiv.org/abs/1801.06146), section 3.3.

    Attributes:
        learning_rate: Learning rate of the top layer.
        layer_decay: Ratio of each layer's learning rate to that of the layer above it.
        steps_per_layer: Steps before the next layer is unfrozen.
        training: Settings shared with the other methods (`headstart.transfer.methods.Training`).
    """

    learning_rate: float | None = None
    layer_decay: float = 0.9
    steps_per_layer: int = 10
    training: Training | None = None

    def __post_init__(self) -> None:
        _check_fields(self)


@dataclass(frozen=True, kw_only=True)
class LowRank:
    """LoRA: train only low-rank updates of the attention projections, and the head.

    Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022
    (https://arxiv.org/abs/2106.09685).

    Attributes:
        rank: Rank of each matrix's update.
        alpha: The update is scaled by `alpha / rank`.
        learning_rate: Learning rate of the updates and the head.
        training: Settings shared with the other methods (`headstart.transfer.methods.Training`).
    """

    rank: int = 8
    alpha: float = 16.0
    learning_rate: float = 1e-3
    training: Training | None = None

    def __post_init__(self) -> None:
        _check_fields(self)


Method = Majority | TfIdf | Probe | Scratch | Features | FineTune | GradualUnfreeze | LowRank

METHODS: dict[str, type[Method]] = {
    "majority": Majority,
    "tfidf": TfIdf,
    "scratch": Scratch,
    "probe": Probe,
    "frozen": Features,
    "finetune": FineTune,
    "gradual": GradualUnfreeze,
    "lora": LowRank,
}
NO_ENCODER = (Majority, TfIdf, Scratch)

_TUNING = Training(hidden=256, dropout=0.1, batch_size=16, min_steps=60, max_steps=2000)
_HEAD = Training(hidden=256, dropout=0.3, min_steps=100, max_steps=1000)
FEW_LABELS = 500
_RATE_TIMES_WIDTH = 0.04  # 5e-5 for BERT's 768, as in the paper; narrower models need more


def with_defaults(
    method: Method,
    *,
    whole_model: int | None,
    in_context: bool = False,
    pairs: bool = False,
    labels: int = 0,
) -> Method:
    """Fill in the settings that are None and that the encoder uses, and return the method.

    Args:
        method: The method; settings that are not None stay.
        whole_model: Width of an encoder that replaces the whole model; None for the shared
            pipeline.
        in_context: Whether the encoder replaces the embedding layer by states of words in context.
        pairs: Whether the shared pipeline encodes pairs of texts.
        labels: Number of labels; with many, the shared pipeline is trained at lower rates.
    """
    slower = min(1.0, math.sqrt(FEW_LABELS / max(1, labels)))  # docs/log.md
    rate = _rounded(slower * (8e-3 if pairs else 2e-2))
    defaults: dict[str, Any] = {}
    if isinstance(method, Scratch):
        defaults = {
            "learning_rate": 2e-3,
            "embedding_rate": _rounded(slower * 0.2),
            "training": Training(),
        }
        if whole_model:
            defaults = {
                "learning_rate": 2.5 * _RATE_TIMES_WIDTH / whole_model,
                "training": _TUNING,
            }
    elif isinstance(method, Features):
        defaults = {"learning_rate": rate, "training": Training()}
        if whole_model:
            defaults = {"learning_rate": 2e-3, "training": _HEAD}
    elif isinstance(method, FineTune | GradualUnfreeze | LowRank):
        defaults = {"learning_rate": rate, "encoder_rate": 4e-3, "training": Training()}
        if in_context:
            defaults["encoder_rate"] = 5e-4
        if whole_model:
            rate = _RATE_TIMES_WIDTH / whole_model
            defaults = {"learning_rate": rate, "training": _TUNING}
    missing = {
        each.name: defaults[each.name]
        for each in fields(method)
        if each.name in defaults and getattr(method, each.name) is None
    }
    return replace(method, **missing)


def filled(
    method: Scratch | Features | FineTune | GradualUnfreeze | LowRank,
) -> tuple[Training, float]:
    """Return a method's training settings and learning rate, which `with_defaults` filled in."""
    if method.training is None or method.learning_rate is None:
        raise TypeError("call with_defaults before a method is fitted")
    return method.training, method.learning_rate


_PIPELINE, _WHOLE = "the shared pipeline", "encoders that replace the whole model"
_READ_BY = {  # settings that only some encoders use
    "width": _PIPELINE,
    "embedding_rate": _PIPELINE,
    "encoder_rate": "word vectors, CoVe and ELMo",
    "layers": "CoVe and ELMo",
    "layer_decay": _WHOLE,
    "pooling": _WHOLE,
    "lm_coef": "GPT",
    "task_coef": "GPT",
}


def check_is_read(
    method: Method,
    name: str,
    *,
    whole_model: int | None,
    in_context: bool = False,
    is_gpt: bool = False,
    tags: bool = False,
) -> None:
    """Reject a setting that the encoder does not use.

    Args:
        method: The method.
        name: Name of the encoder.
        whole_model: Width of an encoder that replaces the whole model; None for any other.
        in_context: Whether the encoder replaces the embedding layer by states of words in context.
        is_gpt: Whether it is a GPT.
        tags: Whether the task is tagging, where no state represents a whole text.

    Raises:
        SettingsError: A setting differs from its default but would have no effect.
    """
    readers = {_WHOLE} if whole_model else {_PIPELINE, _READ_BY["encoder_rate"]}
    readers |= {reader for reader, one in (("CoVe and ELMo", in_context), ("GPT", is_gpt)) if one}
    settings: dict[str, str] = dict(_READ_BY)
    if tags:
        settings["pooling"] = "whole texts"
    elif isinstance(method, Probe):
        del settings["pooling"]  # a probe's own setting, which every encoder uses
    filled = {}
    if whole_model:  # values that older versions filled in and saved
        filled = {"encoder_rate": _RATE_TIMES_WIDTH / whole_model, "embedding_rate": 0.2}
    for each in fields(method):
        value, reader = getattr(method, each.name), settings.get(each.name)
        unread = reader is not None and reader not in readers
        if unread and value not in (each.default, filled.get(each.name)):
            raise SettingsError(
                f"the setting {each.name!r} of {name_of(method)!r} is for {reader}, and {name} "
                "does not use it; remove it"
            )


def _rounded(rate: float) -> float:
    return float(f"{rate:.2g}")


def method_of(transfer: str | Method) -> Method:
    """Return the method of a name, with default settings; return a method unchanged.

    Raises:
        SettingsError: No method has this name.
    """
    if isinstance(transfer, str):
        if transfer not in METHODS:
            known = ", ".join(("auto", *METHODS))
            raise SettingsError(f"unknown transfer {transfer!r}; use one of {known}")
        return METHODS[transfer]()
    if not isinstance(transfer, tuple(METHODS.values())):
        raise SettingsError(f"transfer must be a name or a method, got {transfer!r}")
    return transfer


def name_of(method: Method) -> str:
    """Return the name by which `method_of` finds this kind of method."""
    return next(name for name, kind in METHODS.items() if type(method) is kind)


def needs_an_encoder(method: Method) -> SettingsError:
    """Return the error that a method has no encoder to start from."""
    return SettingsError(
        f"the transfer {name_of(method)!r} needs an encoder; give one (a loaded model holds none "
        "for a new fit; set its encoder)"
    )


def as_plain(method: Method) -> dict[str, Any]:
    """Return the method as a JSON-serializable dict; `from_plain` restores it."""
    return {"name": name_of(method), **asdict(method)}


def from_plain(values: Mapping[str, Any]) -> Method:
    """Restore a method from the result of `as_plain`.

    Raises:
        KeyError, TypeError, SettingsError: The values do not describe a method.
    """
    settings = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k != "name"}
    if isinstance(training := settings.get("training"), Mapping):
        settings["training"] = Training(**training)
    if isinstance(layers := settings.get("layers"), Mapping):
        settings["layers"] = Layers(**layers)
    kind: Callable[..., Method] = METHODS[values["name"]]
    return kind(**settings)
