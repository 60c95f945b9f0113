"""How long a run may take, with units."""

import math
from dataclasses import dataclass

from headstart.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What a pretraining run may spend; where several are given, the first one reached ends it.

    Attributes:
        epochs: Passes over the corpus.
        tokens: Tokens read, over all passes.
        steps: Updates of the weights, for objectives that have steps.
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
            if not value > 0:
                raise SettingsError(f"{name} must be above 0, got {value}")
            if value == math.inf:
                raise SettingsError(f"{name} must end some time, got {value}")

    def spent(
        self, *, epochs: float = 0.0, tokens: int = 0, steps: int = 0, seconds: float = 0.0
    ) -> float:
        """Return the share of the budget used up: 0 at the start, 1 and above at the end."""
        used = ((epochs, self.epochs), (tokens, self.tokens), (steps, self.steps))
        shares = [done / limit for done, limit in used if limit is not None]
        if self.minutes is not None:
            shares.append(seconds / (60.0 * self.minutes))
        return max(shares)
