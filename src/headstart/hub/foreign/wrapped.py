"""Encoders that headstart has no class for: models of `transformers`, the extra `hf`."""

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
_CODE = re.compile("auto_map|_implementation")  # kernels of the hub are code, too
_SPARE_WEIGHTS = 10_000_000  # of parts that a file may lack, such as a pooler
_TRIED_TOKENS = 8
_NOISE = 1e-5  # of a state, where only the order of sums differs
_PADDING_NOISE = 1e-3  # of a state beside padding: Mamba's scan has 1e-5, a convolution 1e-2


class TransformersEncoder(nn.Module):
    """A model of `transformers` as an encoder: every layer's states, and its layers as groups.

    Args:
        model: What `transformers.AutoModel` returns.

    Attributes:
        is_causal: Whether a token's state knows nothing of what follows; `check` finds it out.
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
        """Return the states after the embeddings and every layer."""
        inputs = {"input_ids": ids_BT, "attention_mask": mask_BT.long()}
        if segments_BT is not None and self.takes_segments:
            inputs["token_type_ids"] = segments_BT
        device = next(self.parameters()).device  # where all is computed
        inputs = {name: tensor.to(device) for name, tensor in inputs.items()}
        # Configurations may say that they want tuples.
        found = self.transformer(**inputs, output_hidden_states=True, return_dict=True)
        return list(found.hidden_states)

    @property
    def positions(self) -> int | None:
        """The longest row; None if there is no limit."""
        for module in self.transformer.modules():
            table = getattr(module, "position_embeddings", None)
            if isinstance(table, nn.Embedding) and table.padding_idx is not None:
                return table.num_embeddings - table.padding_idx - 1  # RoBERTa's kin
        limit = getattr(self.transformer.config, "max_position_embeddings", None)
        return limit if type(limit) is int and limit > 0 else None

    @property
    def rows(self) -> int:
        """How many embeddings of pieces there are."""
        return self._embeddings().num_embeddings

    def check(self) -> None:
        """Check that embeddings and layers are where they are looked for, and read a few texts.

        Raises:
            FormatError: They are not, a layer has another width, or padding changes states.
            Exception: The model reads no texts, or not in this way; each raises what it likes.
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
                    f"its {type(self.transformer).__name__} has {layer.shape[-1]} numbers a token "
                    f"after layer {number}, and 'hidden_size' is {self.width}; headstart takes "
                    "layers of one width"
                )

    def _check_padding(self, ids_BT: Tensor) -> None:
        """Read half a text alone, and padded beside a whole one: the states must be the same."""
        half = (ids_BT.shape[1] + 1) // 2
        mask_BT = torch.ones_like(ids_BT).bool()
        mask_BT[1, half:] = False
        with torch.no_grad():
            alone_TD = self.encode(ids_BT[1:, :half], mask_BT[1:, :half])[-1][0]
            beside_TD = self.encode(ids_BT * mask_BT, mask_BT)[-1][1, :half]
        apart = (alone_TD - beside_TD).abs().max()
        if not apart <= _PADDING_NOISE * alone_TD.abs().max():
            raise FormatError(
                f"the states of its {type(self.transformer).__name__} change with padding: what it "
                "says of a text would depend on the texts beside it"
            )

    def layer_groups(self) -> list[nn.Module]:
        """Return what stands before the layers, every layer, and with the last what follows it."""
        name, layers = self._layers()
        owners = [
            (place, module)
            for place, module in self.transformer.named_modules()
            if next(module.parameters(recurse=False), None) is not None
        ]
        inside = [row for row, (place, _) in enumerate(owners) if place.startswith(f"{name}.")]
        before = [module for _, module in owners[: inside[0]]]
        after = [module for _, module in owners[inside[-1] + 1 :]]
        top = nn.ModuleList([layers[-1], *after])
        return [nn.ModuleList(before), *layers[:-1], top]

    def _embeddings(self) -> nn.Embedding:
        transformer: Any = self.transformer
        table = transformer.get_input_embeddings()
        if not isinstance(table, nn.Embedding):
            raise FormatError(
                f"its {type(transformer).__name__} keeps its embeddings in a "
                f"{type(table).__name__}, which headstart does not know"
            )
        return table

    def _layers(self) -> tuple[str, nn.ModuleList]:
        number = getattr(self.transformer.config, _HIDDEN, None)
        for name, module in self.transformer.named_modules():
            if isinstance(module, nn.ModuleList) and len(module) == number:
                return name, module
        raise FormatError(
            f"its {type(self.transformer).__name__} keeps its {number} layers where headstart does "
            "not find them"
        )


def load_wrapped(folder: Path, config: Mapping[str, Any]) -> tuple[TransformersEncoder, Report]:
    """Read a model of any kind that `transformers` has itself.

    Args:
        folder: A folder as `save_pretrained` writes it.
        config: Its `config.json`. What it says of code of its own is not followed.

    Raises:
        MissingExtraError: `transformers` is not installed.
        FormatError: It knows no such model, the weights do not fit, none of them belongs to the
            model, or headstart cannot find its way about it.
    """
    kind = config.get("model_type")
    transformers = import_transformers(f"{folder}: a model of kind {kind!r}")
    if config.get("is_encoder_decoder"):
        raise FormatError(f"{folder}: a {kind!r} is encoder and decoder; headstart takes encoders")
    if kind not in transformers.CONFIG_MAPPING:
        code = "; headstart runs no code that comes with weights" if "auto_map" in config else ""
        raise FormatError(f"{folder}: transformers has no model of kind {kind!r}{code}")
    _check_numbers(folder, config)
    tensors = read_weights(folder)
    with quiet(transformers), torch.random.fork_rng(devices=[]):  # it draws what is missing
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
                ignore_mismatched_sizes=True,  # we tell them below
                dtype=torch.float32,
            )
        except FormatError:
            raise
        except Exception as error:
            raise FormatError(
                f"{folder}: transformers cannot read it: {first_line(error)}"
            ) from error
    report = _report(folder, model, found)
    _check_weights(folder, model, tensors)
    with torch.no_grad():
        for name in report.missing:  # nothing reads them, and drawn ones are others each time
            model.state_dict()[name].zero_()
    try:
        with quiet(transformers):
            encoder = TransformersEncoder(model.eval())
            encoder.check()
    except FormatError as error:
        raise FormatError(f"{folder}: {error}") from None
    except Exception as error:
        raise FormatError(
            f"{folder}: its {type(model).__name__} does not read texts as headstart's encoders do: "
            f"{first_line(error)}"
        ) from error
    return encoder, report


def reads_sparsely(config: Mapping[str, Any]) -> bool:
    """Return whether a configuration is of BigBird's attention to blocks drawn at random.

    `transformers` leaves it for good at the first batch of short texts, so that what is said of a
    text depends on those read before; here all texts are read with full attention.
    """
    return config.get("attention_type") == "block_sparse"


def _without_code(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return a configuration without what makes `transformers` fetch code and run it."""
    if isinstance(value, Mapping):
        return {name: _without_code(each) for name, each in value.items() if not _CODE.search(name)}
    return [_without_code(each) for each in value] if isinstance(value, list) else value


def _check_numbers(folder: Path, value: object, name: str = "") -> None:
    """Refuse numbers of layers and the like that no model has, before each of them is made."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            _check_numbers(folder, each, str(key))
    elif type(value) is int and value > _MOST_PARTS and _PARTS.search(name):
        raise FormatError(
            f"{folder}: {name!r} is {value:,}; no model has more than {_MOST_PARTS:,}"
        )


def _check_size(folder: Path, class_: Any, sizes: Any, tensors: Mapping[str, Tensor]) -> None:  # noqa: ANN401 - of an extra
    """Refuse a configuration of a model far larger than its file, before it takes memory."""
    with torch.device("meta"):
        asked = sum(tensor.numel() for tensor in class_(sizes).state_dict().values())
    there = sum(tensor.numel() for tensor in tensors.values())
    if asked > 2 * there + _SPARE_WEIGHTS:
        raise FormatError(
            f"{folder}: its configuration is of a model of {asked:,} weights, "
            f"and its files have {there:,}"
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
        raise FormatError(f"{folder}: {name} should be {sizes[0]}, but is {sizes[1]}")
    if lost := [name for name in missing if "pooler" not in name]:
        raise FormatError(f"{folder}: {len(lost):,} tensors are missing: {', '.join(lost)}")
    return Report(total - len(missing), tuple(missing), tuple(sorted(found["unexpected_keys"])))


def _check_weights(folder: Path, model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Refuse weights that are no finite floats; buffers, such as `position_ids`, may be whole."""
    parameters = dict(model.named_parameters())
    for name, tensor in tensors.items():
        parts = name.split(".")  # the file may have prefixes that the model has not
        own = (".".join(parts[start:]) for start in range(len(parts)))
        if tensor.dtype not in FLOATS and any(each in parameters for each in own):
            check_values(folder, name, tensor)
    for name, parameter in parameters.items():
        check_values(folder, name, parameter)


def import_transformers(what: str) -> Any:  # noqa: ANN401 - a module of an extra
    """Return the `transformers` library.

    Raises:
        MissingExtraError: It is not installed; the line begins with `what` needs it.
    """
    try:
        return importlib.import_module("transformers")
    except ImportError:
        raise MissingExtraError(
            f"{what} needs the transformers library: pip install 'headstart[hf]'"
        ) from None


@contextmanager
def quiet(transformers: Any) -> Iterator[None]:  # noqa: ANN401 - a module of an extra
    """Keep the library's messages and bars away while the block runs; then all is as it was."""
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
