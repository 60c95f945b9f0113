"""BERT and RoBERTa of `transformers`: convert configuration and tensors in both directions."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from headstart.errors import FormatError, SettingsError
from headstart.hub.foreign.configurations import Configuration, label_fields
from headstart.hub.foreign.tensor_names import Report, Table, Translated, fill, to_theirs, translate
from headstart.models.bert import Bert, BertConfig
from headstart.models.blank import blank_weights
from headstart.tokenize.subwords import Specials

Family = Literal["bert", "roberta"]
Classifier = tuple[Tensor, Tensor]

_ENCODER: Table = {
    "embeddings.word_embeddings": "embeddings.tokens",
    "embeddings.position_embeddings": "embeddings.positions",
    "embeddings.token_type_embeddings": "embeddings.segments",
    "embeddings.LayerNorm": "embeddings.norm",
    "embeddings.position_ids": None,
    "embeddings.token_type_ids": None,
    "encoder.layer.{}.attention.self.query": "blocks.{}.query",
    "encoder.layer.{}.attention.self.key": "blocks.{}.key",
    "encoder.layer.{}.attention.self.value": "blocks.{}.value",
    "encoder.layer.{}.attention.output.dense": "blocks.{}.out",
    "encoder.layer.{}.attention.output.LayerNorm": "blocks.{}.attention_norm",
    "encoder.layer.{}.intermediate.dense": "blocks.{}.up",
    "encoder.layer.{}.output.dense": "blocks.{}.down",
    "encoder.layer.{}.output.LayerNorm": "blocks.{}.feed_forward_norm",
    "pooler.dense": "pooler",
}
_BERT: Table = {
    **_ENCODER,
    "cls.predictions.transform.dense": "mlm.dense",
    "cls.predictions.transform.LayerNorm": "mlm.norm",
    "cls.predictions.bias": "mlm.bias",
    "cls.predictions.decoder.weight": "embeddings.tokens.weight",
    "cls.predictions.decoder.bias": "mlm.bias",
    "cls.seq_relationship": "nsp",
}
_ROBERTA: Table = {
    **_ENCODER,
    "lm_head.dense": "mlm.dense",
    "lm_head.layer_norm": "mlm.norm",
    "lm_head.bias": "mlm.bias",
    "lm_head.decoder.weight": "embeddings.tokens.weight",
    "lm_head.decoder.bias": "mlm.bias",
}
_TABLES: dict[Family, Table] = {"bert": _BERT, "roberta": _ROBERTA}
_CLASSIFIERS: dict[Family, Table] = {
    "bert": {**_BERT, "classifier": "classifier"},
    "roberta": {
        **_ROBERTA,
        "pooler.dense": None,
        "classifier.dense": "pooler",
        "classifier.out_proj": "classifier",
    },
}
_PREFIXES = ("bert.", "roberta.")
_HEADS = ("cls.", "lm_head.", "classifier.")
_POSITIONS = "embeddings.positions.weight"
_PARTS = ("pooler", "mlm", "nsp")
_GELU = ("gelu", "gelu_python")
_PAD = {"bert": 0, "roberta": 1}
# Theirs always has a pooler before the classifier. If ours has none, we save a scaled identity:
# tanh(x / 2**14) is x / 2**14 to the last bits of a 32-bit float, and powers of two undo exactly.
_SHRUNK = 2.0**-14


def family_of(config: Mapping[str, Any]) -> Family | None:
    """Return whether a configuration is of BERT or RoBERTa; None if neither."""
    name = config.get("model_type")
    return name if name in get_args(Family) else None


def read_config(config: Mapping[str, Any], *, place: str) -> BertConfig:
    """Convert their configuration to ours.

    Raises:
        FormatError: A field is missing, invalid, or not supported by our model.
    """
    settings = Configuration(config, place)
    settings.only("position_embedding_type", ("absolute",))
    settings.only("is_decoder", (False,))
    settings.only("add_cross_attention", (False,))
    settings.only("hidden_act", _GELU)
    if config.get("pruned_heads"):
        raise FormatError(f"{place}: 'pruned_heads' is set; pruned heads are not supported")
    skipped = _skipped(config, place)
    positions = settings.size("max_position_embeddings")
    if positions <= skipped:
        raise FormatError(f"{place}: 'max_position_embeddings' must be above {skipped}")
    return settings.checked(
        BertConfig,
        vocabulary_size=settings.size("vocab_size"),
        width=settings.size("hidden_size"),
        layers=settings.size("num_hidden_layers"),
        heads=settings.size("num_attention_heads"),
        feed_forward=settings.size("intermediate_size"),
        positions=positions - skipped,
        segments=settings.size("type_vocab_size", 2),
        dropout=settings.share("hidden_dropout_prob", 0.1),
        norm_eps=settings.share("layer_norm_eps", 1e-12),
    )


def _skipped(config: Mapping[str, Any], place: str) -> int:
    """Return the position of the first token: RoBERTa counts from the padding id plus one."""
    if family_of(config) != "roberta":
        return 0
    return Configuration(config, place).number("pad_token_id", _PAD["roberta"]) + 1


def from_transformers(
    config: Mapping[str, Any], tensors: Mapping[str, Tensor], *, place: str
) -> tuple[Bert, Report]:
    """Build the encoder, with the heads that the file contains.

    Args:
        config: Their `config.json`.
        tensors: Their tensors by name.
        place: The folder, for error messages.

    Raises:
        FormatError: Configuration and tensors do not match each other or our model; for example,
            no tensor of the file belongs to the model.
    """
    table = _TABLES[family_of(config) or "bert"]
    return _fill(read_config(config, place=place), config, tensors, table, place)[:2]


def classifier_from_transformers(
    config: Mapping[str, Any], tensors: Mapping[str, Tensor], *, place: str
) -> tuple[Bert, Classifier, Report]:
    """Build the encoder and the classifier of a `ForSequenceClassification`.

    Raises:
        FormatError: As in `from_transformers`, or there is no classifier.
    """
    table = _CLASSIFIERS[family_of(config) or "bert"]
    sizes = read_config(config, place=place)
    model, report, found = _fill(sizes, config, tensors, table, place)
    try:
        weight, bias = (found.tensors[f"classifier.{leaf}"].float() for leaf in ("weight", "bias"))
    except KeyError:
        raise FormatError(f"{place}: has no classifier") from None
    if weight.shape != (*bias.shape, sizes.width):
        raise FormatError(
            f"{place}: the classifier has shape {'x'.join(map(str, weight.shape))}, expected "
            f"{len(bias)}x{sizes.width}"
        )
    ours = {found.theirs[f"classifier.{leaf}"] for leaf in ("weight", "bias")}
    report = Report(
        report.matched + 2,
        report.missing,
        tuple(name for name in report.unexpected if name not in ours),
    )
    if model.pooler is not None and torch.equal(model.pooler.weight, _identity(sizes.width)):
        model.pooler = None
        weight = weight * _SHRUNK
    return model, (weight, bias), report


def _fill(
    sizes: BertConfig,
    config: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    table: Table,
    place: str,
) -> tuple[Bert, Report, Translated]:
    skipped = _skipped(config, place)
    found = translate(
        tensors,
        table,
        prefixes=_PREFIXES,
        place=place,
        arrange=lambda name, tensor: _cut(name, tensor, skipped),
        restore=lambda name, tensor: _extend(name, tensor, skipped),
    )
    with blank_weights():
        whole = Bert(sizes).state_dict()
    has = {part: any(_part(name) == part for name in found.tensors) for part in _PARTS}
    has["nsp"] &= has["pooler"]
    lacking = {part for part in _PARTS if not has[part]}
    if "nsp" not in table.values():
        lacking.discard("nsp")
    optional = [name for name in whole if _part(name) in lacking]

    def make() -> Bert:
        return Bert(sizes, pooler=has["pooler"], mlm=has["mlm"], nsp=has["nsp"])

    model, report = fill(make, found, table, optional=optional)
    return model, report, found


def _cut(name: str, tensor: Tensor, skipped: int) -> Tensor:
    return tensor[skipped:] if name == _POSITIONS and tensor.ndim else tensor


def _extend(name: str, tensor: Tensor, skipped: int) -> Tensor:
    if name != _POSITIONS or not tensor.ndim:
        return tensor
    return torch.cat([tensor.new_zeros(skipped, *tensor.shape[1:]), tensor])


def _part(name: str) -> str:
    return name.partition(".")[0]


def to_transformers(
    model: Bert,
    *,
    specials: Specials,
    family: Family = "bert",
    classifier: tuple[Tensor, Tensor | None] | None = None,
    classes: Sequence[str] = (),
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the `config.json` and the tensors for `transformers`.

    Args:
        model: The encoder.
        specials: The ids of its tokenizer's special tokens.
        family: The family whose positions, names and heads to use.
        classifier: Weight `[C, D]` and bias `[C]` of a classifier on `model.pool` of [CLS].
        classes: The names of the C classes.

    Raises:
        SettingsError: The family has no such head.
    """
    if family == "roberta" and model.nsp is not None and classifier is None:
        raise SettingsError("RoBERTa has no next-sentence head; export it as BERT")
    sizes = model.config
    pad = _PAD[family] if specials.pad is None else specials.pad
    skipped = pad + 1 if family == "roberta" else 0
    tensors = {
        name: _extend(name, tensor.detach(), skipped) for name, tensor in model.state_dict().items()
    }
    table = _TABLES[family]
    if classifier is not None:
        table = _CLASSIFIERS[family]
        tensors = {name: t for name, t in tensors.items() if _part(name) not in ("mlm", "nsp")}
        tensors |= _classifier_tensors(model, *classifier)
    architecture = _architecture(model, family, classifies=classifier is not None)
    prefix = "" if architecture.endswith("Model") else f"{family}."
    named = {}
    for name, tensor in tensors.items():
        theirs = to_theirs(name, table)
        named[theirs if theirs.startswith(_HEADS) else prefix + theirs] = tensor
    config = {
        "model_type": family,
        "architectures": [architecture],
        "vocab_size": sizes.vocabulary_size,
        "hidden_size": sizes.width,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "intermediate_size": sizes.feed_forward,
        "max_position_embeddings": sizes.positions + skipped,
        "type_vocab_size": sizes.segments,
        "hidden_act": "gelu",
        "hidden_dropout_prob": sizes.dropout,
        "attention_probs_dropout_prob": 0.0,
        "layer_norm_eps": sizes.norm_eps,
        "pad_token_id": pad,
        "bos_token_id": specials.cls if family == "roberta" else None,
        "eos_token_id": specials.sep if family == "roberta" else None,
        "tie_word_embeddings": True,
    }
    return config | label_fields(classes), named


def _classifier_tensors(model: Bert, weight: Tensor, bias: Tensor | None) -> dict[str, Tensor]:
    weight = weight.detach().float()
    tensors = {}
    if model.pooler is None:
        tensors["pooler.weight"] = _identity(model.width)
        tensors["pooler.bias"] = torch.zeros(model.width)
        weight = weight / _SHRUNK
    tensors["classifier.weight"] = weight
    tensors["classifier.bias"] = torch.zeros(len(weight)) if bias is None else bias.detach()
    return tensors


def _identity(width: int) -> Tensor:
    return torch.eye(width) * _SHRUNK


def _architecture(model: Bert, family: Family, *, classifies: bool) -> str:
    name = {"bert": "Bert", "roberta": "Roberta"}[family]
    if classifies:
        return f"{name}ForSequenceClassification"
    if model.mlm is not None:
        return f"{name}ForPreTraining" if model.nsp is not None else f"{name}ForMaskedLM"
    return "BertForNextSentencePrediction" if model.nsp is not None else f"{name}Model"
