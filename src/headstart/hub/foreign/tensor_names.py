"""Rename the tensors of published files to our names, and fill our models with them.

Each format is a table from their modules (or tensors) to ours, used in both directions; `{}` is the
number of a block. Tensors mapped to `None` are ignored on purpose. If two of their tensors map to
the same name of ours they are tied: a file may contain both, and then they must be equal.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from headstart.errors import FormatError
from headstart.models.blank import blank_weights
from headstart.weights import check_values

Table = Mapping[str, str | None]
Model = TypeVar("Model", bound=nn.Module)
Arrange = Callable[[str, Tensor], Tensor]
_OLD_LEAVES = {"gamma": "weight", "beta": "bias"}  # TensorFlow's names in layer norms
_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")
_SHOWN = 4


@dataclass(frozen=True)
class Report:
    """Which tensors of a file were loaded.

    Attributes:
        matched: Number of the model's tensors loaded from the file.
        missing: Names of tensors, in optional parts of the model, that the file does not contain.
        unexpected: Names of tensors in the file that the model does not have.
    """

    matched: int
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values for JSON."""
        return {
            "matched": self.matched,
            "missing": list(self.missing),
            "unexpected": list(self.unexpected),
        }

    def __str__(self) -> str:
        parts = [f"{self.matched:,} tensors matched"]
        for what in ("missing", "unexpected"):
            if names := getattr(self, what):
                parts.append(f"{len(names):,} {what}: {shown(names)}")
        return "; ".join(parts)


def shown(names: Collection[str]) -> str:
    """Return the first few names, for a message."""
    first = list(names)[:_SHOWN]
    return ", ".join(first) + (", .." if len(first) < len(names) else "")


@dataclass
class Translated:
    """Tensors under our names.

    Attributes:
        place: The file, for error messages.
        tensors: Each tensor by our name.
        theirs: The file's name of each tensor, by our name.
        unexpected: Names in the file that are not in the table.
        restore: Converts a tensor, given our name, to the file's layout.
    """

    place: str
    restore: Arrange
    tensors: dict[str, Tensor] = field(default_factory=dict)
    theirs: dict[str, str] = field(default_factory=dict)
    unexpected: list[str] = field(default_factory=list)


def to_ours(name: str, table: Table) -> str | None:
    """Return our name for their tensor; None if it is ignored on purpose.

    Raises:
        KeyError: The name is not in the table.

    Example:
        >>> to_ours("layer.7.norm.gamma", {"layer.{}.norm": "blocks.{}.norm"})
        'blocks.7.norm.weight'
    """
    number = _NUMBER.search(name)
    pattern = _NUMBER.sub("{}", name, count=1)
    if pattern in table:
        ours = table[pattern]
    else:
        module, _, leaf = pattern.rpartition(".")
        leaf = _OLD_LEAVES.get(leaf, leaf)
        whole = f"{module}.{leaf}"
        ours = table[whole] if whole in table else table[module]
        if ours is not None and whole not in table:
            ours = f"{ours}.{leaf}"
    return ours if ours is None or number is None else ours.replace("{}", number[0])


def to_theirs(name: str, table: Table) -> str:
    """Return their name for our tensor: the first in the table if two of theirs are tied.

    Raises:
        KeyError: The name is not in the table.
    """
    number = _NUMBER.search(name)
    pattern = _NUMBER.sub("{}", name, count=1)
    module, _, leaf = pattern.rpartition(".")
    for theirs, ours in table.items():
        if ours in (pattern, module):
            found = theirs if ours == pattern else f"{theirs}.{leaf}"
            return found if number is None else found.replace("{}", number[0])
    raise KeyError(name)


def unchanged(name: str, tensor: Tensor) -> Tensor:
    """Return the tensor unchanged: both formats use the same layout."""
    del name
    return tensor


def translate(
    tensors: Mapping[str, Tensor],
    table: Table,
    *,
    prefixes: Collection[str],
    place: str,
    arrange: Arrange = unchanged,
    restore: Arrange = unchanged,
) -> Translated:
    """Rename tensors to our names.

    Args:
        tensors: The tensors of the file.
        table: From their names to ours.
        prefixes: Optional prefixes of their names.
        place: The file, for error messages.
        arrange: Converts a tensor, given our name, to our model's layout.
        restore: The inverse of `arrange`.

    Raises:
        FormatError: Two tensors that should be tied differ.
    """
    done = Translated(place, restore)
    for name, tensor in tensors.items():
        bare = name
        for prefix in prefixes:
            bare = bare.removeprefix(prefix)
        try:
            ours = to_ours(bare, table)
        except KeyError:
            done.unexpected.append(name)
            continue
        if ours is None:
            continue
        turned = arrange(ours, tensor)
        if ours not in done.tensors:
            done.tensors[ours], done.theirs[ours] = turned, name
        elif not torch.equal(done.tensors[ours], turned):
            raise FormatError(
                f"{place}: {name} differs from {done.theirs[ours]}; headstart's model ties them, "
                "so they must be equal"
            )
    return done


def fill(
    make: Callable[[], Model], translated: Translated, table: Table, *, optional: Iterable[str] = ()
) -> tuple[Model, Report]:
    """Build a model and load all of its tensors from the file.

    Args:
        make: Builds the model; called with blank weights, which take no memory.
        translated: The file's tensors.
        table: Gives the file's names for missing tensors.
        optional: Tensors of optional parts that this model is built without.

    Raises:
        FormatError: Nothing in the file belongs to the model, or a tensor is missing, has another
            shape, or contains values that are not finite numbers.
    """
    place, tensors = translated.place, translated.tensors
    with blank_weights():
        model = make()
    expected = model.state_dict()
    if not tensors.keys() & expected.keys():
        raise FormatError(
            f"{place}: none of its {len(tensors) + len(translated.unexpected):,} tensors belongs "
            f"to the model ({shown(translated.unexpected)}); it would start from random weights"
        )
    if missing := [to_theirs(name, table) for name in expected if name not in tensors]:
        raise FormatError(f"{place}: {len(missing):,} tensors are missing: {', '.join(missing)}")
    for name, like in expected.items():
        _check(translated, name, like)
    own = {
        name: torch.empty(like.shape, dtype=like.dtype).copy_(tensors[name])
        for name, like in expected.items()
    }
    model.load_state_dict(own, assign=True)
    left = [translated.theirs[name] for name in tensors if name not in expected]
    report = Report(
        matched=len(expected),
        missing=tuple(to_theirs(name, table) for name in optional if name not in tensors),
        unexpected=(*translated.unexpected, *left),
    )
    return model.eval(), report


def _check(translated: Translated, ours: str, like: Tensor) -> None:
    place, name, tensor = translated.place, translated.theirs[ours], translated.tensors[ours]
    if tensor.shape != like.shape:
        both = (translated.restore(ours, each) for each in (like, tensor))
        sizes = ["x".join(map(str, each.shape)) or "a number" for each in both]
        raise FormatError(f"{place}: {name} has shape {sizes[1]}, expected {sizes[0]}")
    check_values(place, name, tensor)
