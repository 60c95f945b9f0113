"""A user's good files: labeled texts, a corpus, vectors, a model, a BERT and an ELMo folder."""

import json

import h5py
import numpy as np
import pytest
import torch

from headstart.cli.app import main
from headstart.hub.foreign.elmo import _expected, read_options
from headstart.hub.language_models import PretrainedBert
from headstart.models.bert import Bert, BertConfig
from headstart.tokenize.subwords import SubwordTokenizer

NEWS = [
    ("the striker scored a late goal", "sport"),
    ("the coach praised the players", "sport"),
    ("the team won the final match", "sport"),
    ("shares fell on the market", "business"),
    ("the bank raised interest rates", "business"),
    ("the company cut its profit forecast", "business"),
]
OPTIONS = {
    "lstm": {
        "use_skip_connections": True, "projection_dim": 4, "cell_clip": 3, "proj_clip": 3,
        "dim": 6, "n_layers": 2,
    },
    "char_cnn": {
        "activation": "relu", "filters": [[1, 4], [2, 4]], "n_highway": 1,
        "embedding": {"dim": 4}, "n_characters": 262, "max_characters_per_token": 50,
    },
}  # fmt: skip


@pytest.fixture(scope="session")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    rows = [f"{text} {number},{label}" for number in range(6) for text, label in NEWS]
    (folder / "train.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    (folder / "test.csv").write_text("text,label\na goal by the team,sport\nprofit fell,business\n")
    (folder / "articles.txt").write_text("\n".join(text for text, _ in NEWS * 20) + "\n")
    (folder / "pairs.tsv").write_text("a goal\tein Tor\n" * 8)
    words = sorted({word for text, _ in NEWS for word in text.split()})
    lines = [f"{word} {len(word)} {ord(word[0]) % 7} 1.5" for word in words]
    (folder / "words.vec").write_text(f"{len(words)} 3\n" + "\n".join(lines) + "\n")
    fit = ["fit", "classification", str(folder / "train.csv"), "--transfer", "tfidf"]
    assert main([*fit, "--out", str(folder / "model")]) == 0
    save_bert(folder / "bert")
    save_elmo(folder / "elmo")
    return folder


def save_bert(folder):
    """Save a tiny BERT as `transformers` would, without anything of ours."""
    tokenizer = SubwordTokenizer.train([text for text, _ in NEWS], vocabulary_size=300)
    sizes = BertConfig(
        vocabulary_size=len(tokenizer.vocabulary),
        width=16,
        layers=2,
        heads=4,
        feed_forward=24,
        positions=24,
    )
    model = Bert(sizes, generator=torch.Generator().manual_seed(0))
    PretrainedBert.of(model, tokenizer, lineage={}).save(folder)
    config = json.loads((folder / "config.json").read_text())
    del config["headstart"]
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "manifest.json").unlink()


def save_elmo(folder):
    """Save a tiny ELMo as its original release was."""
    folder.mkdir()
    (folder / "options.json").write_text(json.dumps(OPTIONS))
    random = np.random.default_rng(0)
    with h5py.File(folder / "weights.hdf5", "w") as file:
        for name, shape in _expected(read_options(folder / "options.json")):
            file[name] = random.normal(size=shape).astype(np.float32)


@pytest.fixture
def run(capsys):
    """Run a command; return its exit code, output and errors."""

    def run(*words):
        capsys.readouterr()
        code = main([str(word) for word in words])
        return code, *capsys.readouterr()

    return run
