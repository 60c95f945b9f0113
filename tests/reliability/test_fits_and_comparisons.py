"""A3 and A8 for what has no checkpoints: a fit begins anew, a comparison keeps its cells."""

import signal
import subprocess
import sys
import time

import pytest
from benchmarks import soak

from headstart.compare.study import compare
from headstart.storage import check_manifest, file_sha256
from headstart.transfer.estimators import TextClassifier

TEXTS = [f"{word} number {n}" for n in range(12) for word in ("good", "bad", "fine")]
LABELS = [text.split()[0] for text in TEXTS]


def fit(folder):
    model = TextClassifier(transfer="scratch", random_state=0).fit(TEXTS[:24], LABELS[:24])
    model.save(folder / "model", overwrite=True)
    return file_sha256(folder / "model" / "model.safetensors")


@pytest.mark.slow
def test_A3_a_fit_that_is_killed_leaves_no_half_model_and_begins_anew(tmp_path):
    folder = tmp_path / "fit"
    expected = fit(folder)
    for number in (5, 13):
        soak.kill_at_touch(fit, folder, number)
        if (folder / "model").exists():
            check_manifest(folder / "model")
    assert fit(folder) == expected


MAIN = "import sys; from headstart.cli.app import main; sys.exit(main())"


@pytest.mark.slow
def test_A3_a_comparison_that_is_stopped_loses_no_finished_cell(tmp_path):
    data, out = tmp_path / "train.csv", tmp_path / "out"
    data.write_text(
        "text,label\n" + "".join(f"{t},{x}\n" for t, x in zip(TEXTS, LABELS, strict=True))
    )
    words = ["compare", data, "--methods", "majority,tfidf", "--labels", "6,24"]
    command = [sys.executable, "-c", MAIN, *words, "--seeds", "3", "--workers", "1", "--out", out]
    with subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and len(list(out.glob("cells/*.json"))) < 2:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=300)
    if process.returncode != 0:  # it may have ended before
        assert process.returncode == 75, told
    kept = {path: path.read_bytes() for path in out.glob("cells/*.json")}
    assert len(kept) >= 2
    how = {"methods": ["majority", "tfidf"], "label_budgets": [6, 24], "seeds": 3}
    found = compare(data, out=out, workers=1, **how)
    assert len(found.results["cells"]) == 2 * 2 * 3
    assert {path: path.read_bytes() for path in kept} == kept
