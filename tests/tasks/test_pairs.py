"""Pairs in the shared pipeline, beside plain loops that do the same."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from headstart.models.word_vectors import WordVectors
from headstart.tasks.pairs import combined, compared, num_orders, num_parts, num_sides
from headstart.tasks.pipelines import TextPipeline
from headstart.tokenize.batches import Encoded, pad

NUMBERS = np.random.default_rng(0)
SIDES = NUMBERS.normal(size=(2, 3, 4))


@pytest.mark.parametrize("make", [np.asarray, torch.from_numpy, sparse.csr_matrix])
@pytest.mark.parametrize("pairs", ["ordered", "symmetric"])
def test_both_sides_are_combined(make, pairs):
    a, b = SIDES
    first = [a, b] if pairs == "ordered" else [a + b]
    expected = np.concatenate([*first, abs(a - b), a * b], 1)
    found = combined(make(SIDES.reshape(6, 4)), pairs)
    dense = found.toarray() if sparse.issparse(found) else np.asarray(found)
    assert dense == pytest.approx(expected)
    assert dense.shape[1] == num_parts(pairs) * 4


def test_single_texts_are_what_they_are():
    x = SIDES.reshape(6, 4)
    assert combined(x, None) is x
    assert [num_sides(None), num_orders(None), num_parts(None)] == [1, 1, 1]
    assert [num_sides("ordered"), num_orders("ordered")] == [2, 1]
    assert [num_sides("symmetric"), num_orders("symmetric")] == [2, 2]


def compared_slowly(x, other):
    """Compare each word of a text with what it finds in another one, word by word."""
    rows = []
    for word in x:
        powers = np.exp([word @ each / np.sqrt(len(word)) for each in other])
        y = sum((p * each for p, each in zip(powers / powers.sum(), other, strict=True)), 0 * word)
        rows.append(np.concatenate([word, y, word - y, word * y]))
    return np.array(rows).reshape(len(x), 4 * x.shape[1])


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=3))
def test_words_are_compared_with_what_they_attend_to(lengths):
    sides = [[NUMBERS.normal(size=(pair[side], 3)) for pair in lengths] for side in range(2)]
    texts = [*sides[0], *sides[1]]
    x = torch.zeros(len(texts), 5, 3).double()
    mask = torch.zeros(len(texts), 5).bool()
    for row, text in enumerate(texts):
        x[row, : len(text)], mask[row, : len(text)] = torch.from_numpy(text), True
    found = compared(x, mask)
    assert found.isfinite().all()
    for row, (text, other) in enumerate(zip(texts, sides[1] + sides[0], strict=True)):
        assert found[row, : len(text)].numpy() == pytest.approx(
            compared_slowly(text, other), abs=1e-9
        )


def make_pipeline(pairs, **settings):
    torch.manual_seed(0)
    encoder = WordVectors(20, 4, generator=torch.Generator().manual_seed(0))
    settings = {"hidden": 5, "dropout": 0.5, "scale": 2.0, "pairs": pairs, **settings}
    return TextPipeline(encoder, 3, **settings)


TEXTS = Encoded.from_lists([[4, 5, 6], [7], [], [8, 9], [10, 11, 12, 13, 14], [6, 6]])


def scores(pipeline, rows, texts=TEXTS):
    sides = pipeline.text_rows(np.array(rows), texts)
    with torch.no_grad():
        return pipeline(*map(torch.from_numpy, pad(texts, sides)))


@pytest.mark.parametrize("pairs", ["ordered", "symmetric"])
def test_a_pair_has_the_same_scores_in_any_batch(pairs):
    pipeline = make_pipeline(pairs).eval()
    together = scores(pipeline, [0, 1, 2])
    assert together.shape == (3, 3)
    for row in range(3):
        torch.testing.assert_close(scores(pipeline, [row]), together[row : row + 1])
    torch.testing.assert_close(scores(pipeline, [2, 0]), together[[2, 0]])


def test_only_symmetric_scores_are_the_same_if_both_texts_change_places():
    swapped = TEXTS.select([3, 4, 5, 0, 1, 2])
    for pairs in ("ordered", "symmetric"):
        pipeline = make_pipeline(pairs).eval()
        same = torch.equal(scores(pipeline, [0, 1, 2]), scores(pipeline, [0, 1, 2], swapped))
        assert same == (pairs == "symmetric")


def test_each_text_of_a_pair_reaches_the_scores_through_the_other():
    pipeline = make_pipeline("ordered").eval()
    seen = []
    pipeline.compare.register_forward_hook(lambda _, given, __: seen.append(given[0]))
    before = scores(pipeline, [0])
    other = Encoded.from_lists([[4, 5, 6], [], [], [8, 17], [], []])
    assert not torch.allclose(scores(pipeline, [0], other), before)
    assert not torch.allclose(seen[0][0], seen[1][0]), "the first text has met another second one"


def test_in_training_both_texts_lose_the_same_numbers():
    pipeline = make_pipeline("ordered").train()
    seen = []
    pipeline.compare.register_forward_hook(lambda _, given, __: seen.append(given[0][..., :4]))
    scores(pipeline, [0])
    first, second = seen[0]
    assert torch.equal((first[:2] == 0).all(0), (second[:2] == 0).all(0))
