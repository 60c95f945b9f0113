"""Random numbers as a pure function of one seed and the names of their purpose.

No two parts of a run share a random stream, and adding a part never changes another's numbers.
"""

import hashlib

import numpy as np


def derive(seed: int, *names: str | int) -> int:
    """Return a seed below 2**63 that depends only on `seed` and the names."""
    text = "\x1f".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """Return the NumPy generator for the part of the run that `names` describe."""
    return np.random.default_rng(derive(seed, *names))
