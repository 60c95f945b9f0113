"""E4 and B3: a million rows, 300,000 words: in bounded memory, and not in silence.

Each is done in a child process, whose memory is measured from its beginning.
"""

import os
import resource
import traceback
from contextlib import contextmanager

import pytest

from headstart.data.checks import check_data
from headstart.data.labelled import read_labelled
from headstart.hub.store import load_encoder
from headstart.serve.predictor import predict_file
from headstart.tokenize.words import WordTokenizer
from headstart.transfer.estimators import TextClassifier

ROWS, WORDS = 1_000_000, 300_000
pytestmark = pytest.mark.slow


class Stages:
    """Progress that counts how often each stage went on."""

    def __init__(self):
        self.advances = {}

    @contextmanager
    def stage(self, description, total=None, unit=""):
        name = description.split()[0]
        self.advances[name] = 0

        def advance(amount):
            self.advances[name] += 1

        yield advance

    def note(self, message):
        pass


def most_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def mib_taken(work):
    """Do the work, which may assert, in a child; return the MiB that it took at most."""
    reading, telling = os.pipe()
    child = os.fork()
    if child == 0:
        told = "?"
        try:
            before = most_mib()
            work()
            told = str(most_mib() - before)
        except BaseException:  # noqa: BLE001 - told by the parent
            told = traceback.format_exc()[-2000:]
        finally:
            os.write(telling, told.encode())
            os._exit(0)
    os.close(telling)
    os.waitpid(child, 0)
    told = os.read(reading, 4000).decode()
    os.close(reading)
    assert told.replace(".", "").isdigit(), told
    return float(told)


@pytest.fixture(scope="module")
def million(tmp_path_factory):
    """A table of a million rows: 47 MB."""
    path = tmp_path_factory.mktemp("million") / "rows.csv"
    with path.open("w") as file:
        file.write("text,label\n")
        for n in range(ROWS):
            file.write(f'"row {n} of a million, which says {n * 7 % 1000003}",{"ab"[n % 2]}\n')
    yield path
    path.unlink()


def test_E4_a_million_rows_are_predicted_a_batch_at_a_time(million, tmp_path):
    model = TextClassifier(transfer="majority").fit(["a", "b"] * 2, ["a", "b"] * 2)
    stages, out = Stages(), tmp_path / "out.jsonl"

    def work():
        assert predict_file(model, million, out, progress=stages) == ROWS
        assert stages.advances["predicting"] > 500

    taken = mib_taken(work)
    with out.open("rb") as file:
        assert sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b"")) == ROWS
    out.unlink()
    assert taken < 64


def test_E4_a_million_rows_are_read_and_checked(million):
    """What is kept are the rows: a tenth of a KiB each, and keys to find the same text again."""
    stages = Stages()

    def work():
        found = check_data(read_labelled(million, progress=stages), progress=stages)
        assert found["duplicates"].num_rows == 0
        assert stages.advances["reading"] > 500
        assert "looking" in stages.advances

    assert mib_taken(work) < 640


def test_B3_vectors_of_300_000_words(tmp_path):
    path, stages = tmp_path / "words.txt", Stages()
    with path.open("w") as file:
        for n in range(WORDS):
            file.write(f"word{n} {n % 7}.5 -1 0.25 3 1 {n % 11} 2 -0.5\n")

    def work():
        encoder = load_encoder(path, progress=stages)
        assert len(encoder.tokenizer.vocabulary) >= WORDS
        assert stages.advances["reading"] > 10

    assert mib_taken(work) < 384


def test_B3_a_vocabulary_of_300_000_words(tmp_path):
    stages = Stages()

    def work():
        texts = (f"word{n} word{n + 1} word{n + 2}" for n in range(WORDS))
        tokenizer = WordTokenizer.train(texts, min_count=1, progress=stages)
        assert len(tokenizer.vocabulary) >= WORDS
        assert stages.advances["counting"] > 10
        tokenizer.save(tmp_path / "tokenizer.json")
        assert len(WordTokenizer.load(tmp_path / "tokenizer.json").vocabulary) >= WORDS

    assert mib_taken(work) < 512
