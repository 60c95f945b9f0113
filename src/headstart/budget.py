"""How much a pretraining run may spend."""

import math
from dataclasses import dataclass

from headstart.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Limits of a pretraining run. With several limits, the first one reached ends the run.

    Attributes:
        epochs: Epochs over the corpus.
        tokens: Tokens processed, over all epochs.
        steps: Weight updates, for objectives that have steps.
        minutes: Wall-clock minutes of training.

    Example:
        >>> Budget(epochs=2, minutes=5).spent(epochs=1.0, seconds=30.0)
        0.5
    """

    epochs: float | None = None
    tokens: int | None = None
    steps: int | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        limits = {name: value for name, value in vars(self).items() if value is not None}
        if not limits:
            raise SettingsError("a budget needs at least one of: epochs, tokens, steps, minutes")
        for name, value in limits.items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise SettingsError(f"{name} must be a number, got {value!r}")
            if not value > 0:
                raise SettingsError(f"{name} must be above 0, got {value}")
            if value == math.inf:
                raise SettingsError(f"{name} must be finite, got {value}")

    def spent(
        self, *, epochs: float = 0.0, tokens: int = 0, steps: int = 0, seconds: float = 0.0
    ) -> float:
        """Return the share of the budget used so far: 0 at the start, 1 or more at the end."""
        used = ((epochs, self.epochs), (tokens, self.tokens), (steps, self.steps))
        shares = [done / limit for done, limit in used if limit is not None]
        if self.minutes is not None:
            shares.append(seconds / (60.0 * self.minutes))
        return max(shares)
