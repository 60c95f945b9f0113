"""Names of tensors in other people's files, and what is done with tensors once they have ours.

A format is one literal table from their modules (or tensors) to ours, `{}` standing for the number
of a block; it is read in both directions. `None` is left out on purpose. Where two of their tensors
have one name of ours they are tied: both may be in a file, and then must be equal.
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
_OLD_LEAVES = {"gamma": "weight", "beta": "bias"}  # of layer norms, as TensorFlow has them
_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")
_SHOWN = 4


@dataclass(frozen=True)
class Report:
    """What became of the tensors of a file.

    Attributes:
        matched: How many of the model's tensors came from it.
        missing: Tensors of parts that the model can have and the file lacks, by their names.
        unexpected: Tensors of the file that the model has no place for.
    """

    matched: int
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
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
    """Return the first few of many names, for a line that somebody reads."""
    first = list(names)[:_SHOWN]
    return ", ".join(first) + (", .." if len(first) < len(names) else "")


@dataclass
class Translated:
    """Tensors under our names.

    Attributes:
        place: The file, for errors.
        tensors: Each tensor by our name.
        theirs: The file's own name of each.
        unexpected: Names of the file that the table does not know.
        restore: Turns a tensor, given our name, as the file has it.
    """

    place: str
    restore: Arrange
    tensors: dict[str, Tensor] = field(default_factory=dict)
    theirs: dict[str, str] = field(default_factory=dict)
    unexpected: list[str] = field(default_factory=list)


def to_ours(name: str, table: Table) -> str | None:
    """Return our name of their tensor; None if it is left out on purpose.

    Raises:
        KeyError: The table does not know it.

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
    """Return their name of our tensor: the first in the table, where two of theirs are tied.

    Raises:
        KeyError: The table does not know it.
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
    """Return the tensor: theirs and ours are arranged alike."""
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
    """Give tensors our names.

    Args:
        tensors: As in the file.
        table: Their modules and tensors, and ours.
        prefixes: What their names may begin with, or not.
        place: The file, for errors.
        arrange: Turns a tensor, given our name, as our model has it.
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
                f"{place}: {name} differs from {done.theirs[ours]}; headstart's model has one "
                "tensor for both"
            )
    return done


def fill(
    make: Callable[[], Model], translated: Translated, table: Table, *, optional: Iterable[str] = ()
) -> tuple[Model, Report]:
    """Make a model whose every tensor comes from the file.

    Args:
        make: Makes the model; called where tensors take no memory.
        translated: The file's tensors.
        table: Gives missing tensors the names that the file would have.
        optional: Tensors that the model could have but is made without.

    Raises:
        FormatError: Nothing in the file belongs to the model, or a tensor is missing, has another
            shape, or holds no finite numbers.
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
        raise FormatError(f"{place}: {name} should be {sizes[0]}, but is {sizes[1]}")
    check_values(place, name, tensor)
