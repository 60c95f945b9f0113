"""A task that is learnt in milliseconds: three topics, thirty short texts, vectors 8 wide."""

import numpy as np
import pytest

from headstart.hub.bundle import PretrainedWordVectors

TOPICS = {
    "sport": ["goal", "match", "team", "coach", "score", "league"],
    "money": ["bank", "stock", "market", "price", "trade", "profit"],
    "music": ["song", "band", "album", "concert", "guitar", "chorus"],
}
PLAIN = ["the", "a", "was", "today", "for"]


def make_encoder(seed=0):
    random = np.random.default_rng(seed)
    centers = np.kron(np.eye(len(TOPICS), 8), np.ones((6, 1)))
    matrix = np.concatenate([centers, np.zeros((len(PLAIN), 8))])
    matrix += random.normal(scale=0.1, size=matrix.shape)
    words = [word for topic in TOPICS.values() for word in topic] + PLAIN
    vectors = np.float32(matrix)
    return PretrainedWordVectors.from_words("glove", words, vectors, config={}, lineage={})


@pytest.fixture(scope="session")
def encoder():
    return make_encoder()


@pytest.fixture(scope="session")
def other_encoder():
    return make_encoder(seed=1)


@pytest.fixture(scope="session")
def texts():
    random = np.random.default_rng(0)
    return [
        " ".join([*random.choice(words, 3), *random.choice(PLAIN, random.integers(1, 4))])
        for words in TOPICS.values()
        for _ in range(10)
    ]


@pytest.fixture(scope="session")
def labels():
    return [topic for topic in TOPICS for _ in range(10)]
