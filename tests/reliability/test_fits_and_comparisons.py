"""A3, A4 and A8 for what has no checkpoints.

A fit or a prediction begins anew, a comparison keeps its cells.
"""

import functools
import itertools
import os
import signal
import subprocess
import sys
import time

import pytest
from benchmarks import soak

from headstart.compare.study import compare
from headstart.storage import check_manifest, file_sha256, read_json
from headstart.training.loop import train
from headstart.transfer import neural, tag_pipelines, tag_training, text_pipelines
from headstart.transfer.estimators import TextClassifier
from headstart.transfer.methods import Scratch, Training
from headstart.transfer.task import Task
from headstart.transfer.token_tagger import TokenTagger

TEXTS = [f"{word} number {n}" for n in range(12) for word in ("good", "bad", "fine")]
LABELS = [text.split()[0] for text in TEXTS]


QUICK = Scratch(
    width=8, training=Training(hidden=8, batch_size=5, min_steps=12, max_steps=12, evaluate_every=4)
)  # the search for the number of steps takes 12, then there are 5 in an epoch of all labels


def fit(folder):
    model = TextClassifier(transfer=QUICK, random_state=0).fit(TEXTS[:24], LABELS[:24])
    model.save(folder / "model", overwrite=True)
    return file_sha256(folder / "model" / "model.safetensors")


@pytest.mark.slow
def test_A3_a_fit_that_is_killed_leaves_no_half_model_and_begins_anew(tmp_path):
    folder = tmp_path / "fit"
    expected = fit(folder)
    for number in range(1, 30, 4):
        soak.kill_at_touch(fit, folder, number)
        if (folder / "model").exists():
            check_manifest(folder / "model")
    assert fit(folder) == expected


def fit_quickly(task, folder):
    """Fit and save a small model; return what its folder holds, but for seconds."""
    if task == "classification":
        model = TextClassifier(transfer=QUICK, random_state=0).fit(TEXTS[:25], LABELS[:25])
    else:
        model = TokenTagger(transfer=QUICK, random_state=0)
        words = [text.split() for text in TEXTS[:25]]
        model.fit(words, [[f"T{len(word) % 3}" for word in each] for each in words])
    model.save(folder / "model")
    config = read_json(folder / "model" / "config.json")
    del config["report"]["seconds"]
    names = ("model.safetensors", "tokenizer.json")
    return config, [(folder / "model" / name).read_bytes() for name in names]


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def die_at_step(number):
    """Let this process be killed after so many updates, before anything else is done."""
    done = itertools.count(1)

    def dying(*args, **kwargs):
        for step in train(*args, **kwargs):
            if next(done) == number:
                die()
            yield step

    neural.train = dying


def die_at_call(owner, name, *, number=2, after=False):
    """Let this process be killed as so many-th call of a function begins, or when it has ended."""
    real, calls = getattr(owner, name), itertools.count(1)

    def dying(*args, **kwargs):
        last = next(calls) == number
        if last and not after:
            die()
        found = real(*args, **kwargs)
        if last:
            die()
        return found

    setattr(owner, name, dying)


LOOKS = {  # what looks at the validation part, and what that needs
    "classification": ((Task, "validate"), (text_pipelines, "pipeline_scores")),
    "tagging": ((tag_pipelines, "validate"), (tag_training, "inference_batches")),
}
POSITIONS = {
    "the first step": lambda task: die_at_step(13),
    "the middle of an epoch": lambda task: die_at_step(15),
    "the last batch of an epoch": lambda task: die_at_step(17),
    "the first of the second": lambda task: die_at_step(18),
    "the first of the third": lambda task: die_at_step(23),
    "a validation": lambda task: die_at_call(*LOOKS[task][1]),
    "after it, before the best is known": lambda task: die_at_call(*LOOKS[task][0], after=True),
    "the model is saved": lambda task: die_at_call(os, "rename", number=1),
}


@pytest.fixture(scope="module", params=LOOKS)
def uninterrupted(request, tmp_path_factory):
    """A task, and what a fit of it at one go leaves."""
    return request.param, fit_quickly(request.param, tmp_path_factory.mktemp("whole"))


@pytest.mark.slow
@pytest.mark.parametrize("position", POSITIONS)
def test_A4_a_fit_that_is_killed_begins_anew_and_nothing_differs(position, uninterrupted, tmp_path):
    task, expected = uninterrupted
    fit_task = functools.partial(fit_quickly, task)
    child = soak.in_child(fit_task, tmp_path, before=lambda: POSITIONS[position](task))
    assert soak.was_killed(child)
    assert not (tmp_path / "model").exists()
    assert fit_task(tmp_path) == expected


@pytest.mark.slow
def test_A3_a_prediction_that_is_interrupted_loses_no_row(tmp_path):
    counts = soak.soak_predictions(5, tmp_path, seed=2)
    assert counts["interrupted"] == counts["absent"] + counts["whole"] == 5
    assert counts["short"] == counts["lost"] == 0
    assert {path.name for path in tmp_path.iterdir()} <= {
        *("model", "texts.jsonl", "out.csv", "out.jsonl")
    }


def test_A3_what_a_killed_prediction_left_is_gone_after_the_next(tmp_path):
    predict, out = soak.prediction(tmp_path), tmp_path / "out" / "rows.csv"

    def is_killed_at(touch):
        def before():
            soak.be_silent()
            soak.signal_at_touch(out.parent, touch, signal.SIGKILL)

        return soak.was_killed(soak.in_child(predict, out, before=before))

    times_left = 0
    for _ in itertools.takewhile(is_killed_at, itertools.count(1)):
        left = list(out.parent.glob(".*"))
        assert len(left) <= 1
        times_left += len(left)
    assert times_left > 5
    assert os.listdir(out.parent) == [out.name]


MAIN = "import sys; from headstart.cli.app import main; sys.exit(main())"


CLOCK = {"seconds", "cores_used", "predictions_per_second", "spent", "why"}  # `why` tells seconds


def without_clock(value):
    """Return results without what no two comparisons share."""
    if isinstance(value, dict):
        return {name: without_clock(each) for name, each in value.items() if name not in CLOCK}
    return [without_clock(each) for each in value] if isinstance(value, list) else value


@pytest.mark.slow
def test_A3_a_comparison_that_is_stopped_loses_no_finished_cell(tmp_path):
    data, out = tmp_path / "train.csv", tmp_path / "out"
    data.write_text(
        "text,label\n" + "".join(f"{t},{x}\n" for t, x in zip(TEXTS, LABELS, strict=True))
    )
    how = {"methods": ["majority", "tfidf"], "label_budgets": [6, 24], "seeds": 3, "workers": 1}
    whole = compare(data, out=out, **how).results
    out.rename(tmp_path / "whole")
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
    found = compare(data, out=out, **how).results
    assert len(found["cells"]) == 2 * 2 * 3
    assert {path: path.read_bytes() for path in kept} == kept
    assert without_clock(found) == without_clock(whole)
