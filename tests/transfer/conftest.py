"""A task whose class is carried by synonyms: few of them are in the labels, all have vectors."""

import numpy as np
import pytest

from headstart.hub.bundle import PretrainedWordVectors
from headstart.transfer.methods import Training


@pytest.fixture(scope="session")
def encoder():
    """100 words: 40 good, 40 bad, and 20 that say nothing."""
    random = np.random.default_rng(0)
    matrix = random.normal(scale=0.3, size=(100, 8))
    matrix[:40, 0] += 1.0
    matrix[40:80, 0] -= 1.0
    words = [f"{kind}{n}" for kind in ("good", "bad") for n in range(40)]
    words += [f"plain{n}" for n in range(20)]
    return PretrainedWordVectors.from_words(
        "glove", words, np.float32(matrix), config={"width": 8}, lineage={"source": "made up"}
    )


@pytest.fixture(scope="session")
def make_task():
    """Make texts, half of them good: three words that say so and two that say nothing."""

    def make(number, *, first, last, seed=0):
        random = np.random.default_rng(seed)
        texts, labels = [], []
        for kind in ("good", "bad") * (number // 2):
            telling = [f"{kind}{n}" for n in random.integers(first, last, 3)]
            plain = [f"plain{n}" for n in random.integers(0, 10, 2)]
            texts.append(" ".join(random.permutation(telling + plain)))
            labels.append(kind)
        return texts, labels

    return make


@pytest.fixture(scope="session")
def task(make_task):
    """Twenty texts, which hold half of the telling words."""
    return make_task(20, first=0, last=20)


@pytest.fixture(scope="session")
def brief():
    return Training(
        hidden=8, batch_size=8, min_steps=10, max_steps=20, evaluate_every=5, patience=2
    )
