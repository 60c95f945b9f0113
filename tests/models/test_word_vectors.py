"""The table of vectors as an encoder, and the space of words against NumPy's plain arithmetic."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.errors import SettingsError
from headstart.models import word_vectors
from headstart.models.interface import Encoder
from headstart.models.word_vectors import WordSpace, WordVectors


def test_encode_looks_up_one_layer_and_padding_is_zero():
    matrix = torch.arange(12.0).view(4, 3)
    matrix[0] = 0.0
    encoder: Encoder = WordVectors.from_matrix(matrix)
    ids = torch.tensor([[3, 1, 0], [2, 0, 0]])
    layers = encoder.encode(ids, ids > 0)
    assert len(layers) == 1
    assert torch.equal(layers[0], matrix[ids])
    assert encoder.width == 3
    assert encoder.layer_groups() == [encoder.embedding]


def test_padding_changes_nothing_and_is_never_trained():
    encoder = WordVectors(5, 4, generator=torch.Generator().manual_seed(0))
    short, long = torch.tensor([[2, 3]]), torch.tensor([[2, 3, 0, 0]])
    one, two = encoder.encode(short, short > 0)[0], encoder.encode(long, long > 0)[0]
    assert torch.equal(one, two[:, :2])
    two.sum().backward()
    gradient = encoder.embedding.weight.grad
    assert not gradient[0].any()
    assert gradient[[2, 3]].all()
    assert not gradient[[1, 4]].any()


def test_fresh_vectors_have_length_one_on_average_and_follow_their_generator():
    fresh = [WordVectors(2000, 50, generator=torch.Generator().manual_seed(7)) for _ in range(2)]
    weight = fresh[0].embedding.weight
    assert torch.equal(weight, fresh[1].embedding.weight)
    assert not weight[0].any()
    assert weight[1:].square().sum(1).mean().item() == pytest.approx(1.0, abs=0.05)


def test_a_matrix_is_used_without_a_copy_and_stays_as_it_was():
    matrix = np.float32([[0, 0], [1, 2]])
    encoder = WordVectors.from_matrix(matrix)
    assert encoder.embedding.weight.data_ptr() == matrix.ctypes.data
    assert encoder.embedding.weight.requires_grad
    assert matrix.tolist() == [[0, 0], [1, 2]]
    for bad in (np.ones((2, 2), np.float32), np.zeros((0, 2), np.float32), np.zeros(3, np.float32)):
        with pytest.raises(SettingsError, match=r"whose first row \(padding\) is zero"):
            WordVectors.from_matrix(bad)


def cosine(a, b):
    return a @ b / (np.linalg.norm(a) * np.linalg.norm(b))


def random_space(seed, size=40, width=6):
    matrix = np.random.default_rng(seed).normal(size=(size, width)).astype(np.float32)
    return [f"w{row}" for row in range(size)], matrix


def by_force(words, matrix, query, excluded, top):
    cosines = {
        word: float(cosine(query, row))
        for word, row in zip(words, matrix, strict=True)
        if word not in excluded
    }
    return sorted(cosines.items(), key=lambda pair: -pair[1])[:top]


def assert_same(found, expected):
    assert [word for word, _ in found] == [word for word, _ in expected]
    assert [score for _, score in found] == pytest.approx([s for _, s in expected], abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 50), st.sampled_from([1 << 24, 100, 1]))
def test_neighbors_and_analogies_equal_brute_force_in_blocks_of_any_size(seed, top, max_scores):
    words, matrix = random_space(seed)
    unit = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    space = WordSpace(words, matrix)
    picked = np.random.default_rng(seed).integers(0, len(words), (7, 3))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(word_vectors, "_MAX_SCORES", max_scores)
        near = space.neighbors([words[a] for a, _, _ in picked], top=top)
        answers = space.analogies([(words[a], words[b], words[c]) for a, b, c in picked], top=top)
    for (a, b, c), found, answer in zip(picked, near, answers, strict=True):
        assert_same(found, by_force(words, matrix, matrix[a], {words[a]}, top))
        query = unit[b] - unit[a] + unit[c]
        excluded = {words[a], words[b], words[c]}
        if np.linalg.norm(query) > 1e-3:
            assert_same(answer, by_force(words, matrix, query, excluded, top))


def test_most_similar_adds_and_subtracts_words_of_length_one():
    words, matrix = random_space(1)
    unit = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    space = WordSpace(words, matrix * np.arange(1, 41)[:, None])
    found = space.most_similar(["w1", "w2"], ["w3"], top=5)
    assert_same(found, by_force(words, matrix, unit[1] + unit[2] - unit[3], {"w1", "w2", "w3"}, 5))
    assert space.most_similar("w4") == space.neighbors(["w4"])[0]
    assert_same(space.most_similar([], "w5", top=3), by_force(words, matrix, -unit[5], {"w5"}, 3))
    assert len(space.most_similar("w1", top=1000)) == 39


def test_similarity_is_the_cosine_of_each_pair():
    words, matrix = random_space(2)
    found = WordSpace(words, matrix).similarity([("w1", "w2"), ("w3", "w3")])
    assert found == pytest.approx([cosine(matrix[1], matrix[2]), 1.0], abs=1e-6)
    assert WordSpace(words, matrix).similarity([]).shape == (0,)


def test_a_vector_of_zeros_is_near_nothing_and_breaks_nothing():
    space = WordSpace(["zero", "a", "b"], np.float32([[0, 0], [1, 0], [1, 1]]))
    assert space.similarity([("zero", "a")]).tolist() == [0.0]
    assert [word for word, _ in space.most_similar("a")] == ["b", "zero"]
    assert space.neighbors([]) == []


@pytest.mark.parametrize(
    ("plus", "minus"),
    [(["a"], ["a"]), (["a", "b"], ["b", "a"]), (["zero"], []), (["zero"], "zero")],
)
def test_nothing_is_near_to_words_that_cancel_out(plus, minus):
    space = WordSpace(["zero", "a", "b"], np.float32([[0, 0], [1, 0], [1, 1]]))
    with pytest.raises(SettingsError, match="add up to zero, which no word is near to"):
        space.most_similar(plus, minus)


def test_among_some_words_no_others_are_neighbors():
    space = WordSpace(["a", "near", "far"], np.float32([[1, 0], [1, 0.1], [0, 2]]))
    smaller = space.among(["far", "absent", "a"])
    assert smaller.most_similar("a") == [("far", 0.0)]
    assert "near" not in smaller


def test_unknown_words_are_named():
    space = WordSpace(["king", "a"], np.eye(2, dtype=np.float32))
    with pytest.raises(
        SettingsError, match=r"^'King' has no vector among 2 words; 'king' has one$"
    ):
        space.most_similar("King")
    with pytest.raises(SettingsError, match=r"'x' has no vector among 2 words$"):
        space.similarity([("a", "x")])
    with pytest.raises(SettingsError, match="at least one word"):
        space.most_similar([])
    for top in (0, -1, 1.5):
        with pytest.raises(SettingsError, match=f"top must be a whole number above 0, got {top}"):
            space.most_similar("king", top=top)
    with pytest.raises(SettingsError, match="3 words for vectors of shape"):
        WordSpace(["a", "b", "c"], np.eye(2, dtype=np.float32))
    assert "king" in space
    assert "King" not in space
