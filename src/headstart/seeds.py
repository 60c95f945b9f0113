"""Random numbers as a pure function of one seed and the names of what they are for.

Two parts of a run never share a stream, and adding a part never shifts another's numbers.
"""

import hashlib

import numpy as np


def derive(seed: int, *names: str | int) -> int:
    """Return a seed below 2**63 that depends on `seed` and every name, and on nothing else."""
    text = "\x1f".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """Return numpy's generator for the part of the run that `names` describe."""
    return np.random.default_rng(derive(seed, *names))
