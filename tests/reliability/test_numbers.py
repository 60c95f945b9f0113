"""B1 to B3: bad numbers, losses that stand out, and too little memory."""

import json
import math
import os
import resource

import pytest
import tiny_run
import torch
from safetensors.torch import load_file
from tiny_run import Killed, Notes, digest, start

from headstart.budget import Budget
from headstart.cli import app
from headstart.errors import MemoryLimitError, NonFiniteError
from headstart.pretrain import causal_lm
from headstart.training import checkpoints


def spoil(monkeypatch, how, steps):
    """Let the loss of these steps be spoiled."""
    loss = tiny_run.TinyObjective.loss

    def bad(self, batch):
        total, count = loss(self, batch)
        return (how(self, total) if self.seen[-1][0] in steps else total), count

    monkeypatch.setattr(tiny_run.TinyObjective, "loss", bad)


def bad_gradient(objective, total):
    weight = objective.model.mix.weight
    return total + (weight * 0.0).sum().sqrt()  # 0, whose slope is not finite


SPOILT = {
    "nan": lambda objective, total: total * math.nan,
    "inf": lambda objective, total: total + math.inf,
    "-inf": lambda objective, total: total - math.inf,
    "one gradient": bad_gradient,
}


@pytest.mark.parametrize("what", SPOILT)
def test_B1_bad_numbers_stop_before_a_weight_is_touched(what, tmp_path, monkeypatch):
    spoil(monkeypatch, SPOILT[what], {7})
    with pytest.raises(
        NonFiniteError, match=r"step 7: .*the checkpoint of step 6 .* is intact"
    ) as e:
        start(tmp_path)
    assert e.value.exit_code == 76
    if what in {"nan", "one gradient"}:
        assert "first at mix.weight" in str(e.value) or "first at tokens.weight" in str(e.value)
    assert checkpoints.newest_checkpoint(tmp_path, Notes()).step == 6
    assert "NaN" not in (tmp_path / "log.jsonl").read_text()
    monkeypatch.undo()
    model, *_ = start(tmp_path)
    whole, *_ = start(tmp_path / "whole")
    assert digest(model, tmp_path) == digest(whole, tmp_path / "whole")


def test_B1_one_weight_that_is_not_finite(tmp_path):
    model = tiny_run.TinyModel()
    objective = tiny_run.TinyObjective(model, held_out=False)
    loss = objective.loss

    def breaking(batch):
        if objective.seen[-1][0] == 5:
            with torch.no_grad():
                model.mix.bias[0] = math.nan
        return loss(batch)

    objective.loss = breaking
    with pytest.raises(NonFiniteError, match="step 5: "):
        tiny_run.run(model, objective, settings=tiny_run.settings(), folder=tmp_path)
    assert checkpoints.newest_checkpoint(tmp_path, Notes()).step == 4


def test_B1_a_huge_learning_rate_saves_nothing_bad(tmp_path):
    with pytest.raises(NonFiniteError):
        start(tmp_path, learning_rate=1e20, warm_up=0.0, budget=Budget(steps=40))
    for file in tmp_path.glob("step-*/model.safetensors"):
        assert all(torch.isfinite(each).all() for each in load_file(file).values())


def test_B1_the_batch_names_its_documents():
    batch = causal_lm.Batch(*[None] * 4, documents=torch.arange(3).numpy())
    assert batch.describe() == "documents 0, 1, 2"


def test_B1_bad_batches_are_skipped_counted_and_limited(tmp_path, monkeypatch):
    spoil(monkeypatch, SPOILT["nan"], {3, 7})
    progress = Notes()
    _, _, report = start(tmp_path / "whole", skip_bad_batches=2, progress=progress)
    assert report["skipped_batches"] == 2
    assert any("1 of at most 2" in note for note in progress.notes)
    lines = [
        json.loads(each) for each in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()
    ]
    skipped = [line for line in lines if line["kind"] == "skipped"]
    assert [(line["step"], line["loss"]) for line in skipped] == [(3, None), (7, None)]
    with pytest.raises(NonFiniteError, match="step 7: "):
        start(tmp_path / "one", skip_bad_batches=1)
    _, _, report = start(tmp_path / "one", skip_bad_batches=2)  # who stopped on one may go on
    assert report["skipped_batches"] == 2


def test_B1_the_count_survives_a_kill(tmp_path, monkeypatch):
    def kill():
        raise Killed

    spoil(monkeypatch, SPOILT["nan"], {3, 7})
    whole, *_ = start(tmp_path / "whole", skip_bad_batches=2)
    with pytest.raises(Killed):
        start(tmp_path / "run", at_step=6, act=kill, skip_bad_batches=2)
    model, _, report = start(tmp_path / "run", skip_bad_batches=2)
    assert report["skipped_batches"] == 2
    assert digest(model, tmp_path / "run") == digest(whole, tmp_path / "whole")


@pytest.mark.parametrize("most", [1, 2])
def test_B2_a_spike_is_told_or_left_out_and_a_bad_number_never_enters_the_statistics(
    most, tmp_path, monkeypatch
):
    def kill():
        raise Killed

    how = {"budget": Budget(steps=300), "skip_bad_batches": most, "save_every": 50,
           "validate_every": 300, "learning_rate": 1e-3}  # fmt: skip
    _, _, clean = start(tmp_path / "clean", **how)
    spoil(monkeypatch, lambda _, total: total * 1000, {180})
    spoil(monkeypatch, SPOILT["nan"], {150})
    whole, _, report = start(tmp_path / "whole", **how)
    assert report["skipped_batches"] == most
    log = map(json.loads, (tmp_path / "whole" / "log.jsonl").read_text().splitlines())
    assert [line["step"] for line in log if line["kind"] == "skipped"] == [150, 180][:most]
    assert 180 in [spike["step"] for spike in report["loss_spikes"]]
    assert len(report["loss_spikes"]) <= len(clean["loss_spikes"]) + 1
    assert report["validation"]["loss"] == pytest.approx(clean["validation"]["loss"], rel=0.05)
    with pytest.raises(Killed):
        start(tmp_path / "run", at_step=170, act=kill, **how)
    model, *_ = start(tmp_path / "run", **how)
    assert digest(model, tmp_path / "run") == digest(whole, tmp_path / "whole")


def _with_little_memory(work):
    """Do the work in a child that may take 64 MiB more than it has; return what it tells."""
    reading, telling = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            pages = int(open("/proc/self/statm").read().split()[0])  # noqa: SIM115
            limit = pages * resource.getpagesize() + 64 * 2**20
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            try:
                work()
            except MemoryLimitError as error:
                os.write(telling, f"{error.exit_code} {error}".encode())
        finally:
            os._exit(0)
    os.close(telling)
    os.waitpid(child, 0)
    told = os.read(reading, 2000).decode()
    os.close(reading)
    return told


@pytest.mark.parametrize("stage", ["a batch", "a save", "a validation"])
def test_B3_too_little_memory_is_told_with_its_stage(stage, tmp_path, monkeypatch):
    def work():
        if stage == "a save":
            monkeypatch.setattr(checkpoints, "write_safetensors", lambda *_: torch.zeros(2**30))
        if stage == "a validation":
            monkeypatch.setattr(tiny_run.TinyObjective, "validate", lambda _: torch.zeros(2**30))
        at_step = 3 if stage == "a batch" else None
        start(tmp_path, at_step=at_step, act=lambda: torch.zeros(2**30))

    told = _with_little_memory(work)
    where, last = {
        "a batch": ("step 3", 2),
        "a save": ("saving a checkpoint", None),
        "a validation": ("validation after step 4", 2),
    }[stage]
    assert told.startswith(f"70 {where}: not enough memory")
    saved = checkpoints.newest_checkpoint(tmp_path, Notes())
    assert (saved and saved.step) == last


def test_B3_at_any_other_place_too_little_memory_is_one_line(capsys):
    assert app._end(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")) == 70
    assert app._end(MemoryError()) == 70
    told = capsys.readouterr().err.splitlines()
    assert [line.startswith("error: not enough memory; ") for line in told] == [True, True]
