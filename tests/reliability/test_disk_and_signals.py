"""A6 to A10: full disks, the order of writes, signals, several writers, another run's folder."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time

import pytest
import tiny_run
import torch
from safetensors.torch import load_file
from tests.disks import disk_of
from tiny_run import Notes, digest, start

from headstart import storage
from headstart.budget import Budget
from headstart.cli import app
from headstart.data.corpora import as_corpus
from headstart.errors import (
    FormatError,
    InterruptedRunError,
    LockedError,
    SettingsError,
    StorageError,
)
from headstart.hub import store
from headstart.storage import folder_lock
from headstart.tokenize.encoded import encode_corpus
from headstart.tokenize.words import WordTokenizer
from headstart.training import checkpoints, runs
from headstart.training.signals import SECOND


def names(folder):
    return sorted(path.name for path in folder.glob("step-*"))


def hidden(folder):
    return [path.name for path in folder.glob(".*") if "lock" not in path.name]


# A6


def test_A6_a_full_disk_at_a_save_leaves_the_checkpoint_before(tmp_path):
    whole, *_ = start(tmp_path / "whole", width=32)
    stack = contextlib.ExitStack()

    def fill():
        stack.enter_context(disk_of(3500))  # bytes; 60 % of the weights

    with stack, pytest.raises(StorageError) as error:
        start(tmp_path / "run", width=32, at_step=4, act=fill)
    assert error.value.exit_code == 74
    assert "MiB are needed, " in str(error.value)
    assert (names(tmp_path / "run"), hidden(tmp_path / "run")) == (["step-00000002"], [])
    model, *_ = start(tmp_path / "run", width=32)
    assert digest(model, tmp_path / "run") == digest(whole, tmp_path / "whole")


def test_A6_a_full_disk_at_a_line_of_the_log(tmp_path):
    whole, *_ = start(tmp_path / "whole")
    log = tmp_path / "run" / "log.jsonl"
    with contextlib.ExitStack() as stack, pytest.raises(StorageError, match=r"log\.jsonl"):
        start(
            tmp_path / "run",
            at_step=5,
            act=lambda: stack.enter_context(disk_of(log.stat().st_size + 10)),
        )
    assert names(tmp_path / "run")[-1] == "step-00000004"
    model, *_ = start(tmp_path / "run")
    assert digest(model, tmp_path / "run") == digest(whole, tmp_path / "whole")


def test_A6_a_full_disk_at_the_encoded_corpus(tmp_path):
    texts = ["one two three"] * 500
    tokenizer = WordTokenizer.train(texts, min_count=1)
    with disk_of(1000), pytest.raises(StorageError, match="MiB are free; "):
        encode_corpus(as_corpus(texts).texts(), tokenizer, tmp_path)


def test_A6_a_disk_that_is_really_full(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", str(disk)]
    if (
        shutil.which("mount") is None
        or subprocess.run(command, capture_output=True, check=False).returncode
    ):
        pytest.skip("this process may not mount a disk of its own")
    try:
        progress = Notes()
        with pytest.raises(StorageError, match=r"No space left on device; .* are needed, ") as told:
            start(disk / "run", width=48, keep=9, progress=progress)
        assert told.value.exit_code == 74
        assert any("checkpoints may take" in note for note in progress.notes)
        found = checkpoints.newest_checkpoint(disk / "run", Notes())
        assert found is not None
        assert hidden(disk / "run") == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


# A7


def test_A7_files_are_synced_then_named_then_verified_and_old_ones_go_last(tmp_path, monkeypatch):
    events = []
    real_sync, real_rename, real_check = os.fsync, os.rename, checkpoints.check_written

    def sync(descriptor):
        events.append(("sync", os.readlink(f"/proc/self/fd/{descriptor}")))
        real_sync(descriptor)

    def rename(source, target):
        events.append(("rename", os.path.basename(target)))
        real_rename(source, target)

    def check(folder, files):
        events.append(("verify", folder.name))
        real_check(folder, files)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "rename", rename)
    monkeypatch.setattr(checkpoints, "check_written", check)
    old = os.umask(0o027)
    try:
        start(tmp_path / "run", budget=Budget(steps=2), validate_every=9, keep=1)
        events.clear()
        start(tmp_path / "run2", budget=Budget(steps=4), validate_every=9, keep=1, held_out=False)
    finally:
        os.umask(old)
    at = events.index(("rename", "step-00000004"))
    synced = [name for what, name in events[:at] if what == "sync"]
    for part in ("model.safetensors", "optimizer.safetensors", "log.jsonl", ".manifest.json."):
        assert any(f"/{part}" in name for name in synced)
    assert events[at + 1] == ("sync", str(tmp_path / "run2"))
    assert events[at + 2] == ("verify", "step-00000004")
    assert events.index(("rename", ".step-00000002.old")) > at + 2
    folder = tmp_path / "run2" / "step-00000004"
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o640}


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors"])
def test_A7_a_disk_that_keeps_other_bytes_is_found_before_older_ones_go(
    name, tmp_path, monkeypatch
):
    real = checkpoints.write_safetensors

    def write(path, tensors):
        real(path, tensors)
        if path.name == name and "step-00000004" in str(path):
            content = bytearray(path.read_bytes())
            content[-1] ^= 1
            path.write_bytes(content)

    monkeypatch.setattr(checkpoints, "write_safetensors", write)
    with pytest.raises(FormatError, match=rf"step-00000004/{name}: \S+ is not what was written"):
        start(tmp_path, budget=Budget(steps=4), keep=1)
    assert (tmp_path / "step-00000002").is_dir()


# A8


def ask(number, times=1):
    def send():
        for _ in range(times):
            os.kill(os.getpid(), number)

    return send


@pytest.fixture
def default_hangup():
    """Let a terminal that closes end this process, as it does by default."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("default_hangup")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_A8_a_signal_in_training_saves_and_ends_with_75(number, tmp_path):
    whole, *_ = start(tmp_path / "whole")
    with pytest.raises(InterruptedRunError, match=r"after step 5, .* to resume from") as error:
        start(tmp_path / "run", at_step=5, act=_once(ask(number)))
    assert error.value.exit_code == 75
    assert names(tmp_path / "run")[-1] == "step-00000005"
    model, *_ = start(tmp_path / "run")
    assert digest(model, tmp_path / "run") == digest(whole, tmp_path / "whole")


def _once(act):
    done = []

    def once():
        if not done:
            done.append(act())

    return once


@pytest.mark.parametrize("step", [4, 12])
def test_A8_a_signal_in_a_long_validation_does_not_wait_for_it(step, tmp_path, monkeypatch):
    whole, *_ = start(tmp_path / "whole")
    validate = tiny_run.TinyObjective.validate

    def long(self):
        if self.seen[-1][0] == step:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
        return validate(self)

    began = time.monotonic()
    with monkeypatch.context() as patch:
        patch.setattr(tiny_run.TinyObjective, "validate", long)
        with pytest.raises(InterruptedRunError):
            start(tmp_path / "run")
    assert time.monotonic() - began < 30
    model, _, report = start(tmp_path / "run")
    assert report["resumed_at"] == step
    assert digest(model, tmp_path / "run") == digest(whole, tmp_path / "whole")


@pytest.mark.parametrize("times", [1, 2])
def test_A8_signals_while_saving(times, tmp_path, monkeypatch):
    whole, *_ = start(tmp_path / "whole")
    write, calls = checkpoints.write_safetensors, []

    def interrupted(path, tensors):
        calls.append(0)
        if len(calls) == 3:  # the weights of the second checkpoint
            ask(signal.SIGINT, times)()
        write(path, tensors)

    expected = InterruptedRunError if times == 1 else KeyboardInterrupt
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "write_safetensors", interrupted)
        with pytest.raises(expected) as stopped:
            start(tmp_path / "run")
    if times == 2:
        assert stopped.value.__notes__ == [SECOND]
        assert names(tmp_path / "run") == ["step-00000002"]
    assert hidden(tmp_path / "run") == []
    model, *_ = start(tmp_path / "run")
    assert digest(model, tmp_path / "run") == digest(whole, tmp_path / "whole")


@pytest.mark.parametrize(("second", "code"), [(False, 75), (True, 130)])
def test_A8_a_signal_before_the_first_step(second, code, tmp_path, monkeypatch, capsys):
    def prepare(*_, **__):
        stop = KeyboardInterrupt()
        if second:
            stop.add_note(SECOND)
        raise stop

    monkeypatch.setattr(store, "pretrain", prepare)
    out = str(tmp_path / "out")
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert app.main(["pretrain", "gpt", "--corpus", "a.txt", "--out", out]) == code
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ("to resume from" in capsys.readouterr().err) is not second


# A9


def test_A9_of_eight_writers_one_wins_and_the_others_name_it(tmp_path):
    for round_ in range(10):
        folder = tmp_path / str(round_)
        children = [_writer(folder) for _ in range(8)]
        told = [os.read(reading, 400).decode() for _, reading, _ in children]
        won = [text for text in told if text.startswith("won")]
        assert len(won) == 1, told
        lost = [text for text in told if not text.startswith("won")]
        for text in lost:
            assert text.startswith("73 ")
            assert "in use by" in text
        for _, _, letting_go in children:
            os.close(letting_go)
        for child, reading, _ in children:
            os.waitpid(child, 0)
            os.close(reading)


def _writer(folder):
    """Start a process that wants the folder, tells how it went, and keeps it until it is let go."""
    reading, telling = os.pipe()
    waiting, letting_go = os.pipe()
    child = os.fork()
    if child:
        os.close(telling)
        os.close(waiting)
        return child, reading, letting_go
    try:
        os.close(letting_go)
        try:
            with folder_lock(folder):
                os.write(telling, b"won")
                os.read(waiting, 1)  # until it is let go
        except LockedError as error:
            os.write(telling, f"{error.exit_code} {error}".encode())
    finally:
        os._exit(0)


def test_A9_the_holder_is_named_and_a_dead_one_holds_nothing(tmp_path):
    child, reading, letting_go = _writer(tmp_path)
    assert os.read(reading, 400) == b"won"
    message = rf"in use by process {child} on .* since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d"
    with pytest.raises(LockedError, match=message), folder_lock(tmp_path):
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reading)
    os.close(letting_go)
    with folder_lock(tmp_path):
        pass


def test_A9_a_folder_on_a_network_is_told(tmp_path, monkeypatch):
    local, remote = Notes(), Notes()
    start(tmp_path / "local", progress=local)
    monkeypatch.setattr(storage, "file_system", lambda path: "nfs4")
    start(tmp_path / "remote", progress=remote)
    assert not any("network" in note for note in local.notes)
    (note,) = [note for note in remote.notes if "network" in note]
    assert note.startswith(
        f"{tmp_path / 'remote'}: on a network file system (nfs4), where the lock may not"
    )


# A10


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"learning_rate": 0.02}, "learning_rate: 0.01 -> 0.02"),
        ({"seed": 6}, "seed: 5 -> 6"),
        ({"budget": Budget(steps=13)}, "budget.steps: 12 -> 13"),
        ({"bf16": True}, "bf16: false -> true"),
        ({"warm_up": 0.5}, "warm_up: 0.06 -> 0.5"),
        ({"identity": {"corpus": "another"}}, 'corpus: "counting" -> "another"'),
        ({"identity": {"corpus": "counting", "sizes": {"width": 9}}}, "sizes.width: absent -> 9"),
    ],
)
def test_A10_another_run_is_refused_field_by_field(change, named, tmp_path):
    start(tmp_path)
    with pytest.raises(SettingsError) as error:
        start(tmp_path, **change)
    assert error.value.exit_code == 2
    assert named in str(error.value)


@pytest.mark.parametrize(
    ("change", "key", "old_new"),
    [
        ({"learning_rate": 0.02}, "learning_rate", ["0.01", "0.02"]),
        ({"budget": Budget(steps=13)}, "budget.steps", ["12", "13"]),
        ({"identity": {"corpus": "another"}}, "corpus", ['"counting"', '"another"']),
    ],
)
def test_A10_a_change_that_is_allowed_goes_on_and_is_told(change, key, old_new, tmp_path):
    with pytest.raises(InterruptedRunError):
        start(tmp_path, at_step=7, act=_once(ask(signal.SIGTERM)))
    with pytest.raises(SettingsError, match=rf"allow the change \(--allow-drift {key}\)"):
        start(tmp_path, **change)
    with pytest.raises(InterruptedRunError):
        start(tmp_path, at_step=9, act=_once(ask(signal.SIGTERM)), allow_drift=(key,), **change)
    _, objective, report = start(tmp_path, **change)  # which is now the run that is there
    assert report["drift"] == [{key: old_new}]
    assert report["resumed_at"] == 9
    assert report["bit_exact"] is False
    assert objective.seen[-1][0] == report["steps"]
    with pytest.raises(SettingsError, match=key):
        start(tmp_path)  # as it was


@pytest.mark.parametrize(
    ("owner", "name", "value"),
    [
        (torch, "get_num_threads", lambda: 7),
        (torch, "__version__", "9.9.9"),
        (runs, "rank_and_size", lambda: (0, 2)),
    ],
)
def test_A10_another_machine_goes_on_and_says_that_bits_differ(
    owner, name, value, tmp_path, monkeypatch
):
    with pytest.raises(InterruptedRunError):
        start(tmp_path, at_step=5, act=_once(ask(signal.SIGTERM)))
    monkeypatch.setattr(owner, name, value)
    progress = Notes()
    _, _, report = start(tmp_path, progress=progress)
    assert report["bit_exact"] is False
    assert any("will not be bit-identical" in note for note in progress.notes)


@pytest.mark.parametrize("name", ["moved", "with spaces", "😀", "n" * 255])
def test_A10_a_run_may_be_moved(name, tmp_path):
    whole, *_ = start(tmp_path / "whole")
    with pytest.raises(InterruptedRunError):
        start(tmp_path / "run", at_step=7, act=_once(ask(signal.SIGTERM)))
    (tmp_path / "run").rename(tmp_path / name)
    model, *_ = start(tmp_path / name)
    assert digest(model, tmp_path / name) == digest(whole, tmp_path / "whole")


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_A10_so_many_stay_and_the_best(keep, tmp_path, monkeypatch):
    losses = {4: 1.0, 8: 2.0, 12: 3.0}
    monkeypatch.setattr(
        tiny_run.TinyObjective, "validate", lambda self: {"loss": losses[self.seen[-1][0]]}
    )
    start(tmp_path, keep=keep)
    newest = [f"step-{step:08}" for step in (8, 10, 12)[3 - keep :]]
    assert names(tmp_path) == ["step-00000004", *newest]


@pytest.mark.parametrize("how", ["corrupt", "gone"])
def test_A10_without_its_best_checkpoint_a_run_ends_with_its_last_weights(
    how, tmp_path, monkeypatch
):
    losses = {4: 1.0, 8: 2.0, 12: 3.0}
    monkeypatch.setattr(
        tiny_run.TinyObjective, "validate", lambda self: {"loss": losses[self.seen[-1][0]]}
    )
    start(tmp_path)
    best = tmp_path / "step-00000004"
    if how == "gone":
        shutil.rmtree(best)
    else:
        (best / "model.safetensors").write_bytes(b"")
    model, _, report = start(tmp_path)
    assert report["best_step"] == 12
    assert (tmp_path / "step-00000004.corrupt").is_dir() is (how == "corrupt")
    saved = load_file(tmp_path / "step-00000012" / "model.safetensors")
    assert torch.equal(model.tokens.weight, saved["tokens.weight"])


def test_A10_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StorageError) as error:
        start(tmp_path / "file" / "run")
    assert error.value.exit_code == 74


def test_A10_the_state_of_a_run_holds_no_path(tmp_path):
    start(tmp_path / "run")
    for file in (tmp_path / "run").glob("**/*.json"):
        assert str(tmp_path) not in json.dumps(json.loads(file.read_text()))
