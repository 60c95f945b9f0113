"""Code shared by `pretrain` and `adapt`: the run folder, resuming, and saving the encoder."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from headstart.cli.options import save_settings
from headstart.errors import InterruptedRunError
from headstart.hub.bundle import Pretrained
from headstart.training.signals import SECOND

_LOG = "log.jsonl"


def run_folder(out: Path) -> Path:
    """Return the folder for checkpoints and log until the encoder is saved in `out`."""
    return out.with_name(f"{out.name}.run")


@contextmanager
def resumable(out: Path) -> Iterator[None]:
    """Make an interrupt before the first step or after the last one resumable, too.

    During training, the run itself handles the signal. A second signal stops at once.
    """
    try:
        yield
    except KeyboardInterrupt as stop:
        if SECOND in getattr(stop, "__notes__", ()):
            raise
        raise InterruptedRunError(
            f"stopped outside of training; rerun the same command to resume from {run_folder(out)}"
        ) from None


def keep_run(encoder: Pretrained, out: Path, context: typer.Context) -> bool:
    """Save the encoder with the run's log and settings, and remove the checkpoints.

    With several processes, only the first one does so and returns true.
    """
    if int(os.environ.get("RANK", "0")):
        return False
    encoder.save(out)
    save_settings(context, out)
    folder = run_folder(out)
    if (folder / _LOG).exists():
        shutil.copyfile(folder / _LOG, out / _LOG)
    shutil.rmtree(folder, ignore_errors=True)
    return True


def told(encoder: Pretrained) -> list[str]:
    """Return the lines with a run's scores on the held-out documents."""
    found = encoder.lineage.get("validation")
    if not found:
        return []
    scores = ", ".join(
        f"{name.replace('_', ' ')} {value:.4g}" for name, value in found.items() if name != "step"
    )
    return [f"held-out documents: {scores}"]
