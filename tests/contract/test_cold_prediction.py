"""What a process imports to use a saved model: seconds of it would be for nothing."""

import json
import subprocess
import sys

import pytest

from headstart.transfer.estimators import TextClassifier
from headstart.transfer.methods import FineTune, Training

COMMAND = """
import json, sys
from headstart.cli.app import main
assert main(sys.argv[1:]) == 0
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""
LEARNING = {"scipy", "sklearn"}  # 0.9 s together
FILES = {"numba", "pyarrow", "pandas"}  # 0.3 s and 0.2 s
OTHERS = {"transformers", "datasets", "plotly", "jinja2", "h5py"}
BRIEF = FineTune(learning_rate=1e-2, training=Training(max_steps=5, min_steps=5))


@pytest.mark.parametrize(
    ("name", "transfer", "without"),
    [
        ("glove", BRIEF, LEARNING | FILES | OTHERS),
        ("bert", BRIEF, LEARNING | FILES | OTHERS),
        ("bert", "probe", LEARNING | FILES | OTHERS),
        (None, "tfidf", FILES | OTHERS),
    ],
)
def test_a_prediction_imports_only_what_it_uses(
    name, transfer, without, encoders, texts, labels, tmp_path
):
    model = TextClassifier(encoders[name] if name else None, transfer).fit(texts, labels)
    model.save(tmp_path / "model")
    imported = _imported(COMMAND, "predict", tmp_path / "model", "--text", "a late goal")
    assert {"torch", "tokenizers"} <= imported
    assert not imported & without


def test_looking_at_an_encoder_imports_only_what_it_uses(encoders, tmp_path):
    encoders["bert"].save(tmp_path / "bert")
    imported = _imported(COMMAND, "inspect", tmp_path / "bert")
    assert not imported & (LEARNING | OTHERS)


def test_a_comparison_starts_without_what_only_its_end_needs():
    names = "print(json.dumps([name.partition('.')[0] for name in sys.modules]))"
    imported = _imported(f"import json, sys, headstart.compare.study\n{names}")
    assert "sklearn" not in imported


def _imported(program, *words):
    """Run a program; return the names that it prints last."""
    command = [sys.executable, "-c", program, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))
