"""Encoders that headstart has no class for: models of `transformers` (extra `hf`)."""

import importlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from headstart.errors import FormatError, MissingExtraError, first_line
from headstart.hub.foreign.huggingface import read_weights
from headstart.hub.foreign.tensor_names import Report, shown
from headstart.weights import FLOATS, check_values

_HIDDEN = "num_hidden_layers"
_PARTS = re.compile("layers?$|blocks|experts|groups|heads")
_MOST_PARTS = 1000
_CODE = re.compile("auto_map|_implementation")  # kernels from the Hub are code too
_SPARE_WEIGHTS = 10_000_000  # for parts that a file may lack, such as a pooler
_TRIED_TOKENS = 8
_NOISE = 1e-5  # relative difference of a state if only the order of sums differs
_PADDING_NOISE = 1e-3  # the same next to padding: Mamba's scan has 1e-5, a convolution 1e-2


class TransformersEncoder(nn.Module):
    """A model of `transformers` as an encoder: the hidden states and groups of its layers.

    Args:
        model: What `transformers.AutoModel` returns.

    Attributes:
        is_causal: Whether a token's state is independent of later tokens; `check` determines it.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.transformer = model
        config: Any = model.config
        self.width = int(config.hidden_size)
        self.takes_segments = getattr(config, "type_vocab_size", 0) > 1
        self.is_causal = False

    def encode(
        self, ids_BT: Tensor, mask_BT: Tensor, segments_BT: Tensor | None = None
    ) -> list[Tensor]:
        """Return the hidden states after the embeddings and after every layer."""
        inputs = {"input_ids": ids_BT, "attention_mask": mask_BT.long()}
        if segments_BT is not None and self.takes_segments:
            inputs["token_type_ids"] = segments_BT
        device = next(self.parameters()).device
        inputs = {name: tensor.to(device) for name, tensor in inputs.items()}
        # A configuration may have `return_dict` false.
        found = self.transformer(**inputs, output_hidden_states=True, return_dict=True)
        return list(found.hidden_states)

    @property
    def positions(self) -> int | None:
        """The maximum sequence length; None if there is no limit."""
        for module in self.transformer.modules():
            table = getattr(module, "position_embeddings", None)
            if isinstance(table, nn.Embedding) and table.padding_idx is not None:
                return table.num_embeddings - table.padding_idx - 1  # RoBERTa and similar models
        limit = getattr(self.transformer.config, "max_position_embeddings", None)
        return limit if type(limit) is int and limit > 0 else None

    @property
    def rows(self) -> int:
        """The number of token embeddings."""
        return self._embeddings().num_embeddings

    def check(self) -> None:
        """Check that embeddings and layers can be found, and encode a few texts.

        Raises:
            FormatError: They cannot, a layer has another width, or padding changes the states.
            Exception: The model does not accept texts in this way; the type depends on the model.
        """
        self._embeddings()
        self._layers()
        length = min(_TRIED_TOKENS, self.positions or _TRIED_TOKENS)
        ids_BT = (torch.arange(2 * length) * self.rows // (2 * length)).view(2, length)
        ids_BT[0, 0] = ids_BT[1, 0]
        with torch.no_grad():
            layers = self.encode(ids_BT, torch.ones_like(ids_BT).bool())
        self._check_widths(layers)
        first_BD = layers[-1][:, 0]
        apart = (first_BD[0] - first_BD[1]).abs().max()
        self.is_causal = bool(apart <= _NOISE * first_BD.abs().max())
        self._check_padding(ids_BT)

    def _check_widths(self, layers: list[Tensor]) -> None:
        for number, layer in enumerate(layers):
            if layer.shape[-1] != self.width:
                raise FormatError(
                    f"its {type(self.transformer).__name__} has states of width {layer.shape[-1]} "
                    f"after layer {number}, but 'hidden_size' is {self.width}; headstart supports "
                    "only layers of one width"
                )

    def _check_padding(self, ids_BT: Tensor) -> None:
        """Encode half a text alone, and padded in a batch: the states must be the same."""
        half = (ids_BT.shape[1] + 1) // 2
        mask_BT = torch.ones_like(ids_BT).bool()
        mask_BT[1, half:] = False
        with torch.no_grad():
            alone_TD = self.encode(ids_BT[1:, :half], mask_BT[1:, :half])[-1][0]
            beside_TD = self.encode(ids_BT * mask_BT, mask_BT)[-1][1, :half]
        apart = (alone_TD - beside_TD).abs().max()
        if not apart <= _PADDING_NOISE * alone_TD.abs().max():
            raise FormatError(
                f"the states of its {type(self.transformer).__name__} change with padding: a "
                "text's states would depend on the other texts in the batch"
            )

    def layer_groups(self) -> list[nn.Module]:
        """Return the part before the layers, then each layer; the last includes what follows."""
        name, layers = self._layers()
        owners = [
            (place, module)
            for place, module in self.transformer.named_modules()
            if next(module.parameters(recurse=False), None) is not None
        ]
        inside = [row for row, (place, _) in enumerate(owners) if place.startswith(f"{name}.")]
        before = [
            # of what contains the layers, only its own parameters, such as XLNet's `mask_emb`
            nn.ParameterList(module.parameters(recurse=False))
            if f"{name}.".startswith(f"{place}." if place else "")
            else module
            for place, module in owners[: inside[0]]
        ]
        after = [module for _, module in owners[inside[-1] + 1 :]]
        top = nn.ModuleList([layers[-1], *after])
        return [nn.ModuleList(before), *layers[:-1], top]

    def _embeddings(self) -> nn.Embedding:
        transformer: Any = self.transformer
        table = transformer.get_input_embeddings()
        if not isinstance(table, nn.Embedding):
            raise FormatError(
                f"its {type(transformer).__name__} has its embeddings in a "
                f"{type(table).__name__}, which headstart does not support"
            )
        return table

    def _layers(self) -> tuple[str, nn.ModuleList]:
        number = getattr(self.transformer.config, _HIDDEN, None)
        for name, module in self.transformer.named_modules():
            if isinstance(module, nn.ModuleList) and len(module) == number:
                return name, module
        raise FormatError(
            f"headstart cannot find the {number} layers of its {type(self.transformer).__name__}"
        )


def load_wrapped(folder: Path, config: Mapping[str, Any]) -> tuple[TransformersEncoder, Report]:
    """Load a model of any kind that is built into `transformers`.

    Args:
        folder: A folder written by `save_pretrained`.
        config: Its `config.json`. References to custom code are ignored.

    Raises:
        MissingExtraError: `transformers` is not installed.
        FormatError: `transformers` has no such model, the weights do not match, none of them
            belongs to the model, or headstart cannot use its structure.
    """
    kind = config.get("model_type")
    transformers = import_transformers(f"{folder}: a model of kind {kind!r}")
    if config.get("is_encoder_decoder"):
        raise FormatError(
            f"{folder}: a {kind!r} is an encoder-decoder model; headstart supports only encoders"
        )
    if kind not in transformers.CONFIG_MAPPING:
        code = "; headstart never runs code that comes with weights" if "auto_map" in config else ""
        raise FormatError(f"{folder}: transformers has no model of kind {kind!r}{code}")
    _check_numbers(folder, config)
    tensors = read_weights(folder)
    with quiet(transformers), torch.random.fork_rng(devices=[]):  # it initializes missing weights
        try:
            sizes = transformers.CONFIG_MAPPING[kind].from_dict(_without_code(config))
            if reads_sparsely(config):
                sizes.attention_type = "original_full"
            classes = transformers.MODEL_MAPPING[type(sizes)]
            class_ = classes[0] if isinstance(classes, tuple) else classes
            _check_size(folder, class_, sizes, tensors)
            model, found = class_.from_pretrained(
                None,
                config=sizes,
                state_dict=tensors,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # reported below
                dtype=torch.float32,
            )
        except FormatError:
            raise
        except Exception as error:
            raise FormatError(
                f"{folder}: transformers cannot load it: {first_line(error)}"
            ) from error
    report = _report(folder, model, found)
    _check_weights(folder, model, tensors)
    with torch.no_grad():
        for name in report.missing:  # unused; zeros are deterministic, random weights are not
            model.state_dict()[name].zero_()
    try:
        with quiet(transformers):
            encoder = TransformersEncoder(model.eval())
            encoder.check()
    except FormatError as error:
        raise FormatError(f"{folder}: {error}") from None
    except Exception as error:
        raise FormatError(
            f"{folder}: its {type(model).__name__} does not accept texts as headstart's encoders "
            f"do: {first_line(error)}"
        ) from error
    return encoder, report


def reads_sparsely(config: Mapping[str, Any]) -> bool:
    """Return whether a configuration has BigBird's sparse attention, with random blocks.

    `transformers` permanently switches to full attention at the first batch of short texts, so a
    text's states would depend on earlier texts. headstart always uses full attention.
    """
    return config.get("attention_type") == "block_sparse"


def _without_code(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return a configuration without fields that make `transformers` download and run code."""
    if isinstance(value, Mapping):
        return {name: _without_code(each) for name, each in value.items() if not _CODE.search(name)}
    return [_without_code(each) for each in value] if isinstance(value, list) else value


def _check_numbers(folder: Path, value: object, name: str = "") -> None:
    """Reject implausible numbers of layers and similar parts before they are built."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            _check_numbers(folder, each, str(key))
    elif type(value) is int and value > _MOST_PARTS and _PARTS.search(name):
        raise FormatError(
            f"{folder}: {name!r} is {value:,}; no model has more than {_MOST_PARTS:,}"
        )


def _check_size(folder: Path, class_: Any, sizes: Any, tensors: Mapping[str, Tensor]) -> None:  # noqa: ANN401 - of an extra
    """Reject a configuration of a model far larger than its file, before allocating memory."""
    with torch.device("meta"):
        asked = sum(tensor.numel() for tensor in class_(sizes).state_dict().values())
    there = sum(tensor.numel() for tensor in tensors.values())
    if asked > 2 * there + _SPARE_WEIGHTS:
        raise FormatError(
            f"{folder}: its configuration describes a model of {asked:,} weights, "
            f"but its files contain {there:,}"
        )


def _report(folder: Path, model: nn.Module, found: Mapping[str, Any]) -> Report:
    missing = sorted(found["missing_keys"])
    total = len(model.state_dict())
    if len(missing) >= total:
        raise FormatError(
            f"{folder}: none of its tensors belongs to the model "
            f"({shown(sorted(found['unexpected_keys']))}); it would start from random weights"
        )
    if found["mismatched_keys"]:
        name, theirs, ours = sorted(found["mismatched_keys"])[0]
        sizes = ["x".join(map(str, shape)) for shape in (ours, theirs)]
        raise FormatError(f"{folder}: {name} has shape {sizes[1]}, expected {sizes[0]}")
    if lost := [name for name in missing if "pooler" not in name]:
        raise FormatError(f"{folder}: {len(lost):,} tensors are missing: {', '.join(lost)}")
    return Report(total - len(missing), tuple(missing), tuple(sorted(found["unexpected_keys"])))


def _check_weights(folder: Path, model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Reject weights that are not finite floats; buffers may be integers (`position_ids`)."""
    parameters = dict(model.named_parameters())
    for name, tensor in tensors.items():
        parts = name.split(".")  # the file may have prefixes that the model does not have
        own = (".".join(parts[start:]) for start in range(len(parts)))
        if tensor.dtype not in FLOATS and any(each in parameters for each in own):
            check_values(folder, name, tensor)
    for name, parameter in parameters.items():
        check_values(folder, name, parameter)


def import_transformers(what: str) -> Any:  # noqa: ANN401 - a module of an extra
    """Return the `transformers` library.

    Raises:
        MissingExtraError: It is not installed; the message begins with `what`, which needs it.
    """
    try:
        return importlib.import_module("transformers")
    except ImportError:
        raise MissingExtraError(
            f"{what} needs the transformers library: pip install 'headstart[hf]'"
        ) from None


@contextmanager
def quiet(transformers: Any) -> Iterator[None]:  # noqa: ANN401 - a module of an extra
    """Suppress the library's messages and progress bars within the block."""
    logging = transformers.utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
