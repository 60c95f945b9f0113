from contextlib import contextmanager

import numpy as np
import pytest

from headstart.budget import Budget
from headstart.errors import DataError, NonFiniteError, SettingsError
from headstart.models.word_vectors import WordSpace
from headstart.pretrain import skip_gram
from headstart.pretrain.skip_gram import SkipGram
from headstart.tokenize.encoded import END, EncodedCorpus, encode_corpus
from headstart.tokenize.words import WordTokenizer

SEA, SKY = ("wave tide ship sail harbor".split(), "cloud wing bird star moon".split())  # noqa: SIM905


def _corpus(documents, vocabulary):
    ids = np.array([id for document in documents for id in [*document, END]], np.int32)
    counts = np.bincount(ids[ids >= 0], minlength=vocabulary)
    return EncodedCorpus(ids, counts, len(documents), int(counts.sum()))


@pytest.fixture(scope="module")
def topics(tmp_path_factory):
    random = np.random.default_rng(0)
    texts = [" ".join(random.choice([SEA, SKY][row % 2], 8)) for row in range(800)]
    tokenizer = WordTokenizer.train(texts, min_count=1)
    return tokenizer, encode_corpus(texts, tokenizer, tmp_path_factory.mktemp("corpus"))


@pytest.mark.parametrize("cbow", [False, True])
def test_words_of_a_topic_become_neighbors(topics, cbow):
    tokenizer, corpus = topics
    config = SkipGram(dim=20, sample=1.0, cbow=cbow)
    found = skip_gram.train(corpus, config, budget=Budget(epochs=10), seed=1)
    space = WordSpace(tokenizer.vocabulary[2:], found.vectors[2:])
    for word in SEA:
        assert {near for near, _ in space.most_similar(word, top=4)} == set(SEA) - {word}
    assert not found.vectors[:2].any()


def test_one_thread_gives_the_same_bits_and_another_seed_others(topics):
    _, corpus = topics
    first, second, other = (
        skip_gram.train(corpus, SkipGram(dim=20), budget=Budget(epochs=2), seed=seed).vectors
        for seed in (3, 3, 4)
    )
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_several_threads_learn_the_same_things(topics):
    tokenizer, corpus = topics
    config = SkipGram(dim=20, sample=1.0)
    found = skip_gram.train(corpus, config, budget=Budget(epochs=10), threads=3)
    space = WordSpace(tokenizer.vocabulary[2:], found.vectors[2:])
    assert space.most_similar("wave", top=1)[0][0] in SEA
    assert found.report["epochs"] == 10


@pytest.mark.parametrize("negatives", [1, 5, 6, 13])
def test_one_descent_by_hand(negatives):
    """The compiled update against the gradient of the objective, written out."""
    random = np.random.default_rng(negatives)
    outputs = random.normal(size=(40, 16)).astype(np.float32)
    outputs[-1] = 0  # the spare row
    vector = random.normal(size=16).astype(np.float32)
    size = -(-(negatives + 1) // 6) * 6
    drawn = np.full(size, 39, np.int32)
    drawn[: negatives + 1] = random.permutation(39)[: negatives + 1]
    before = outputs.copy()
    gradient = np.empty(16, np.float32)
    rate = np.float32(0.1)
    times = np.float32(drawn < len(outputs) - 1)
    skip_gram._descend(vector, drawn, times, outputs, rate, np.zeros(8, np.float32), gradient)

    rows = before[drawn[: negatives + 1]].astype(np.float64)
    target = np.zeros(negatives + 1)
    target[0] = 1
    slopes = 0.1 * (target - 1 / (1 + np.exp(-rows @ vector)))
    expected = before.astype(np.float64)
    expected[drawn[: negatives + 1]] += slopes[:, None] * vector
    assert np.allclose(outputs, expected, atol=2e-5)
    assert np.allclose(gradient, slopes @ rows, atol=2e-5)


@pytest.mark.parametrize(("noise", "pushes"), [(2, 0), (3, 5)])
def test_the_word_itself_is_no_noise_and_a_noise_word_counts_as_often_as_it_is_drawn(noise, pushes):
    outputs = np.ones((5, 16), np.float32)
    outputs[-1] = 0  # the spare row
    drawn, times = np.empty(6, np.int32), np.empty(6, np.float32)
    skip_gram._draw(drawn, times, 2, np.array([noise], np.int32), 5, 4, np.uint64(1))
    assert (drawn[0], times[0], times.sum()) == (2, 1, 1 + pushes)
    gradient, vector = np.empty(16, np.float32), np.full(16, 1e-4, np.float32)
    slopes = np.zeros(8, np.float32)
    skip_gram._descend(vector, drawn, times, outputs, np.float32(0.1), slopes, gradient)
    # one pull of the word (1 - s(0)) and as many pushes of the other (-s(0)) are left
    assert np.allclose(gradient, 0.1 * (0.5 - pushes * 0.5), atol=1e-3)
    moved = (outputs - [[1], [1], [1], [1], [0]]) / (0.1 * vector)
    assert np.allclose(moved, [[0], [0], [0.5], [-pushes * 0.5], [0]], atol=1e-2)


@pytest.mark.parametrize("cbow", [False, True])
def test_no_update_is_lost_where_words_are_few(cbow):
    """Of two words each is the other's neighbor, and most of the noise is the word itself."""
    inputs = np.full((4, 16), 0.1, np.float32)
    outputs = np.zeros((5, 16), np.float32)
    kernel = skip_gram._cbow if cbow else skip_gram._skip_gram
    noise = np.array([2], np.int32)
    keep = np.full(4, 2, np.float32)
    kernel(
        np.array([2, 3, END], np.int32), keep, noise, inputs, outputs, 1, 5, np.float32(0.1),
        np.uint64(88172645463325252),
    )  # fmt: skip
    # word 2 is pulled once, and pushed five times as the noise of word 3, which is pulled once
    assert np.allclose(outputs[2], 0.1 * 0.1 * (0.5 - 5 * 0.5), rtol=0.05)
    assert np.allclose(outputs[3], 0.1 * 0.1 * 0.5, rtol=0.05)
    assert not outputs[[0, 1, 4]].any()


@pytest.mark.parametrize("negatives", [1, 2, 4, 7])
def test_two_words_in_a_window_by_hand(negatives):
    """Skip-gram on one document of two words; every noise word is drawn from a table of its own."""
    random = np.random.default_rng(0)
    inputs = random.normal(size=(600, 16)).astype(np.float32)
    outputs = random.normal(size=(601, 16)).astype(np.float32)
    outputs[-1] = 0  # the spare row
    before_in, before_out = inputs.astype(np.float64), outputs.astype(np.float64)
    keep = np.full(600, 2, np.float32)
    seen, state = [], np.uint64(88172645463325252)
    drawn, times = np.empty(12, np.int32), np.empty(12, np.float32)
    noise = np.arange(4, 600, dtype=np.int32)
    for _ in range(2):  # the kernel draws once for each word it might leave out,
        state = _xorshift(state)
    for word in (2, 3):  # once for each window's reach, and then the noise
        state = skip_gram._draw(drawn, times, word, noise, negatives, 600, _xorshift(state))
        state = np.uint64(state)
        seen.append(drawn[: negatives + 1].copy())
    assert all(len(set(each)) == negatives + 1 for each in seen), "choose another state"
    skip_gram._skip_gram(
        np.array([2, 3, END], np.int32),
        *(keep, noise, inputs, outputs, 1, negatives, np.float32(0.1)),
        np.uint64(88172645463325252),
    )
    for (center, *others), neighbor in zip(seen, (3, 2), strict=True):
        rows = [center, *others]
        target = np.array([1.0] + [0.0] * negatives)
        slopes = 0.1 * (target - 1 / (1 + np.exp(-before_out[rows] @ before_in[neighbor])))
        for at in range(0, len(rows), 6):  # six at a time, the neighbor moving in between
            some, vector = rows[at : at + 6], before_in[neighbor].copy()
            before_in[neighbor] += slopes[at : at + 6] @ before_out[some]
            before_out[some] += slopes[at : at + 6, None] * vector
    assert np.allclose(inputs, before_in, atol=5e-5)
    assert np.allclose(outputs, before_out, atol=5e-5)


def _xorshift(state):
    state, mask = int(state), 2**64 - 1
    state ^= (state << 13) & mask
    state ^= state >> 7
    return np.uint64(state ^ (state << 17) & mask)


def test_windows_do_not_cross_documents():
    pairs = [[2, 3], [4, 5]] * 300
    found = skip_gram.train(
        _corpus(pairs, 6),
        SkipGram(dim=8, negatives=2, sample=1.0, learning_rate=0.1),
        budget=Budget(epochs=30),
    )
    products = found.vectors[2:] @ found.outputs[2:].T
    assert products[0, 1] > 0 > max(products[0, 2], products[0, 3])


def test_subsampling_keeps_what_the_formula_says():
    counts = np.array([0, 0, 9000, 900, 100])
    corpus = EncodedCorpus(np.zeros(1, np.int32), counts, 1, 10_000)
    run = skip_gram._Run(
        corpus, SkipGram(sample=0.01), Budget(epochs=1), 0, *np.zeros((2, 5, 16), np.float32)
    )
    expected = [np.sqrt(0.01 / 0.9) + 0.01 / 0.9, np.sqrt(0.01 / 0.09) + 0.01 / 0.09, 1.0]
    assert run.keep[2:] == pytest.approx(expected, rel=1e-6)
    words = np.empty(1000, np.int32)
    ids = np.full(20_000, 2, np.int32)
    kept, at, state = 0, 0, np.uint64(88172645463325252)
    while at < len(ids):
        at, count, state = skip_gram._keep_some(ids, at, run.keep, words, np.uint64(state))
        kept += count
    assert kept / len(ids) == pytest.approx(expected[0], abs=0.01)


def test_noise_follows_counts_to_the_three_quarters():
    counts = np.array([0, 0, 10_000, 625, 16, 1])
    corpus = EncodedCorpus(np.zeros(1, np.int32), counts, 1, 10)
    run = skip_gram._Run(corpus, SkipGram(), Budget(epochs=1), 0, *np.zeros((2, 6, 16), np.float32))
    drawn = np.bincount(run.noise, minlength=6) / len(run.noise)
    assert drawn == pytest.approx(counts**0.75 / (counts**0.75).sum(), abs=1e-5)
    assert drawn[5] > 0


def test_budgets_end_it(topics):
    _, corpus = topics
    by_time = skip_gram.train(corpus, SkipGram(), budget=Budget(minutes=0.005, epochs=1e9))
    assert by_time.report["training_seconds"] < 5
    by_tokens = skip_gram.train(corpus, SkipGram(), budget=Budget(tokens=corpus.words * 2))
    assert by_tokens.report["epochs"] == pytest.approx(2, abs=0.01)


@pytest.mark.parametrize("budget", [Budget(minutes=0.005), Budget(epochs=2)])
def test_progress_reaches_the_end_of_the_budget(topics, budget):
    told = []

    class Told:
        note = staticmethod(told.append)

        @staticmethod
        @contextmanager
        def stage(*_):
            yield told.append

    skip_gram.train(topics[1], SkipGram(), budget=budget, threads=2, progress=Told())
    assert all(share >= 0 for share in told)
    assert sum(told) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "bad",
    [
        {"dim": 0},
        {"window": 0},
        {"negatives": 1.5},
        {"sample": 0.0},
        {"learning_rate": -1.0},
        {"learning_rate": float("nan")},
        {"learning_rate": "fast"},
        {"sample": "x"},
        {"dim": True},
        {"cbow": "no"},
    ],
)
def test_impossible_settings(bad):
    with pytest.raises(SettingsError, match=next(iter(bad))):
        SkipGram(**bad)


def test_a_corpus_of_one_word_and_a_rate_too_high(topics):
    with pytest.raises(DataError, match="at least two different words"):
        skip_gram.train(_corpus([[2, 2]], 3), SkipGram(), budget=Budget(epochs=1))
    with pytest.raises(NonFiniteError, match="learning_rate"):
        skip_gram.train(topics[1], SkipGram(learning_rate=1e38), budget=Budget(epochs=2))


def test_an_error_in_a_thread_is_an_error_and_ends_the_others(topics):
    _, corpus = topics

    class Broken:
        @contextmanager
        def stage(self, description, total=None, unit=""):
            def advance(amount):
                raise OSError("the terminal went away")

            yield advance

    with pytest.raises(OSError, match="went away"):
        skip_gram.train(
            corpus, SkipGram(dim=4), budget=Budget(minutes=10), threads=2, progress=Broken()
        )


@pytest.mark.parametrize(
    "setting", [{"window": 1001}, {"negatives": 10**9}, {"dim": 0}, {"learning_rate": 0.0}]
)
def test_settings_that_no_machine_can_hold_are_refused(setting):
    with pytest.raises(SettingsError, match=next(iter(setting))):
        SkipGram(**setting)
