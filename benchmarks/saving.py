"""What saving costs a run: a checkpoint, a plain write of the same bytes, and the share of time.

    python -m benchmarks.saving

Saves a BERT of size `mini` with its optimizer's state, and writes the same tensors with
`safetensors.torch.save_file`, in alternation; the medians are compared. A checkpoint is synced,
checked and read back. The plain write is not, so it is also timed with a sync. Saving's share of
training is the time of a save over the time between two saves.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file

from headstart.models.bert import Bert, BertConfig
from headstart.training.array_runs import SAVE_MINUTES
from headstart.training.checkpoints import (
    OPTIMIZER,
    WEIGHTS,
    model_tensors,
    num_bytes,
    prune_checkpoints,
    save_checkpoint,
)
from headstart.training.optimizers import adamw, state_tensors


def tensors_of_a_run() -> dict[str, dict[str, torch.Tensor]]:
    """Return the tensors of a BERT checkpoint after one step."""
    config = BertConfig(vocabulary_size=8192, positions=128)
    model = Bert(config, mlm=True, nsp=True, generator=torch.Generator().manual_seed(0))
    optimizer = adamw(model, learning_rate=1e-3)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    return {WEIGHTS: model_tensors(model), OPTIMIZER: state_tensors(optimizer)}


def plain(files: dict[str, dict[str, torch.Tensor]], folder: Path, *, sync: bool) -> None:
    """Write the tensors with the library alone, optionally synced."""
    for name, tensors in files.items():
        whole = {key: tensor.detach().contiguous() for key, tensor in tensors.items()}
        save_file(whole, folder / name)
        if sync:
            descriptor = os.open(folder / name, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)


def seconds(work: Callable[[], object]) -> float:
    """Return the seconds that `work` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> int:
    """Measure and print the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--folder", type=Path, help="folder on the disk to measure; by default a temporary one"
    )
    given = parser.parse_args()
    torch.set_num_threads(1)
    files = tensors_of_a_run()
    times: dict[str, list[float]] = {"checkpoint": [], "plain": [], "plain, synced": []}
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name)
        for step in range(1, given.rounds + 1):
            times["checkpoint"].append(
                seconds(lambda step=step: save_checkpoint(folder, step, files=files, state={}))
            )
            prune_checkpoints(folder, keep=1, best=None)
            times["plain"].append(seconds(lambda: plain(files, folder, sync=False)))
            times["plain, synced"].append(seconds(lambda: plain(files, folder, sync=True)))
    median = {name: statistics.median(each) for name, each in times.items()}
    print(f"bytes {num_bytes(*files.values()) / 2**20:.0f} MiB, median of {given.rounds}")
    for name, value in median.items():
        print(f"{name:14} {value:.3f} s")
    ours = median["checkpoint"]
    print(
        f"ratio to plain {ours / median['plain']:.2f}, synced {ours / median['plain, synced']:.2f}"
    )
    share = ours / (60 * SAVE_MINUTES)
    print(f"share of training at the default of {SAVE_MINUTES:.0f} minutes: {share:.2%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
