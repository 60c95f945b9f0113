"""Whole runs: their result, their stops, and that a run which was stopped is one that was not."""

import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from headstart.budget import Budget
from headstart.errors import (
    FormatError,
    InterruptedRunError,
    LockedError,
    NonFiniteError,
    SettingsError,
)
from headstart.storage import folder_lock
from headstart.training.precision import has_fast_bf16
from headstart.training.runs import RunSettings, run

STEPS = 12
CLOCK = {"tokens_per_second", "seconds"}


class Notes:
    def __init__(self):
        self.notes, self.spent = [], 0.0

    @contextlib.contextmanager
    def stage(self, description, total=None, unit=""):
        assert (total, unit) == (1.0, "")
        yield self.advance

    def advance(self, amount):
        self.spent += amount

    def note(self, message):
        self.notes.append(message)


class Killed(BaseException):
    """Stands for the end of the process at once."""


@pytest.fixture
def start(tiny):
    """Start a run of its own model; return model, objective and report."""

    def start(folder=None, *, at_step=None, act=None, progress=None, **changes):
        model = tiny.TinyModel(width=changes.pop("width", 8))
        objective = tiny.TinyObjective(model, held_out=changes.pop("held_out", True))
        identity = changes.pop("identity", {"corpus": "counting"})
        if act is not None:
            objective.loss = _acting(objective, at_step, act)
        report = run(
            model,
            objective,
            settings=tiny.settings(**changes),
            folder=folder,
            identity=identity,
            progress=progress or Notes(),
        )
        return model, objective, report

    return start


def _acting(objective, at_step, act):
    loss = objective.loss

    def acting(batch):
        if torch.is_grad_enabled() and objective.seen[-1][0] == at_step:
            act()
        return loss(batch)

    return acting


def _kill():
    raise Killed


def _ask_to_stop(number):
    return lambda: os.kill(os.getpid(), number) if _ours(number) else None


def _ours(number):
    return getattr(signal.getsignal(number), "__qualname__", "").startswith("noted_signals")


def _digest(model, folder):
    """What a run leaves: weights, optimizer state, and the log without its clock."""
    weights = b"".join(p.detach().numpy().tobytes() for p in model.parameters())
    newest = max(folder.glob("step-*"))
    optimizer = (newest / "optimizer.safetensors").read_bytes()
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    log = [{name: v for name, v in line.items() if name not in CLOCK} for line in lines]
    return hashlib.sha256(weights + optimizer).hexdigest(), log


def _names(folder):
    return sorted(path.name for path in folder.glob("step-*"))


def test_a_run_learns_and_reports(start, tmp_path):
    progress = Notes()
    model, objective, report = start(tmp_path / "run", progress=progress)
    assert (report["steps"], report["tokens"], report["epochs"]) == (12, 12 * 8 * 9, 1.5)
    assert [scores["step"] for scores in report["curve"]] == [4, 8, 12]
    assert report["curve"][0]["loss"] > report["validation"]["loss"]
    assert report["validation"] == report["curve"][-1]
    assert report["best_step"] == 12
    assert report["tokens_per_second"] > 0
    assert [step for step, _ in objective.seen] == list(range(1, 13))
    assert progress.spent == pytest.approx(1.0)
    assert not model.training
    json.dumps(report, allow_nan=False)


def test_the_log_has_every_step_once(start, tmp_path):
    start(tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    training = [line for line in lines if line["kind"] == "training"]
    assert [line["step"] for line in training] == list(range(1, 13))
    assert {"loss", "rate", "norm", "tokens", *CLOCK} < set(training[0])
    assert training[-1]["tokens"] == 12 * 8 * 9
    validations = [line for line in lines if line["kind"] == "validation"]
    assert [line["step"] for line in validations] == [4, 8, 12]
    assert {"loss", "perplexity"} < set(validations[0])


def test_two_runs_are_the_same_and_another_seed_is_not(start, tmp_path):
    digests = [
        _digest(start(tmp_path / name, seed=seed)[0], tmp_path / name)
        for name, seed in (("one", 0), ("two", 0), ("three", 1))
    ]
    assert digests[0] == digests[1]
    assert digests[0] != digests[2]


def test_neither_a_folder_nor_validation_changes_the_weights(start, tmp_path):
    model, *_ = start(tmp_path)
    without, _, report = start(None, held_out=False)
    assert report["validation"] is None
    for one, two in zip(model.parameters(), without.parameters(), strict=True):
        assert torch.equal(one, two)


def test_the_global_stream_is_left_alone(tiny):
    model = tiny.TinyModel()
    before = torch.get_rng_state()
    run(model, tiny.TinyObjective(model), settings=tiny.settings())
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("step", [1, 2, 3, 5, 8, 9, 12])
def test_after_a_kill_at_any_step_the_result_is_the_same(start, tmp_path, step):
    whole, *_ = start(tmp_path / "whole")
    with pytest.raises(Killed):
        start(tmp_path / "run", at_step=step, act=_kill)
    model, objective, report = start(tmp_path / "run")
    assert report["resumed_at"] == objective.seen[0][0] - 1 == (step - 1) // 2 * 2
    assert _digest(model, tmp_path / "run") == _digest(whole, tmp_path / "whole")


@pytest.mark.parametrize("budget", [Budget(tokens=860), Budget(epochs=1.5)])
def test_budgets_of_tokens_and_epochs_resume_exactly_too(start, tmp_path, budget):
    whole, *_ = start(tmp_path / "whole", budget=budget, validate_every=None)
    with pytest.raises(Killed):
        start(tmp_path / "run", at_step=7, act=_kill, budget=budget, validate_every=None)
    model, _, report = start(tmp_path / "run", budget=budget, validate_every=None)
    assert report["steps"] == STEPS
    assert _digest(model, tmp_path / "run") == _digest(whole, tmp_path / "whole")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("step", [1, 7, 12])
def test_a_signal_finishes_the_step_and_saves(start, tmp_path, step, number):
    whole, *_ = start(tmp_path / "whole")
    before = signal.getsignal(number)
    with pytest.raises(InterruptedRunError, match=f"after step {step}, .*to resume from"):
        start(tmp_path / "run", at_step=step, act=_ask_to_stop(number))
    assert signal.getsignal(number) is before
    assert _names(tmp_path / "run")[-1] == f"step-{step:08}"
    model, _, report = start(tmp_path / "run")
    assert report["resumed_at"] == step
    assert _digest(model, tmp_path / "run") == _digest(whole, tmp_path / "whole")


def test_a_second_ctrl_c_stops_at_once(start, tmp_path):
    def twice():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        start(tmp_path, at_step=6, act=twice)
    assert _names(tmp_path)[-1] == "step-00000004"


def test_without_a_folder_a_signal_acts_as_ever(start):
    with pytest.raises(KeyboardInterrupt):
        start(None, at_step=3, act=lambda: os.kill(os.getpid(), signal.SIGINT))


def test_a_finished_run_is_not_trained_again(start, tmp_path):
    model, _, report = start(tmp_path)
    again, objective, second = start(tmp_path)
    assert objective.seen == []
    assert torch.equal(model.tokens.weight, again.tokens.weight)
    kept = set(report) - {"tokens_per_second", "resumed_at"}
    assert {name: second[name] for name in kept} == {name: report[name] for name in kept}


def test_minutes_before_a_stop_count(start, tmp_path):
    budget = Budget(minutes=1 / 600)
    _, _, report = start(tmp_path / "whole", budget=budget)
    assert 0.1 <= report["training_seconds"] < 5.0
    with pytest.raises(InterruptedRunError):
        start(tmp_path / "run", at_step=3, act=_ask_to_stop(signal.SIGTERM), budget=budget)
    state = json.loads((tmp_path / "run" / "step-00000003" / "state.json").read_text())
    place = state["place"] | {"seconds": 60.0}  # as if a minute had passed before the stop
    _edit(tmp_path / "run" / "step-00000003", {**state, "place": place})
    _, objective, report = start(tmp_path / "run", budget=budget)
    assert objective.seen == []
    assert report["training_seconds"] == 60.0


def test_minutes_to_find_out_how_far_a_run_is_do_not_count(start, tmp_path, tiny, monkeypatch):
    with pytest.raises(InterruptedRunError):
        start(tmp_path, at_step=3, act=_ask_to_stop(signal.SIGTERM))
    waited, now, epochs = [0.0], time.perf_counter, tiny.TinyObjective.epochs

    def slow(self, step):
        if step:
            waited[0] = 3600.0  # by this clock, the first time
        return epochs(self, step)

    monkeypatch.setattr(tiny.TinyObjective, "epochs", slow)
    clock = SimpleNamespace(perf_counter=lambda: now() + waited[0])
    monkeypatch.setattr("headstart.training.runs.time", clock)
    _, _, report = start(tmp_path)
    assert report["resumed_at"] == 3
    assert report["training_seconds"] < 3600.0


def _edit(folder, state):
    (folder / "state.json").write_text(json.dumps(state))
    manifest = json.loads((folder / "manifest.json").read_text())
    digest = hashlib.sha256((folder / "state.json").read_bytes()).hexdigest()
    manifest["sha256"]["state.json"] = digest
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_the_weights_of_the_best_validation_are_kept(start, tmp_path, tiny, monkeypatch):
    losses = {4: 2.0, 8: 1.0, 12: 3.0}
    monkeypatch.setattr(
        tiny.TinyObjective, "validate", lambda self: {"loss": losses[self.seen[-1][0]]}
    )
    for folder in (tmp_path / "run", None):
        model, _, report = start(folder, keep=1)
        assert (report["best_step"], report["validation"]["loss"]) == (8, 1.0)
        assert [scores["loss"] for scores in report["curve"]] == [2.0, 1.0, 3.0]
        at_eight, *_ = start(tmp_path / "again", keep=9)
        assert torch.equal(model.tokens.weight, at_eight.tokens.weight)
    assert _names(tmp_path / "run") == ["step-00000008", "step-00000012"]
    monkeypatch.undo()
    last, *_ = start(None, held_out=False)
    assert not torch.equal(model.tokens.weight, last.tokens.weight)


def test_validations_on_other_text_are_not_compared(start, tmp_path, tiny, monkeypatch):
    losses = {4: 0.1, 8: 0.2, 12: 0.3, 16: 2.0, 20: 3.0}
    monkeypatch.setattr(
        tiny.TinyObjective, "validate", lambda self: {"loss": losses[self.seen[-1][0]]}
    )
    start(tmp_path)
    progress, changed = Notes(), {"budget": Budget(steps=20), "held_out": "another"}
    changed["identity"] = {"corpus": "another"}
    with pytest.raises(Killed):
        start(tmp_path, at_step=18, act=_kill, **changed, allow_drift=("corpus", "budget.steps"))
    _, _, report = start(tmp_path, **changed, progress=progress)
    assert not any(
        "validation text has changed" in note for note in progress.notes
    )  # nothing changed since
    assert (report["best_step"], report["validation"]["loss"]) == (16, 2.0)
    assert [scores["loss"] for scores in report["curve"]] == list(losses.values())
    _, _, report = start(tmp_path, **{**changed, "held_out": "a third"})
    assert report["best_step"] == 16  # whose budget is spent


def test_a_longer_run_is_compared_with_what_it_was(start, tmp_path, tiny, monkeypatch):
    losses = {4: 3.0, 8: 1.0, 12: 2.0, 16: 2.0}
    monkeypatch.setattr(
        tiny.TinyObjective, "validate", lambda self: {"loss": losses[self.seen[-1][0]]}
    )
    start(tmp_path)
    longer = {"budget": Budget(steps=16), "allow_drift": ("budget.steps",)}
    assert start(tmp_path, **longer)[2]["best_step"] == 8


def test_a_damaged_checkpoint_costs_its_steps_only(start, tmp_path):
    whole, *_ = start(tmp_path / "whole")
    with pytest.raises(Killed):
        start(tmp_path / "run", at_step=9, act=_kill)
    file = tmp_path / "run" / "step-00000008" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    progress = Notes()
    model, _, report = start(tmp_path / "run", progress=progress)
    assert report["resumed_at"] == 6
    assert any(str(file) in note for note in progress.notes)
    assert (tmp_path / "run" / "step-00000008.corrupt").is_dir()
    assert _digest(model, tmp_path / "run") == _digest(whole, tmp_path / "whole")


def test_all_damaged_is_an_error_and_no_fresh_start(start, tmp_path):
    start(tmp_path)
    for file in tmp_path.glob("step-*/state.json"):
        file.write_text("{}")
    for _ in range(2):
        with pytest.raises(FormatError, match=r"none of its \d+ checkpoints is intact"):
            start(tmp_path)


def test_a_checkpoint_of_another_kind_of_run_is_refused(start, tmp_path):
    start(tmp_path)
    newest = tmp_path / "step-00000012"
    state = json.loads((newest / "state.json").read_text())
    _edit(newest, {**state, "place": {"steps": 3}})
    with pytest.raises(FormatError, match=r"state\.json: invalid run state"):
        start(tmp_path)


def test_other_settings_are_refused_by_name(start, tmp_path):
    start(tmp_path)
    with pytest.raises(SettingsError) as error:
        start(tmp_path, budget=Budget(steps=20), learning_rate=0.02, identity={"corpus": "b"})
    told = str(error.value)
    assert 'corpus: "counting" -> "b"; budget.steps: 12 -> 20; learning_rate: 0.01 -> 0.02' in told
    start(tmp_path, keep=1, save_every=None, save_minutes=1.0)  # these make no other run


def test_another_model_is_refused_by_tensor(start, tmp_path):
    start(tmp_path)
    with pytest.raises(FormatError, match=r"'tokens\.weight'"):
        start(tmp_path, width=16)


def test_another_number_of_threads_is_noted(start, tmp_path, monkeypatch):
    with pytest.raises(Killed):
        start(tmp_path, at_step=5, act=_kill)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    progress = Notes()
    start(tmp_path, progress=progress)
    assert any("threads: 1 -> 7" in note for note in progress.notes)


def test_a_folder_is_one_process_at_a_time(start, tmp_path):
    with folder_lock(tmp_path), pytest.raises(LockedError):
        start(tmp_path)


def test_bad_numbers_leave_the_last_good_checkpoint(start, tmp_path, tiny, monkeypatch):
    loss = tiny.TinyObjective.loss

    def bad(self, batch):
        total, count = loss(self, batch)
        return (total * float("nan") if self.seen[-1][0] == 7 else total), count

    monkeypatch.setattr(tiny.TinyObjective, "loss", bad)
    with pytest.raises(NonFiniteError, match=r"step 7: .*the checkpoint of step 6 in .* is intact"):
        start(tmp_path)
    assert _names(tmp_path) == ["step-00000004", "step-00000006"]
    assert "NaN" not in (tmp_path / "log.jsonl").read_text()


def test_weights_that_are_not_finite_are_never_saved(start, tmp_path):
    with pytest.raises(NonFiniteError, match=r"step 2: "):
        start(tmp_path, learning_rate=1e300, warm_up=0.0, held_out=False)
    assert _names(tmp_path) == []


def test_bfloat16_is_a_switch(start, tiny, monkeypatch):
    seen = set()
    forward = tiny.TinyModel.forward

    def watched(self, ids):
        seen.add((torch.is_grad_enabled(), self.mix(self.tokens(ids)).dtype))
        return forward(self, ids)

    monkeypatch.setattr(tiny.TinyModel, "forward", watched)
    _, _, report = start(None, bf16=True)
    assert report["bf16"] is True
    assert seen == {(True, torch.bfloat16), (False, torch.bfloat16)}
    seen.clear()
    _, _, report = start(None, bf16=False)
    assert seen == {(True, torch.float32), (False, torch.float32)}
    _, _, report = start(None, bf16=None)
    assert report["bf16"] is has_fast_bf16(torch.device("cpu"))


def test_tensorboard_gets_a_file(start, tmp_path):
    start(tmp_path / "run", track=tmp_path / "track")
    assert list((tmp_path / "track").glob("events.out.tfevents.*"))


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"max_norm": float("nan")}, "max_norm"),
        ({"warm_up": 1.0}, "warm_up"),
        ({"weight_decay": -0.1}, "weight_decay"),
        ({"betas": (0.9, 1.0)}, "betas"),
        ({"validate_every": 0}, "validate_every"),
        ({"keep": 1.5}, "keep"),
    ],
)
def test_settings_check_themselves(change, name):
    with pytest.raises(SettingsError, match=name):
        replace(RunSettings(budget=Budget(steps=1)), **change)


def _program(*arguments):
    program = os.path.join(os.path.dirname(__file__), "tiny_run.py")
    return subprocess.Popen(
        [sys.executable, program, *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )


def _wait_for_a_checkpoint(folder, process):
    while process.poll() is None and not _names(folder):
        time.sleep(0.01)


@pytest.mark.slow
def test_sigterm_ends_a_process_with_75(start, tmp_path):
    folder = tmp_path / "run"
    with _program("--folder", str(folder), "--pause", "0.05") as process:
        _wait_for_a_checkpoint(folder, process)
        process.terminate()
        told = process.stderr.read()
    assert process.returncode == 75, told
    assert told.startswith("stopped by SIGTERM after step ")
    whole, *_ = start(tmp_path / "whole", identity={})
    model, _, report = start(folder, identity={})
    assert report["resumed_at"] >= 2
    assert _digest(model, folder) == _digest(whole, tmp_path / "whole")


@pytest.mark.slow
def test_sigkill_at_any_time_costs_only_time(start, tmp_path):
    folder = tmp_path / "run"
    with _program("--folder", str(folder), "--pause", "0.03") as process:
        _wait_for_a_checkpoint(folder, process)
        time.sleep(random.uniform(0.0, 0.8))
        process.kill()
    assert process.returncode == -signal.SIGKILL
    whole, *_ = start(tmp_path / "whole", identity={})
    model, *_ = start(folder, identity={})
    assert _digest(model, folder) == _digest(whole, tmp_path / "whole")
