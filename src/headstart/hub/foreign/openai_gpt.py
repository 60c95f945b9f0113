"""GPT-1 and GPT-2 of `transformers`: convert configuration and tensors in both directions."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from headstart.errors import FormatError, SettingsError
from headstart.hub.foreign.configurations import Configuration, label_fields
from headstart.hub.foreign.tensor_names import Report, Table, Translated, fill, to_theirs, translate
from headstart.models.gpt import Gpt, GptConfig
from headstart.tokenize.subwords import Specials

Family = Literal["gpt2", "openai-gpt"]

_BLOCKS: Table = {
    "h.{}.ln_1": "blocks.{}.attention_norm",
    "h.{}.attn.c_attn": "blocks.{}.qkv",
    "h.{}.attn.c_proj": "blocks.{}.out",
    "h.{}.attn.bias": None,  # the causal mask, and its value for masked positions
    "h.{}.attn.masked_bias": None,
    "h.{}.ln_2": "blocks.{}.feed_forward_norm",
    "h.{}.mlp.c_fc": "blocks.{}.up",
    "h.{}.mlp.c_proj": "blocks.{}.down",
}
_TABLES: dict[Family, Table] = {
    "gpt2": {
        "wte": "tokens",
        "wpe": "positions",
        "ln_f": "norm",
        **_BLOCKS,
        "lm_head.weight": "tokens.weight",
    },
    "openai-gpt": {
        "tokens_embed": "tokens",
        "positions_embed": "positions",
        "position_ids": None,
        **_BLOCKS,
        "lm_head.weight": "tokens.weight",
    },
}
_PREFIXES = ("transformer.",)
_TURNED = (".qkv.weight", ".out.weight", ".up.weight", ".down.weight")  # theirs are [in, out]
_SCORE = "score.weight"
_CLASSES = {"gpt2": "GPT2", "openai-gpt": "OpenAIGPT"}


def family_of(config: Mapping[str, Any]) -> Family | None:
    """Return whether a configuration is of GPT-1 or GPT-2; None if neither."""
    name = config.get("model_type")
    return name if name in get_args(Family) else None


def read_config(config: Mapping[str, Any], *, place: str) -> GptConfig:
    """Convert their configuration to ours.

    Raises:
        FormatError: A field is missing, invalid, or not supported by our model.
    """
    settings = Configuration(config, place)
    width = settings.size("n_embd")
    feed_forward = 4 * width
    if family_of(config) == "openai-gpt":
        settings.only("afn", ("gelu",))
        tanh_gelu = True  # GPT-1's "gelu" is the tanh approximation
    else:
        settings.only("activation_function", ("gelu_new", "gelu_pytorch_tanh", "gelu"))
        settings.only("scale_attn_weights", (True,))
        settings.only("scale_attn_by_inverse_layer_idx", (False,))
        settings.only("reorder_and_upcast_attn", (False,))
        settings.only("add_cross_attention", (False,))
        tanh_gelu = config.get("activation_function") != "gelu"
        feed_forward = settings.size("n_inner", feed_forward)
    return settings.checked(
        GptConfig,
        vocabulary_size=settings.size("vocab_size"),
        width=width,
        layers=settings.size("n_layer"),
        heads=settings.size("n_head"),
        feed_forward=feed_forward,
        positions=settings.size("n_ctx" if "n_positions" not in config else "n_positions"),
        norm_first=family_of(config) != "openai-gpt",
        tanh_gelu=tanh_gelu,
        dropout=settings.share("resid_pdrop", 0.1),
        norm_eps=settings.share("layer_norm_epsilon", 1e-5),
    )


def from_transformers(
    config: Mapping[str, Any], tensors: Mapping[str, Tensor], *, place: str
) -> tuple[Gpt, Report]:
    """Build the decoder.

    Args:
        config: Their `config.json`.
        tensors: Their tensors by name.
        place: The folder, for error messages.

    Raises:
        FormatError: Configuration and tensors do not match each other or our model; for example,
            no tensor of the file belongs to the model.
    """
    return _fill(config, tensors, place)[:2]


def classifier_from_transformers(
    config: Mapping[str, Any], tensors: Mapping[str, Tensor], *, place: str
) -> tuple[Gpt, tuple[Tensor, Tensor], Report]:
    """Build the decoder and the classifier of a `ForSequenceClassification`; the bias is zero.

    Raises:
        FormatError: As in `from_transformers`, or there is no classifier.
    """
    model, report, _ = _fill(config, tensors, place)
    weight = tensors.get(_SCORE)
    if weight is None:
        raise FormatError(f"{place}: has no classifier")
    if weight.ndim != 2 or weight.shape[1] != model.width:
        raise FormatError(
            f"{place}: {_SCORE} should have the model's width of {model.width}, but its shape is "
            f"{'x'.join(map(str, weight.shape))}"
        )
    left = tuple(name for name in report.unexpected if name != _SCORE)
    weight = weight.float()
    return (
        model,
        (weight, weight.new_zeros(len(weight))),
        Report(report.matched + 1, report.missing, left),
    )


def _fill(
    config: Mapping[str, Any], tensors: Mapping[str, Tensor], place: str
) -> tuple[Gpt, Report, Translated]:
    sizes = read_config(config, place=place)
    table = _TABLES[family_of(config) or "gpt2"]
    found = translate(tensors, table, prefixes=_PREFIXES, place=place, arrange=_turn, restore=_turn)
    model, report = fill(lambda: Gpt(sizes), found, table)
    return model, report, found


def _turn(name: str, tensor: Tensor) -> Tensor:
    return tensor.T if name.endswith(_TURNED) and tensor.ndim == 2 else tensor


def to_transformers(
    model: Gpt,
    *,
    specials: Specials,
    classifier: tuple[Tensor, Tensor | None] | None = None,
    classes: Sequence[str] = (),
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the `config.json` and the tensors for `transformers`.

    Args:
        model: The decoder; saved as GPT-2 if it is pre-norm, as GPT-1 if it is post-norm.
        specials: The ids of its tokenizer's special tokens.
        classifier: Weight `[C, D]` and bias `[C]` of a classifier on the last token's state.
            `transformers` has no bias there, so it must be None or zero.
        classes: The names of the C classes.

    Raises:
        SettingsError: `transformers` cannot represent this model.
    """
    sizes = model.config
    family: Family = "gpt2" if sizes.norm_first else "openai-gpt"
    if family == "openai-gpt" and not (sizes.tanh_gelu and sizes.feed_forward == 4 * sizes.width):
        raise SettingsError(
            "a GPT-1 of transformers has the tanh GELU and a feed-forward layer of 4 times the "
            f"width; this one has tanh_gelu={sizes.tanh_gelu} and feed_forward={sizes.feed_forward}"
        )
    table = _TABLES[family]
    named = {
        f"transformer.{to_theirs(name, table)}": _turn(name, tensor.detach()).contiguous()
        for name, tensor in model.state_dict().items()
    }
    kind = f"{_CLASSES[family]}LMHeadModel"
    if classifier is not None:
        weight, bias = classifier
        if bias is not None and bool(torch.any(bias != 0)):
            raise SettingsError(
                "a classifier on GPT has no bias in transformers; train it without one"
            )
        named[_SCORE] = weight.detach()
        kind = f"{_CLASSES[family]}ForSequenceClassification"
    config: dict[str, Any] = {
        "model_type": family,
        "architectures": [kind],
        "vocab_size": sizes.vocabulary_size,
        "n_positions": sizes.positions,
        "n_embd": sizes.width,
        "n_layer": sizes.layers,
        "n_head": sizes.heads,
        "resid_pdrop": sizes.dropout,
        "embd_pdrop": sizes.dropout,
        "attn_pdrop": 0.0,
        "layer_norm_epsilon": sizes.norm_eps,
        "pad_token_id": padding_id(specials),
        "bos_token_id": specials.end,
        "eos_token_id": specials.end,
        "tie_word_embeddings": True,
    }
    if family == "gpt2":
        config["n_inner"] = sizes.feed_forward
        config["activation_function"] = "gelu_new" if sizes.tanh_gelu else "gelu"
    else:
        config["afn"] = "gelu"
    return config | label_fields(classes), named


def padding_id(specials: Specials) -> int | None:
    """Return the padding id; published GPTs have no padding token and use another one."""
    for lent in (specials.pad, specials.end, specials.unknown):
        if lent is not None:
            return lent
    return None
