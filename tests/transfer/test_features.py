import numpy as np
import pytest

from headstart.transfer.features import pooled_features


def test_only_the_first_tokens_are_pooled(encoder):
    short, long = (
        pooled_features(encoder, [text], pooling="mean+max", max_tokens=2)
        for text in ("good1 bad2", "good1 bad2 bad3 bad4")
    )
    assert np.array_equal(short, long)


def test_an_unknown_word_counts_as_the_rarest_ones(encoder):
    rare = encoder.matrix[-100:].mean(0).numpy()
    features = pooled_features(encoder, ["strange"], pooling="mean", max_tokens=9)
    assert features[0] == pytest.approx(rare, abs=1e-6)
