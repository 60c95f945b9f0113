"""What a process imports to predict with a saved model: seconds of it would be for nothing."""

import json
import subprocess
import sys

import pytest

from headstart.transfer.estimators import TextClassifier
from headstart.transfer.methods import FineTune, Training

PREDICT = """
import json, sys
from headstart.cli.app import main
assert main(["predict", sys.argv[1], "--text", "a late goal"]) == 0
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
    done = subprocess.run(
        [sys.executable, "-c", PREDICT, tmp_path / "model"],
        capture_output=True,
        text=True,
        check=True,
    )
    imported = set(json.loads(done.stdout.splitlines()[-1]))
    assert {"torch", "tokenizers"} <= imported
    assert not imported & without
