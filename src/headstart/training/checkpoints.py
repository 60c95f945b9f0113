"""Checkpoints: folders that are complete or absent, from which a run resumes bit for bit.

A run's folder contains `run.json`, which describes the run; `log.jsonl`, its journal; and
checkpoints such as `step-00000120/`, each with weights, optimizer state, the position in the run,
and the SHA-256 of every file. No pointer names the newest: it is found by listing the folder.
Loading a checkpoint cannot execute code.
"""

import json
import re
import shutil
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from headstart.errors import FormatError, SettingsError
from headstart.progress import Progress
from headstart.storage import MANIFEST, check_manifest, new_folder, read_json, write_json
from headstart.training.optimizers import Optimizer, load_state_tensors
from headstart.weights import read_safetensors, write_safetensors

FORMAT = 1
WEIGHTS, OPTIMIZER, STATE, RUN = (
    "model.safetensors",
    "optimizer.safetensors",
    "state.json",
    "run.json",
)
_DRIFT = "drift"  # where a run's description records later changes
_NAME = re.compile(r"step-(\d{8,})")

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose files were verified.

    Attributes:
        folder: Where it is.
        step: The step after which it was saved.
        state: What was saved with the weights; plain values.
    """

    folder: Path
    step: int
    state: dict[str, Any]


def open_run(
    folder: Path, description: Mapping[str, Any], *, allowed: Collection[str] | None = None
) -> list[dict[str, Any]]:
    """Create a run's folder, or check that it holds the same run; remove a killed process's files.

    Args:
        folder: The run's folder; this process holds its lock.
        description: What identifies the run, in sections; plain values.
        allowed: Settings that may differ from the existing run, such as `budget.steps`; None if
            runs of this kind cannot be changed.

    Returns:
        The changes so far: for each one, the settings with their old and new values.

    Raises:
        SettingsError: The folder holds a different run; the message names what differs.
        FormatError: It holds checkpoints without `run.json`, or `run.json` cannot be read.
    """
    for rest in (*folder.glob(".step-*"), *folder.glob(f".{RUN}.*"), *folder.glob(".log.jsonl.*")):
        shutil.rmtree(rest) if rest.is_dir() else rest.unlink()
    description = json.loads(json.dumps({"format": FORMAT, **description}, default=str))
    file = folder / RUN
    if not file.exists():
        if any(folder.glob("step-*")):
            raise FormatError(f"{file}: missing next to checkpoints; choose another folder")
        write_json(file, description)
        return []
    found = read_json(file)
    drift: list[dict[str, Any]] = found.pop(_DRIFT, [])
    before, now = (dict(_flat(each)) for each in (found, description))
    changed = {
        name.partition(".")[2] or name: [_told(before, name), _told(now, name)]
        for name in dict.fromkeys((*before, *now))
        if _told(before, name) != _told(now, name)
    }
    if others := [name for name in changed if name not in (allowed or ())]:
        changes = "; ".join(f"{name}: {' -> '.join(changed[name])}" for name in others)
        force = "" if allowed is None else f", allow the change (--allow-drift {others[0]})"
        raise SettingsError(
            f"{folder}: holds a run with other settings: {changes}; "
            f"resume with the old settings{force}, or choose another folder"
        )
    if changed:
        drift = [*drift, changed]
        write_json(file, {**description, _DRIFT: drift})
    return drift


def _flat(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _flat(part, f"{name}.{key}" if name else str(key))
    else:
        yield name, value


def _told(values: Mapping[str, object], name: str) -> str:
    return json.dumps(values[name], ensure_ascii=False) if name in values else "absent"


def save_checkpoint(
    run_folder: Path, step: int, *, files: Mapping[str, Tensors], state: Mapping[str, Any]
) -> None:
    """Write the checkpoint of a step atomically, and read it back to verify it.

    Args:
        run_folder: The run's folder; this process holds its lock.
        step: The step after which it is saved.
        files: The tensors of each file by name: `WEIGHTS`, and `OPTIMIZER` if there is one.
        state: Everything else that is needed to resume; plain values.

    Raises:
        StorageError: The files cannot be written; earlier checkpoints are untouched.
        FormatError: The disk returned other bytes than were written.
    """
    target = run_folder / f"step-{step:08}"
    with new_folder(target, needed=num_bytes(*files.values())) as folder:
        for name, tensors in files.items():
            write_safetensors(folder / name, tensors)
        write_json(folder / STATE, {"format": FORMAT, "step": step, **state})
    check_written(target, files)


def check_written(folder: Path, files: Mapping[str, Tensors]) -> None:
    """Compare a checkpoint's files, byte by byte, with the tensors that were written.

    Raises:
        FormatError: They differ.
    """
    for name, tensors in files.items():
        found = read_safetensors(folder / name)
        for key, tensor in tensors.items():
            if key not in found or not np.array_equal(_bytes(found[key]), _bytes(tensor)):
                raise FormatError(f"{folder / name}: {key} is not what was written; check the disk")


def _bytes(tensor: Tensor) -> NDArray[np.uint8]:
    plain = tensor.detach().cpu().contiguous().flatten()
    array: NDArray[np.uint8] = plain.view(torch.uint8).numpy()
    return array  # as bytes, NaN equals itself; numpy compares many at a time


def num_bytes(*files: Tensors) -> int:
    """Return the total size of the files' tensors in bytes."""
    return sum(t.numel() * t.element_size() for tensors in files for t in tensors.values())


def prune_checkpoints(run_folder: Path, *, keep: int, best: int | None) -> None:
    """Remove all checkpoints except the newest `keep` and the one of step `best`."""
    for step, folder in _found(run_folder)[:-keep]:
        if step != best:
            gone = folder.with_name(f".{folder.name}.old")  # never visible half removed
            folder.rename(gone)
            shutil.rmtree(gone)


def newest_checkpoint(run_folder: Path, progress: Progress) -> Checkpoint | None:
    """Return the newest intact checkpoint; None if there never was one.

    A corrupted checkpoint is renamed to `step-..corrupt` and reported to `progress`.

    Raises:
        FormatError: There are checkpoints, but none is intact.
    """
    for step, _ in reversed(_found(run_folder)):
        if (found := checkpoint_at(run_folder, step, progress)) is not None:
            return found
    if damaged := sorted(run_folder.glob("step-*")):
        raise FormatError(
            f"{run_folder}: none of its {len(damaged)} checkpoints is intact; restore one, or "
            "remove the folder to start over"
        )
    return None


def checkpoint_at(run_folder: Path, step: int, progress: Progress) -> Checkpoint | None:
    """Return the checkpoint of a step; None if it is absent, or corrupted and so renamed."""
    folder = run_folder / f"step-{step:08}"
    if not folder.exists():
        return None
    try:
        names = check_manifest(folder)["sha256"]
        for name in {WEIGHTS, STATE, *(file.name for file in folder.iterdir())} - {MANIFEST}:
            if name not in names:
                raise FormatError(f"{folder / name}: not in the manifest")
        state = read_json(folder / STATE)
    except FormatError as error:
        aside = folder.with_name(f"{folder.name}.corrupt")
        number = 1
        while aside.exists():
            number += 1
            aside = folder.with_name(f"{folder.name}.corrupt{number}")
        folder.rename(aside)
        progress.note(f"{error}; the checkpoint was renamed to {aside.name}")
        return None
    if state.get("format") != FORMAT or state.get("step") != step:
        raise FormatError(f"{folder / STATE}: expected format {FORMAT} and step {step}")
    return Checkpoint(folder, step, state)


def _found(run_folder: Path) -> list[tuple[int, Path]]:
    matches = ((_NAME.fullmatch(path.name), path) for path in run_folder.glob("step-*"))
    return sorted((int(match[1]), path) for match, path in matches if match and path.is_dir())


def load_checkpoint(
    checkpoint: Checkpoint, into: Tensors, optimizer: Optimizer | None = None
) -> None:
    """Copy the weights `into` a model's tensors, and load the optimizer's state if given.

    Raises:
        FormatError: A tensor is missing, unknown, or of another shape or type.
    """
    file = checkpoint.folder / WEIGHTS
    tensors = read_safetensors(file)
    for name in (*into, *tensors):
        if name not in tensors or name not in into:
            what = "missing" if name in into else "unknown to the model"
            raise FormatError(f"{file}: tensor {name!r} is {what}")
        theirs, ours = tensors[name], into[name]
        if theirs.shape != ours.shape or theirs.dtype != ours.dtype:
            raise FormatError(
                f"{file}: tensor {name!r} is {theirs.dtype} {list(theirs.shape)}, "
                f"expected {ours.dtype} {list(ours.shape)}"
            )
    with torch.no_grad():
        for name, tensor in into.items():
            tensor.copy_(tensors[name])
    if optimizer is not None:
        file = checkpoint.folder / OPTIMIZER
        load_state_tensors(optimizer, read_safetensors(file), source=file)


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return parameters and buffers by name; a shared one appears once, by its first name."""
    first: dict[int, str] = {}
    tensors: dict[str, Tensor] = model.state_dict(keep_vars=True)
    for name, tensor in tensors.items():
        first.setdefault(id(tensor), name)
    return {name: tensors[name] for name in first.values()}
