"""ELMo in the format of its original release: `options.json`, and weights in HDF5 (extra `elmo`).

Peters et al. 2018 (https://arxiv.org/abs/1802.05365). TensorFlow stores an LSTM's gates in the
order input, new, forget, output; has one matrix for its input and its previous output; and adds 1
to the forget gate's bias when it computes. We have another order, two matrices, and the 1 in the
bias.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.errors import FormatError, MissingExtraError
from headstart.hub.foreign.configurations import Configuration
from headstart.hub.foreign.tensor_names import Report
from headstart.hub.foreign.trial import try_reading
from headstart.models.blank import blank_weights
from headstart.models.elmo import Elmo, ElmoConfig
from headstart.storage import read_json
from headstart.tokenize.characters import CHARACTERS, PER_WORD

_OPTIONS, _WEIGHTS = "*options.json", "*weights*.hdf5"
_OURS = ("char_embed", "CNN", "RNN_")  # prefixes of the encoder's own datasets
MOST_LAYERS = 100
_MOST_GROWTH = 20  # when decompressed; more is a decompression bomb


def find_files(folder: Path) -> tuple[Path, Path] | None:
    """Return the paths of a folder's options and weights; None if it contains no ELMo.

    Raises:
        FormatError: It has several option files, or one without exactly one weight file.
    """
    options, weights = (sorted(folder.glob(pattern)) for pattern in (_OPTIONS, _WEIGHTS))
    if not options:
        return None
    if len(options) > 1 or len(weights) != 1:
        raise FormatError(
            f"{folder}: an ELMo is one {_OPTIONS} and one {_WEIGHTS}; found {len(options)} and "
            f"{len(weights)}"
        )
    return options[0], weights[0]


def read_options(path: Path) -> ElmoConfig:
    """Convert the options to our configuration.

    Raises:
        FormatError: An option is missing, invalid, or not supported by our model.
    """
    options = read_json(path)
    for name in ("lstm", "char_cnn"):
        if not isinstance(options.get(name), dict):
            raise FormatError(f"{path}: {name!r} is missing")
    lstm, cnn = options["lstm"], options["char_cnn"]
    letters = Configuration(cnn, f"{path}: char_cnn")
    letters.only("activation", ("relu", "tanh"))
    letters.only("max_characters_per_token", (PER_WORD,))
    letters.only("n_characters", (CHARACTERS - 1, CHARACTERS))
    embedding = cnn.get("embedding")
    if not isinstance(embedding, dict):
        raise FormatError(f"{path}: char_cnn: 'embedding' is missing")
    sizes = Configuration(lstm, f"{path}: lstm")
    layers = sizes.size("n_layers")
    if max(layers, letters.number("n_highway", 0)) > MOST_LAYERS:
        raise FormatError(f"{path}: more than {MOST_LAYERS} layers")
    skip = lstm.get("use_skip_connections", False)
    if not isinstance(skip, bool):
        raise FormatError(f"{path}: lstm: 'use_skip_connections' must be true or false")
    return sizes.checked(
        ElmoConfig,
        filters=_filters(cnn.get("filters"), path),
        character_width=Configuration(embedding, f"{path}: char_cnn: embedding").size("dim"),
        highways=letters.number("n_highway", 0),
        projection=sizes.size("projection_dim"),
        cells=sizes.size("dim"),
        layers=layers,
        skip=skip,
        cell_clip=_clip(lstm, "cell_clip", path),
        projection_clip=_clip(lstm, "proj_clip", path),
        tanh=cnn.get("activation") == "tanh",
    )


def _filters(value: object, path: Path) -> tuple[tuple[int, int], ...]:
    pairs = value if isinstance(value, list) else []
    if not pairs or not all(
        isinstance(pair, list)
        and len(pair) == 2
        and all(type(each) is int and 1 <= each <= 1_000_000 for each in pair)
        for pair in pairs
    ):
        raise FormatError(f"{path}: char_cnn: 'filters' must be pairs of width and number")
    return tuple((width, number) for width, number in pairs)


def _clip(lstm: Mapping[str, Any], name: str, path: Path) -> float | None:
    value = lstm.get(name)
    if value is None:
        return None
    if type(value) not in (int, float):
        raise FormatError(f"{path}: lstm: {name!r} must be a number above 0, got {value!r}")
    return float(value) or None


def try_original(options: Path, weights: Path) -> None:
    """Read the weights in a child process first, before `read_original` does.

    Raises:
        FormatError: They crash the HDF5 library or exceed the limits; or as in `read_options`.
    """
    expected = dict(_expected(read_options(options)))
    _check_total(weights, options, expected.values())
    try_reading("hdf5", weights, shapes=expected)


def read_original(options: Path, weights: Path) -> tuple[Elmo, Report]:
    """Build the model from its options and weights; it has no softmax.

    Raises:
        FormatError: A file is corrupted, or the two do not match; the message names the dataset.
        MissingExtraError: `h5py` is not installed.
    """
    config = read_options(options)
    try:
        import h5py
    except ImportError:
        raise MissingExtraError(
            f"{weights}: reading it needs h5py: pip install 'headstart[elmo]'"
        ) from None
    with blank_weights():
        model = Elmo(config)
    found: dict[str, Tensor] = {}
    try:
        with h5py.File(weights, "r") as file:
            names = _datasets(file, h5py)
            expected = dict(_expected(config))
            _check_total(weights, options, expected.values())
            for name, shape in expected.items():
                _check(file, name, shape, names, f"{weights}", options.name)
            left = [name for name in names if name not in expected]
            if strangers := [name for name in left if name.startswith(_OURS)]:
                raise FormatError(f"{weights}: {strangers[0]} is not in {options.name}")
            read = {name: np.asarray(file[name][()], np.float32) for name in expected}
    except FormatError:
        raise
    except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:  # all h5py's
        raise FormatError(f"{weights}: not readable as HDF5: {error}") from None
    for name, array in read.items():
        if not np.isfinite(array).all():
            raise FormatError(f"{weights}: {name} contains NaN or infinity")
        found.update(_to_ours(name, array, config))
    model = model.to_empty(device="cpu")
    model.load_state_dict(found)
    return model.eval(), Report(len(read), (), tuple(left))


def _check_total(weights: Path, options: Path, shapes: Iterable[tuple[int, ...]]) -> None:
    """Reject sizes that the file cannot contain, before allocating memory for them."""
    total = 4 * sum(map(math.prod, shapes))
    if total > _MOST_GROWTH * weights.stat().st_size:
        raise FormatError(
            f"{weights}: {options.name} describes {total:,} bytes of weights, more than a file of "
            f"{weights.stat().st_size:,} bytes can contain"
        )


def _expected(config: ElmoConfig) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield every dataset and its shape."""
    letters, filters = config.character_width, sum(number for _, number in config.filters)
    width, gates = config.projection, 4 * config.cells
    yield "char_embed", (CHARACTERS - 1, letters)
    for at, (window, number) in enumerate(config.filters):
        yield f"CNN/W_cnn_{at}", (1, window, letters, number)
        yield f"CNN/b_cnn_{at}", (number,)
    for at in range(config.highways):
        for part in ("carry", "transform"):
            yield f"CNN_high_{at}/W_{part}", (filters, filters)
            yield f"CNN_high_{at}/b_{part}", (filters,)
    yield "CNN_proj/W_proj", (filters, width)
    yield "CNN_proj/b_proj", (width,)
    for direction in range(2):
        for layer in range(config.layers):
            cell = f"RNN_{direction}/RNN/MultiRNNCell/Cell{layer}/LSTMCell"
            yield f"{cell}/W_0", (2 * width, gates)
            yield f"{cell}/B", (gates,)
            yield f"{cell}/W_P_0", (config.cells, width)


def _to_ours(
    name: str, array: NDArray[np.float32], config: ElmoConfig
) -> Iterator[tuple[str, Tensor]]:
    """Yield a dataset's tensors under our names."""
    tensor = torch.from_numpy(array)
    group, _, leaf = name.rpartition("/")
    if name == "char_embed":
        yield "tokens.characters.weight", torch.cat([tensor.new_zeros(1, tensor.shape[1]), tensor])
    elif group == "CNN":
        kind, number = leaf[0], leaf.rpartition("_")[2]
        ours = f"tokens.convolutions.{number}"
        if kind == "W":
            yield f"{ours}.weight", tensor[0].permute(2, 1, 0)
        else:
            yield f"{ours}.bias", tensor
    elif group.startswith("CNN_high_"):
        part = "gate" if leaf.endswith("carry") else "transform"
        ours = f"tokens.highways.{group.removeprefix('CNN_high_')}.{part}"
        yield (f"{ours}.weight", tensor.T) if leaf[0] == "W" else (f"{ours}.bias", tensor)
    elif group == "CNN_proj":
        ours = "tokens.projection"
        yield (f"{ours}.weight", tensor.T) if leaf[0] == "W" else (f"{ours}.bias", tensor)
    else:
        direction, layer = group[len("RNN_")], group.split("/")[3].removeprefix("Cell")
        ours = f"lstms.{layer}.directions.{direction}"
        if leaf == "W_0":
            read, recur = _gates(tensor).split(config.projection)
            yield f"{ours}.read.weight", read.T
            yield f"{ours}.recur.weight", recur.T
        elif leaf == "B":
            bias = _gates(tensor).clone()
            bias.chunk(4)[2].add_(1.0)
            yield f"{ours}.read.bias", bias
        else:
            yield f"{ours}.project.weight", tensor.T


def _gates(tensor: Tensor) -> Tensor:
    """Return gates in our order: output, input, forget, new."""
    into, new, keep, out = tensor.chunk(4, -1)
    return torch.cat([out, into, keep, new], -1)


def _datasets(file: Any, h5py: Any) -> list[str]:  # noqa: ANN401 - h5py has no types
    """Return the names of all datasets stored in the file itself, without links."""
    names: list[str] = []

    def note(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and not (item.external or item.is_virtual):
            names.append(name)

    file.visititems(note)  # follows no links out of the file
    return names


def _check(
    file: Any,  # noqa: ANN401
    name: str,
    shape: tuple[int, ...],
    names: list[str],
    place: str,
    options: str,
) -> None:
    if name not in names:
        missing = group = name
        while group and group not in file:
            missing, group = group, group.rpartition("/")[0]
        what = name if missing == name else f"the group {missing}"
        raise FormatError(f"{place}: {what} is missing, but {options} requires it")
    dataset = file[name]
    if dataset.shape != shape:
        wanted, got = ("x".join(map(str, each)) or "a number" for each in (shape, dataset.shape))
        raise FormatError(f"{place}: {name} has shape {got}, but {options} requires {wanted}")
    if dataset.dtype.kind != "f":
        raise FormatError(f"{place}: {name} contains {dataset.dtype}, expected floats")
