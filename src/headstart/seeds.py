"""Random numbers as a pure function of one seed and the names of their purpose.

No two parts of a run share a random stream, and adding a part never changes another's numbers.
"""

import hashlib
import operator

import numpy as np

from headstart.errors import SettingsError


def as_seed(seed: object) -> int:
    """Return a seed, such as a NumPy integer, as a Python integer.

    Raises:
        SettingsError: It is not a whole number.
    """
    try:
        return operator.index(seed)  # type: ignore[arg-type]
    except TypeError:
        raise SettingsError(f"seed must be a whole number, got {seed!r}") from None


def derive(seed: int, *names: str | int) -> int:
    """Return a seed below 2**63 that depends only on `seed` and the names."""
    text = "\x1f".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """Return the NumPy generator for the part of the run that `names` describe."""
    return np.random.default_rng(derive(seed, *names))
