"""How an encoder reaches the task: frozen values that check themselves when they are made.

Search over whole values, `{"transfer": [FineTune(learning_rate=1e-3), Features()]}`, not over names
nested in them.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, get_args

from headstart.errors import SettingsError
from headstart.models.interface import Pooling


def _check_fields(settings: Any, *, may_be_zero: tuple[str, ...] = ()) -> None:  # noqa: ANN401 - any of the classes below
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
                raise SettingsError(f"pooling must be cls, last or mean, not {value!r}")
        elif each.name in may_be_zero and _is_number(value) and value == 0:
            continue
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


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a neural head is trained; the same for every method, so that none gets more care.

    The number of steps is found on the validation part: training stops `patience` evaluations after
    the lowest loss. Then the model is trained anew on all the labels given for as many passes over
    them, with the rate falling to zero. With 50 labels this is worth more than any other setting.

    Attributes:
        hidden: LSTM units per direction, or units of a head's hidden layer.
        dropout: Share of the embedding and pooled values dropped in training.
        batch_size: Texts per step.
        min_steps: The least number of steps, however few the labels: with ten of them the
            validation part is two, too few to stop early by.
        max_steps: No search for the number of steps goes further; that of a whole model ends after
            fifty passes over the labels, too.
        evaluate_every: The least number of steps between two looks at the validation part; with
            many labels there are more.
        patience: Looks without a loss that is lower by a thousandth, or by five for a whole model,
            than the last one that was, before the search ends.
    """

    hidden: int = 48
    dropout: float = 0.3
    batch_size: int = 32
    min_steps: int = 50
    max_steps: int = 4000
    evaluate_every: int = 10
    patience: int = 4

    def __post_init__(self) -> None:
        if not (_is_number(self.dropout) and 0.0 <= self.dropout < 1.0):
            raise SettingsError(f"dropout must be in [0, 1), got {self.dropout!r}")
        _check_fields(self)


@dataclass(frozen=True, kw_only=True)
class Layers:
    """What of a CoVe or an ELMo replaces the embedding layer.

    All layers of ELMo do, as the task weighs them: `gamma * sum_j softmax(w)_j h_j`, with `w` and
    `gamma` learnt (Peters et al. 2018, equation 1). Of CoVe the upper layer does, beside the word
    vectors that it read: `[GloVe(w); CoVe(w)]` (McCann et al. 2017, section 4).

    Attributes:
        word_vectors: Whether CoVe's states have the word vectors beside them.
        layer_norm: Whether each word's vector is normed, in every layer, before they are weighed.
        l2: What the squares of `w` cost, which pulls towards the mean of all layers; the paper's
            lambda.
        output: Whether a second such sum, with weights of its own, stands beside what the BiLSTM
            says, too.
    """

    word_vectors: bool = True
    layer_norm: bool = False
    l2: float = 1e-3
    output: bool = False

    def __post_init__(self) -> None:
        for name in ("word_vectors", "layer_norm", "output"):
            if not isinstance(getattr(self, name), bool):
                raise SettingsError(f"{name} must be true or false, got {getattr(self, name)!r}")
        if not (_is_number(self.l2) and self.l2 >= 0):
            raise SettingsError(f"l2 must be 0 or more, got {self.l2!r}")


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
    """The model learnt from the task's labels alone: nothing is transferred.

    Without an encoder, the shared pipeline with an embedding layer of its own. With one that
    replaces the whole model, the same architecture from random weights: the control that separates
    transfer from architecture.

    Attributes:
        width: Width of the embeddings, in the pipeline.
        learning_rate: Of the LSTM and the classifier, or of the whole model.
        embedding_rate: Of the embeddings, which start near zero and have far to go.
        training: Everything shared with the other methods.
    """

    width: int = 100
    learning_rate: float | None = None
    embedding_rate: float | None = None
    training: Training | None = None

    def __post_init__(self) -> None:
        _check_fields(self)


@dataclass(frozen=True, kw_only=True)
class Features:
    """The encoder frozen: in place of the embedding layer, or under a head on its pooled states.

    Attributes:
        learning_rate: Of the LSTM and the classifier, or of the head.
        layers: What of a CoVe or an ELMo is read.
        training: Everything shared with the other methods.
    """

    learning_rate: float | None = None
    layers: Layers = Layers()
    training: Training | None = None

    def __post_init__(self) -> None:
        _check_fields(self)


@dataclass(frozen=True, kw_only=True)
class FineTune:
    """The encoder trained on with the task.

    A whole model starts from a linear layer on its frozen states, and then all of it is trained
    (Kumar et al. 2022, https://arxiv.org/abs/2202.10054): with few labels, a random layer's first
    steps would spoil what was pretrained. The layer leaves half of the loss to be learnt. GPT is
    trained on `lm_coef * L_xent + task_coef * L_task`: as it comes, `L_xent + lambda * L_task` with
    lambda as `task_coef`. Radford et al. (2018, section 3.2) have `L_task + 0.5 * L_xent`, which is
    `lm_coef=0.5, task_coef=1`. The ratio of the two matters most: Adam's steps do not depend on the
    scale of the loss as long as gradients are cut at every step, or at none. The scale decides at
    which they are.

    Attributes:
        learning_rate: Of the LSTM and the classifier, or of the whole model at its top.
        encoder_rate: Of word vectors, which are brought to a root mean square of 1 first, or of
            what reads them in context.
        layer_decay: Each layer's rate as a share of the rate of the layer above it.
        pooling: What stands for a text in a whole model: `cls`, `last` or `mean`; by default the
            validation part chooses between the encoder's own and the mean.
        lm_coef: Weight of GPT's language model loss; 0 leaves it out.
        task_coef: Weight of the task's loss beside it.
        layers: What of a CoVe or an ELMo is read.
        training: Everything shared with the other methods.
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
    """Fine-tuning that thaws a whole model from the top, a layer at a time.

    Howard and Ruder, "Universal Language Model Fine-tuning for Text Classification", ACL 2018
    (https://arxiv.org/abs/1801.06146), section 3.3.

    Attributes:
        learning_rate: At the top.
        layer_decay: Each layer's rate as a share of the rate of the layer above it.
        steps_per_layer: Steps until the next layer thaws.
        training: Everything shared with the other methods.
    """

    learning_rate: float | None = None
    layer_decay: float = 0.9
    steps_per_layer: int = 10
    training: Training | None = None

    def __post_init__(self) -> None:
        _check_fields(self)


@dataclass(frozen=True, kw_only=True)
class LowRank:
    """LoRA: only a change of low rank of the attention projections is trained, and the head.

    Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022
    (https://arxiv.org/abs/2106.09685).

    Attributes:
        rank: Rank of the change of each matrix.
        alpha: The change is scaled by `alpha / rank`.
        learning_rate: Of the change and the head.
        training: Everything shared with the other methods.
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
_RATE_TIMES_WIDTH = 0.04  # 5e-5 for BERT's 768, as in the paper; narrower models take more


def with_defaults(
    method: Method,
    *,
    whole_model: int | None,
    in_context: bool = False,
    pairs: bool = False,
    labels: int = 0,
) -> Method:
    """Return the method with every setting filled in that depends on the encoder and is read.

    Args:
        method: The method; what is not None in it stays.
        whole_model: The width of an encoder that replaces the whole model; None for the shared
            pipeline.
        in_context: Whether the encoder replaces the embedding layer and reads words in context.
        pairs: Whether the shared pipeline reads pairs of texts.
        labels: How many there are: with many, the shared pipeline learns at lower rates.
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
    """Return how a method is trained and its learning rate, which `with_defaults` filled in."""
    if method.training is None or method.learning_rate is None:
        raise TypeError("settings are filled in before a method is fitted")
    return method.training, method.learning_rate


_PIPELINE, _WHOLE = "the shared pipeline", "encoders that replace the whole model"
_READ_BY = {  # settings that not every encoder has a use for
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
    """Refuse a setting that an encoder does not read.

    Args:
        method: The method.
        name: The encoder's.
        whole_model: The width of an encoder that replaces the whole model, if it does.
        in_context: Whether the encoder replaces the embedding layer and reads words in context.
        is_gpt: Whether it is a GPT.
        tags: Whether words are tagged, and no state stands for a whole text.

    Raises:
        SettingsError: A setting is no default and would have no effect.
    """
    readers = {_WHOLE} if whole_model else {_PIPELINE, _READ_BY["encoder_rate"]}
    readers |= {reader for reader, one in (("CoVe and ELMo", in_context), ("GPT", is_gpt)) if one}
    settings: dict[str, str] = dict(_READ_BY)
    if tags:
        settings["pooling"] = "whole texts"
    elif isinstance(method, Probe):
        del settings["pooling"]  # another one, which every encoder reads
    filled = {}
    if whole_model:  # by older versions, in what they saved
        filled = {"encoder_rate": _RATE_TIMES_WIDTH / whole_model, "embedding_rate": 0.2}
    for each in fields(method):
        value, reader = getattr(method, each.name), settings.get(each.name)
        unread = reader is not None and reader not in readers
        if unread and value not in (each.default, filled.get(each.name)):
            raise SettingsError(
                f"the setting {each.name!r} of {name_of(method)!r} is for {reader}, and {name} "
                "does not read it; leave it out"
            )


def _rounded(rate: float) -> float:
    return float(f"{rate:.2g}")


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
    if isinstance(layers := settings.get("layers"), Mapping):
        settings["layers"] = Layers(**layers)
    kind: Callable[..., Method] = METHODS[values["name"]]
    return kind(**settings)
