import itertools
from contextlib import nullcontext

import numpy as np
import pytest

from headstart.budget import Budget
from headstart.errors import DataError, NonFiniteError, SettingsError
from headstart.pretrain import glove
from headstart.pretrain.glove import GloVe, train
from headstart.tokenize.encoded import END, EncodedCorpus

TOPIC = 20  # words a topic; ids 2 to 21 are the first topic, 22 to 41 the second


def corpus(documents, vocabulary):
    ids = np.array([word for document in documents for word in (*document, END)], np.int32)
    counts = np.bincount(ids[ids >= 0], minlength=vocabulary)
    return EncodedCorpus(ids, counts, len(documents), sum(map(len, documents)))


@pytest.fixture(scope="module")
def topics():
    random = np.random.default_rng(0)
    documents = []
    for number in range(300):  # a tenth of each document's words are of the other topic
        topic = (number + (random.random(30) < 0.1)) % 2
        documents.append((2 + TOPIC * topic + random.integers(0, TOPIC, 30)).tolist())
    return corpus(documents, 2 + 2 * TOPIC)


def test_one_step_is_the_equations(monkeypatch):
    """Every number of one update of one pair, computed here from the paper and the code."""
    dim, x, config = 3, 4.0, GloVe(dim=3, x_max=10.0, alpha=0.75, learning_rate=0.05)
    random = np.random.default_rng(0)
    vectors = np.zeros((2, 2, 16), np.float32)
    vectors[..., :dim] = random.normal(size=(2, 2, dim))
    squares = np.ones_like(vectors)
    biases = random.normal(size=(2, 2)).astype(np.float32)
    bias_squares = np.ones_like(biases)
    w, c = vectors[0, 0].astype(float), vectors[1, 1].astype(float)
    b_w, b_c = float(biases[0, 0]), float(biases[1, 1])
    untouched = vectors[0, 1].copy(), vectors[1, 0].copy()

    cost, pairs = glove._fit_tiles(
        np.array([0]),
        np.array([[0, 0]]),
        np.array([0, 1]),
        (np.array([0], np.uint16), np.array([1], np.uint16), np.array([x], np.float32)),
        (vectors, squares, biases, bias_squares),
        np.float32(np.log(config.x_max)),
        np.float32(config.alpha),
        np.float32(config.learning_rate),
    )

    error = w @ c + b_w + b_c - np.log(x)
    slope = (x / config.x_max) ** config.alpha * error
    assert (cost, pairs) == (pytest.approx(0.5 * slope * error, rel=1e-5), 1)
    w_step, c_step = 0.05 * slope * c, 0.05 * slope * w
    assert vectors[0, 0] == pytest.approx(w - w_step, rel=1e-5)  # sums of squares were 1
    assert vectors[1, 1] == pytest.approx(c - c_step, rel=1e-5)
    assert squares[0, 0] == pytest.approx(1 + w_step**2, rel=1e-5)
    assert squares[1, 1] == pytest.approx(1 + c_step**2, rel=1e-5)
    assert biases[0, 0] == pytest.approx(b_w - slope, rel=1e-5)
    assert biases[1, 1] == pytest.approx(b_c - slope, rel=1e-5)
    assert bias_squares[0, 0] == pytest.approx(1 + slope**2, rel=1e-5)
    assert (vectors[0, 1] == untouched[0]).all()
    assert (vectors[1, 0] == untouched[1]).all()


def test_words_of_one_topic_become_neighbors(topics):
    result = train(topics, GloVe(dim=8, x_max=10.0), budget=Budget(epochs=30))
    vectors = result.vectors
    assert vectors.shape == (42, 8)
    assert vectors.dtype == np.float32
    assert not vectors[:2].any()  # padding and unknown words
    unit = vectors[2:] / np.linalg.norm(vectors[2:], axis=1, keepdims=True)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -1.0)
    nearest = cosines.argmax(axis=1)
    assert (nearest // TOPIC == np.arange(2 * TOPIC) // TOPIC).all()


def test_cost_falls_and_the_report_says_what_was_done(topics):
    report = train(topics, GloVe(dim=8, x_max=10.0), budget=Budget(epochs=10)).report
    assert report["epochs"] == 10.0
    assert len(report["cost"]) == 10
    assert report["cost"][-1] < 0.5 * report["cost"][0]
    assert report["pairs"] == (2 * TOPIC) ** 2
    assert report["pairs_per_second"] > 0
    assert report["counting_words_per_second"] > 0
    assert all(type(value) in (int, float, list) for value in report.values())


def test_one_thread_is_deterministic(topics):
    first, again, other = (
        train(topics, GloVe(dim=5), budget=Budget(epochs=3), seed=seed).vectors
        for seed in (1, 1, 2)
    )
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()


def test_threads_learn_the_same(topics):
    costs = [
        train(topics, GloVe(dim=8), budget=Budget(epochs=10), threads=threads).report["cost"][-1]
        for threads in (1, 2)
    ]
    assert costs[1] == pytest.approx(costs[0], rel=0.2)


@pytest.mark.parametrize(
    ("budget", "epochs"),
    [
        (Budget(minutes=1e-9), 1.0),
        (Budget(tokens=1), 1.0),
        (Budget(tokens=3 * 300 * 30), 3.0),
        (Budget(epochs=4, minutes=60), 4.0),
    ],
)
def test_budget(topics, budget, epochs):
    assert train(topics, GloVe(dim=4), budget=budget).report["epochs"] == epochs


def test_minutes_end_training(topics):
    result = train(topics, GloVe(dim=4), budget=Budget(minutes=0.2 / 60))
    assert result.report["epochs"] > 1
    assert result.report["training_seconds"] < 5


def test_words_that_do_not_occur_stay_zero():
    result = train(corpus([[2, 4]], 6), GloVe(dim=4), budget=Budget(epochs=1))
    assert result.vectors.any(axis=1).tolist() == [False, False, True, False, True, False]


def test_temporary_files_are_removed(topics, tmp_path):
    train(topics, GloVe(dim=4), budget=Budget(epochs=1), folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_progress_reaches_the_whole(topics):
    class Watcher:
        def __init__(self):
            self.amounts = {}

        def stage(self, description, total=None, unit=""):
            return nullcontext(self.amounts.setdefault(description, []).append)

    watcher = Watcher()
    train(topics, GloVe(dim=4), budget=Budget(epochs=3), threads=2, progress=watcher)
    assert sum(watcher.amounts["fitting GloVe"]) == pytest.approx(1.0)
    assert sum(watcher.amounts["counting pairs of words"]) == len(topics.ids)


def test_divergence_names_the_iteration(topics):
    with pytest.raises(NonFiniteError, match=r"iteration 1 is not finite; lower learning_rate"):
        train(topics, GloVe(dim=4, learning_rate=1e30), budget=Budget(epochs=3))


@pytest.mark.parametrize("documents", [[[2, 2, 2]], [[2], [3]], [[]]])
def test_too_little_text(documents):
    with pytest.raises(DataError):
        train(corpus(documents, 4), GloVe(dim=4), budget=Budget(epochs=1))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dim", 0),
        ("dim", 2.5),
        ("window", 0),
        ("window", 256),
        ("x_max", 0.0),
        ("x_max", float("nan")),
        ("alpha", -1.0),
        ("learning_rate", float("inf")),
        ("x_max", "abc"),
        ("dim", True),
    ],
)
def test_impossible_settings(name, value):
    with pytest.raises(SettingsError, match=name):
        GloVe(**{name: value})


def test_a_training_that_goes_on_counts_no_counting_as_training(topics, tmp_path, monkeypatch):
    now = itertools.count(0.0, 1e-3)
    late = [0.0]
    monkeypatch.setattr(glove.time, "perf_counter", lambda: late[0] + next(now))
    real = glove.count

    def count(*given, **options):
        late[0] += 100.0
        return real(*given, **options)

    monkeypatch.setattr(glove, "count", count)
    for _ in range(2):  # the second time it is all done, and only counted again
        found = train(topics, GloVe(dim=3), budget=Budget(epochs=1), folder=tmp_path,
                      run_folder=tmp_path / "run")  # fmt: skip
        assert found.report["counting_seconds"] > 100
        assert found.report["training_seconds"] < 100
