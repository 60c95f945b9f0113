"""C1 to C3: two processes that train one model, one of them killed, stopped, or alone."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from multiprocessing.connection import wait
from pathlib import Path

import pytest
import tiny_run
import torch

from headstart.budget import Budget
from headstart.storage import check_manifest
from headstart.training import checkpoints

PROGRAM = Path(tiny_run.__file__)
pytestmark = pytest.mark.slow


def words_of(folder, arguments):
    return ["--folder", str(folder), "--result", str(folder.with_suffix(".json")), *arguments]


def torchrun(folder, *arguments):
    """Start two processes; with one, the other ends."""
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
        *("--max-restarts", "0", "--shutdown-timeout", "30"),
        *(PROGRAM, *words_of(folder, arguments)),
    ]
    return subprocess.Popen(
        list(map(str, command)),
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def result(folder):
    return json.loads(folder.with_suffix(".json").read_text())


@pytest.fixture(scope="module")
def two(forkserver):
    """Run two processes as torchrun does, and say whether both came to their end.

    They are forks of one that has imported torch, which is most of what torchrun's take.
    """

    def run(folder, *arguments):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            meeting = ("127.0.0.1", str(free.getsockname()[1]))
        pair = [
            forkserver.Process(target=be_one_of_two, args=(n, meeting, words_of(folder, arguments)))
            for n in (0, 1)
        ]
        for process in pair:
            process.start()
        first_to_end = wait([process.sentinel for process in pair], timeout=400)
        assert first_to_end
        if any(process.exitcode for process in pair):
            for process in pair:
                process.terminate()
        for process in pair:
            process.join(30)
            process.kill()
            process.join()
        return not any(process.exitcode for process in pair)

    return run


def be_one_of_two(rank, meeting, words):
    names = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RESTART_COUNT")
    os.environ.update(zip(names, (str(rank), "2", *meeting, "0"), strict=True))
    sys.exit(tiny_run.main(words))


@pytest.fixture(scope="module")
def unkilled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two") / "run"
    with torchrun(folder) as process:
        _, told = process.communicate(timeout=400)
    assert process.returncode == 0, told
    return result(folder)


def test_C1_after_a_process_dies_the_same_command_goes_on_and_nothing_differs(
    tmp_path, unkilled, two
):
    folder = tmp_path / "run"
    assert not two(folder, "--kill", "1", "4")
    assert two(folder)
    again = result(folder)
    assert again["resumed_at"] == 2
    assert again["weights"] == unkilled["weights"]
    assert again["curve"] == unkilled["curve"]


def test_C2_sigterm_to_the_agent_is_one_save_and_the_run_goes_on(tmp_path, unkilled, two):
    folder = tmp_path / "run"
    with torchrun(folder, "--pause", "0.2") as process:
        while process.poll() is None and not list(folder.glob("step-*")):
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=400)
    steps = sorted(path.name for path in folder.glob("step-*"))
    assert steps[-1] < "step-00000012"
    assert not list(folder.glob(".step-*"))
    assert two(folder)
    assert result(folder)["weights"] == unkilled["weights"]


@pytest.mark.parametrize("rank", [0, 1])
def test_C2_a_process_killed_during_a_save_leaves_whole_checkpoints(rank, tmp_path, unkilled, two):
    folder = tmp_path / "run"
    assert not two(folder, "--kill-while-saving", str(rank))
    saved = sorted(folder.glob("step-*"))
    if rank == 0:  # the one that writes
        assert [path.name for path in saved] == ["step-00000002"]
        assert list(folder.glob(".step-00000004.*"))
    for path in saved:
        check_manifest(path)
    assert two(folder)
    again = result(folder)
    assert again["resumed_at"] == int(saved[-1].name[5:])
    assert again["weights"] == unkilled["weights"]
    assert again["curve"] == unkilled["curve"]
    assert not list(folder.glob(".step-*"))


def in_share(rank, batch_size, monkeypatch):
    """Return what a process of two is given in a step."""
    monkeypatch.setattr(tiny_run, "rank_and_size", lambda: (rank, 2))
    objective = tiny_run.TinyObjective(tiny_run.TinyModel(), batch_size=batch_size)
    return next(objective.batches(1))


def test_C3_two_processes_then_one_then_two_read_the_same_batches(tmp_path, monkeypatch, two):
    """A batch that cannot be halved is shared as it goes: losses are sums over counts."""
    whole = tiny_run.TinyObjective(tiny_run.TinyModel(), batch_size=6)
    everything = torch.cat(next(whole.batches(1)))
    parts = [part for rank in (0, 1) for part in in_share(rank, 6, monkeypatch)]
    assert sorted(torch.cat(parts).tolist()) == sorted(everything.tolist())
    monkeypatch.undo()
    flat = ("--dropout", "0", "--batch-size", "6")
    folder = tmp_path / "run"
    assert two(folder, *flat)
    by_two = result(folder)
    assert [step for step, _ in by_two["seen"]] == list(range(1, 13))
    for name in ("step-00000010", "step-00000012"):
        (folder / name).rename(tmp_path / name)
    (tmp_path / "step-00000010").rename(folder / "step-00000010")
    model = tiny_run.TinyModel(dropout=0.0)
    objective = tiny_run.TinyObjective(model, batch_size=6)
    alone = tiny_run.run(model, objective, settings=tiny_run.settings(), folder=folder)
    assert alone["resumed_at"] == 10
    assert [list(each) for each in objective.seen] == by_two["seen"][10:]
    assert alone["training_loss"] == pytest.approx(by_two["training_loss"], rel=1e-5)
    assert alone["bit_exact"] is False
    one = tiny_run.TinyModel(dropout=0.0)
    lonely = tiny_run.TinyObjective(one, batch_size=6)
    report = tiny_run.run(
        one, lonely, settings=tiny_run.settings(budget=Budget(steps=12)), folder=tmp_path / "one"
    )
    assert report["training_loss"] == pytest.approx(by_two["training_loss"], rel=1e-5)
    assert checkpoints.newest_checkpoint(folder, tiny_run.Notes()).step == 12
