"""Checked access to published configurations: sizes within bounds, and supported values."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from headstart.errors import FormatError, SettingsError

Sizes = TypeVar("Sizes")
# Far above any existing model: a file with a larger value is corrupted or malicious.
_MOST = {"num_hidden_layers": 1000, "n_layer": 1000, "vocab_size": 10_000_000}
_MOST_OTHERWISE = 1_000_000
_WIDEST = 65_536
_WIDTHS = ("hidden_size", "n_embd")


@dataclass(frozen=True)
class Configuration:
    """A configuration whose errors name the invalid field.

    Attributes:
        config: The fields.
        place: The file, for error messages.
    """

    config: Mapping[str, Any]
    place: str

    def size(self, name: str, default: int | None = None) -> int:
        """Return a field that must be a whole number above 0, up to a limit above any model's.

        Raises:
            FormatError: It is missing or invalid.
        """
        value = default if self.config.get(name) is None else self.config[name]
        if value is None:
            raise FormatError(f"{self.place}: {name!r} is missing")
        most = _WIDEST if name in _WIDTHS else _MOST.get(name, _MOST_OTHERWISE)
        if type(value) is not int or not 1 <= value <= most:
            raise FormatError(
                f"{self.place}: {name!r} must be a whole number from 1 to {most:,}, got {value!r}"
            )
        return value

    def number(self, name: str, default: int) -> int:
        """Return a field that must be a whole number, 0 or more.

        Raises:
            FormatError: It is invalid.
        """
        value = default if self.config.get(name) is None else self.config[name]
        if type(value) is not int or not 0 <= value <= _MOST_OTHERWISE:
            raise FormatError(
                f"{self.place}: {name!r} must be a whole number from 0 to {_MOST_OTHERWISE:,}, "
                f"got {value!r}"
            )
        return value

    def share(self, name: str, default: float) -> float:
        """Return a field that must be a number in [0, 1).

        Raises:
            FormatError: It is invalid.
        """
        value = default if self.config.get(name) is None else self.config[name]
        if type(value) not in (int, float) or not (math.isfinite(value) and 0 <= value < 1):
            raise FormatError(f"{self.place}: {name!r} must be in [0, 1), got {value!r}")
        return float(value)

    def only(self, name: str, accepted: Sequence[object]) -> None:
        """Check that a field is absent or has one of the accepted values.

        Raises:
            FormatError: It has another value, which our model does not support.
        """
        value = self.config.get(name)
        if value is not None and value not in accepted:
            raise FormatError(
                f"{self.place}: {name!r} is {value!r}; headstart's model supports only "
                f"{' or '.join(map(repr, accepted))}"
            )

    def checked(self, make: Callable[..., Sizes], **sizes: object) -> Sizes:
        """Return `make(**sizes)`.

        Raises:
            FormatError: The sizes are invalid or do not fit together.
        """
        try:
            return make(**sizes)
        except SettingsError as error:
            raise FormatError(f"{self.place}: {error}") from None


def label_fields(classes: Sequence[str]) -> dict[str, Any]:
    """Return the configuration fields with a classifier's class names; empty without classes."""
    if not classes:
        return {}
    return {
        "id2label": {str(number): name for number, name in enumerate(classes)},
        "label2id": {name: number for number, name in enumerate(classes)},
        "problem_type": "single_label_classification",
    }
