"""The published MT-LSTM of CoVe: a torch state dict, without its input word vectors.

McCann et al. 2017 (https://github.com/salesforce/cove) published the encoder's two-layer
bidirectional LSTM, 300 + 300 units, as `rnn.weight_ih_l0`, .. `rnn.bias_hh_l1_reverse`. Its input
is GloVe 840B 300d. A word without a vector becomes zeros, as their README says.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from headstart.errors import FormatError
from headstart.hub.bundle import PretrainedWordVectors
from headstart.hub.cove import PretrainedCove
from headstart.hub.foreign.huggingface import read_tensors
from headstart.models.cove import Cove, CoveConfig
from headstart.tokenize.words import UNKNOWN_ID, WordTokenizer
from headstart.weights import check_values

_ENDINGS = {".pth", ".pt"}
_NAME = re.compile(r"(?:[\w.]*\.)?((?:weight|bias)_[ih]h)_l(\d+)(_reverse)?")
_LAYERS = (0, 1)
_PARTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def is_state_dict(path: Path) -> bool:
    """Return whether this is an existing file with an extension that torch uses."""
    return path.suffix in _ENDINGS and path.is_file()


def read_mt_lstm(path: Path) -> dict[str, Tensor]:
    """Return the encoder's tensors under our names.

    Raises:
        FormatError: The file is missing, could run code, is not a two-layer bidirectional LSTM, or
            contains values that are not finite floats.
    """
    if not path.is_file():
        raise FormatError(f"{path}: no such file")
    tensors: dict[str, Tensor] = {}
    for name, tensor in read_tensors(path).items():
        found = _NAME.fullmatch(name)
        if found is None or int(found[2]) not in _LAYERS:
            raise FormatError(
                f"{path}: {name!r} is not a tensor of a two-layer bidirectional LSTM, such as "
                "rnn.weight_ih_l0 or weight_hh_l1_reverse"
            )
        check_values(path, name, tensor)
        part, layer, reverse = found.groups()
        tensors[f"layers.{layer}.{part}_l0{reverse or ''}"] = tensor.float()
    expected = [
        f"layers.{layer}.{part}_l0{reverse}"
        for layer in _LAYERS
        for reverse in ("", "_reverse")
        for part in _PARTS
    ]
    for name in expected:
        if name not in tensors:
            layer, leaf = name.split(".")[1:]
            theirs = leaf.replace("_l0", f"_l{layer}")
            raise FormatError(f"{path}: {theirs!r} is missing; an MT-LSTM has 16 tensors")
    _check_shapes(path, tensors)
    return tensors


def _check_shapes(path: Path, tensors: Mapping[str, Tensor]) -> None:
    first, recurrent = (tensors[f"layers.0.{part}_l0"] for part in ("weight_ih", "weight_hh"))
    width, units = first.shape[-1], recurrent.shape[-1]
    for name, tensor in tensors.items():
        inputs = width if name.startswith("layers.0") else 2 * units
        shape = [4 * units]
        if "weight" in name:
            shape.append(inputs if "_ih" in name else units)
        if list(tensor.shape) != shape:
            leaf = name.split(".")[-1].replace("_l0", f"_l{name.split('.')[1]}")
            raise FormatError(f"{path}: {leaf!r} has shape {list(tensor.shape)}, expected {shape}")


def with_vectors(
    tensors: Mapping[str, Tensor], vectors: PretrainedWordVectors, *, path: Path
) -> PretrainedCove:
    """Return the encoder with its input word vectors; unknown words become zeros.

    Raises:
        FormatError: The vectors have another width, or are of subwords.
    """
    matrix = vectors.model.embedding.weight.detach().clone()
    width = tensors["layers.0.weight_ih_l0"].shape[1]
    if matrix.shape[1] != width:
        raise FormatError(
            f"{path}: needs vectors of {width} dimensions, but {vectors.name} have "
            f"{matrix.shape[1]}; the published CoVe uses GloVe 840B 300d"
        )
    if not isinstance(vectors.tokenizer, WordTokenizer):
        raise FormatError(f"{path}: needs vectors of words, but {vectors.name} are of subwords")
    matrix[UNKNOWN_ID] = 0.0
    config = CoveConfig(
        source_vocabulary=len(matrix),
        vector_width=width,
        hidden=tensors["layers.0.weight_hh_l0"].shape[1],
    )
    model = Cove(config, generator=torch.Generator())
    model.load_state_dict({**tensors, "embedding.weight": matrix})
    lineage = {"source": path.name, "format": "MT-LSTM", "vectors": vectors.name}
    return PretrainedCove.of(model, vectors.tokenizer, None, lineage=lineage)
