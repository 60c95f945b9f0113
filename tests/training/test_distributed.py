import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from headstart.training.distributed import (
    copy_from_first,
    from_first,
    process_group,
    rank_and_size,
    sum_numbers,
    sum_over_processes,
)

PROGRAM = Path(__file__).with_name("tiny_run.py")

# Two processes check what travels between them; the second's numbers differ from the first's.
EXCHANGE = """
import torch
from headstart.errors import NonFiniteError
from headstart.training.distributed import *
from headstart.training.loop import train
from headstart.training.optimizers import Adam

with process_group():
    rank, size = rank_and_size()
    assert size == 2
    with process_group():
        pass
    assert sum_numbers(rank + 1, 0.5) == [3.0, 1.0]
    assert from_first({"rank": rank}) == {"rank": 0}
    tensor = torch.full((3,), float(rank))
    copy_from_first([tensor])
    assert tensor.tolist() == [0.0, 0.0, 0.0]
    both, one, none = (torch.nn.Parameter(torch.zeros(2, 2)) for _ in range(3))
    both.grad = torch.full((2, 2), rank + 1.0)
    if rank:
        one.grad = torch.ones(2, 2)
    numbers = torch.tensor(2.5), torch.tensor(3 + rank)
    assert [each.item() for each in sum_over_processes([both, one, none], numbers)] == [5.0, 7.0]
    assert both.grad.tolist() == [[3.0, 3.0]] * 2
    assert one.grad.tolist() == [[1.0, 1.0]] * 2
    assert none.grad is None

    # A process may have no micro-batch in a step; bad numbers of one stop both before they update.
    weight = torch.nn.Parameter(torch.ones(2))
    batches = [[] if rank else [torch.ones(2)], [torch.tensor([1.0, torch.nan if rank else 1.0])]]
    compute_loss = lambda batch: ((weight * batch).sum(), torch.tensor(1))
    optimizer = Adam([weight], lr=0.1)
    steps = train(batches, compute_loss, optimizer, schedule=lambda step: 1.0, max_norm=9.0)
    assert next(steps).loss == 2.0
    before = weight.tolist()
    try:
        next(steps)
    except NonFiniteError:
        assert weight.tolist() == before
    else:
        raise AssertionError("went on")
assert rank_and_size() == (0, 1)
"""


def _torchrun(*arguments):
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, "-m", *torchrun, *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_one_process_is_alone(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    parameter, number = torch.nn.Parameter(torch.ones(1)), torch.tensor(3.0)
    with process_group():
        assert rank_and_size() == (0, 1)
    assert sum_numbers(1, 2.5) == [1, 2.5]
    assert from_first("value") == "value"
    assert sum_over_processes([parameter], [number]) == [number]
    copy_from_first([parameter])
    assert parameter.item() == 1.0


@pytest.mark.slow
def test_what_two_processes_exchange(tmp_path):
    (tmp_path / "exchange.py").write_text(EXCHANGE)
    _torchrun(tmp_path / "exchange.py")


@pytest.mark.slow
def test_two_processes_reach_the_loss_of_one_and_one_goes_on_alone(tmp_path, tiny):
    def alone(folder):
        model = tiny.TinyModel(dropout=0.0)
        objective = tiny.TinyObjective(model)
        return tiny.run(model, objective, settings=tiny.settings(), folder=folder)

    result = tmp_path / "result.json"
    _torchrun(PROGRAM, "--folder", tmp_path / "run", "--result", result, "--dropout", "0")
    two, one = json.loads(result.read_text()), alone(None)
    assert (two["processes"], one["processes"]) == (2, 1)
    assert two["tokens"] == one["tokens"]
    assert two["training_loss"] == pytest.approx(one["training_loss"], abs=1e-4)
    assert two["validation"] == pytest.approx(one["validation"], abs=1e-4)
    assert len((tmp_path / "run" / "log.jsonl").read_text().splitlines()) == 12 + 3
    for step in (10, 12):
        (tmp_path / "run" / f"step-{step:08}").rename(tmp_path / f"gone-{step}")
    (tmp_path / "gone-10").rename(tmp_path / "run" / "step-00000010")
    again = alone(tmp_path / "run")
    assert again["resumed_at"] == 10
    assert again["validation"] == pytest.approx(one["validation"], abs=1e-4)
