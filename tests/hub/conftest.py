"""Tiny models of `transformers` with random weights, and folders as it writes them."""

import io
import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from headstart.compare.processes import for_new_processes
from headstart.hub.foreign import trial

LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORD_PIECES = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *("the", "cat", "sat", "on", "mat", ".", "!"),
    *LETTERS,
    *("##" + letter for letter in LETTERS),
]
SIZES = {
    "bert": {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 24,
        "max_position_embeddings": 20,
        "vocab_size": len(WORD_PIECES),
    },
    "gpt": {"n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 20, "vocab_size": 70},
}


def _try(given):
    sys.stdin = io.StringIO(given)
    trial._child()


@pytest.fixture
def forked_trials(monkeypatch, forkserver):
    """Let the children that try a stranger's file be forks.

    That saves up to four seconds of each. As users start them they are in `test_trial.py`, and
    where files mean harm.
    """

    def run(command, *, input, **how):
        child = forkserver.Process(target=_try, args=(input.decode(),))
        with for_new_processes():
            child.start()
        child.join()
        assert child.exitcode != 1, "the child could not begin"
        return subprocess.CompletedProcess(command, child.exitcode, b"")

    pipes = {"PIPE": subprocess.PIPE, "DEVNULL": subprocess.DEVNULL}
    monkeypatch.setattr(trial, "subprocess", SimpleNamespace(run=run, **pipes))


@pytest.fixture(scope="session")
def transformers():
    return pytest.importorskip("transformers", reason="the extra hf is not installed")


@pytest.fixture
def tiny(transformers):
    """Make a model of a class by its name, every tensor random, zeros and ones of norms too."""

    def make(name, **settings):
        class_ = getattr(transformers, name)
        sizes = SIZES["gpt" if "GPT" in name else "bert"]
        torch.manual_seed(0)
        model = class_(class_.config_class(**{**sizes, **settings})).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        return model

    return make


@pytest.fixture
def saved(tmp_path):
    """Save a model of `transformers`, with the word pieces of the tests unless told otherwise."""

    def save(model, name="model", vocabulary=WORD_PIECES):
        folder = tmp_path / name
        model.save_pretrained(folder)
        if vocabulary:
            (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
        return folder

    return save


@pytest.fixture
def edit():
    """Change fields of a JSON file."""

    def change(file, **fields):
        config = json.loads(file.read_text()) | fields
        file.write_text(json.dumps({k: v for k, v in config.items() if v is not ...}))

    return change
