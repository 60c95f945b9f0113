"""Runs of compiled code, whose weights are arrays: saving checkpoints and resuming.

Training threads pause while the arrays are saved. With one thread, a resumed run is bit-identical
to an uninterrupted one.
"""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from headstart.errors import FormatError, InterruptedRunError, NonFiniteError, SettingsError
from headstart.progress import Progress
from headstart.storage import folder_lock
from headstart.training import checkpoints
from headstart.training.signals import Signals, noted_signals

SAVE_MINUTES = 5.0  # between checkpoints, of any kind of run
_KEEP = 2  # newest checkpoints to keep

Arrays = Mapping[str, NDArray[Any]]


class ArrayRun:
    """A run in progress.

    Attributes:
        place: The position saved with the checkpoint it resumes from; empty for a new run.
    """

    def __init__(
        self, folder: Path | None, arrays: Arrays, signals: Signals, save_minutes: float
    ) -> None:
        self.folder, self.arrays, self.signals = folder, arrays, signals
        self.place: dict[str, Any] = {}
        self._save_seconds = 60.0 * save_minutes
        self._last_save = time.perf_counter()

    def take_up(self, progress: Progress) -> None:
        """Load the arrays of the newest intact checkpoint, if there is one."""
        if self.folder is None:
            return
        found = checkpoints.newest_checkpoint(self.folder, progress)
        if found is None:
            return
        checkpoints.load_checkpoint(found, self._tensors())
        place = found.state.get("place")
        if not isinstance(place, dict):
            raise FormatError(f"{found.folder / checkpoints.STATE}: invalid run state")
        self.place = place
        progress.note(f"{self.folder}: resuming from its last checkpoint")

    def rest_is_due(self) -> bool:
        """Return whether it is time to save; threads check this and stop."""
        late = time.perf_counter() - self._last_save > self._save_seconds
        return self.folder is not None and (late or bool(self.signals.received))

    def save(self, step: int, place: Mapping[str, Any]) -> None:
        """Save the arrays if they are finite, and stop if a signal was received.

        Raises:
            NonFiniteError: They are not finite; earlier checkpoints are untouched.
            InterruptedRunError: A signal was received; the same call resumes from here.
        """
        for name, array in self.arrays.items():
            if not np.isfinite(array).all():
                good = "" if self.folder is None else f"; checkpoints in {self.folder} are intact"
                raise NonFiniteError(
                    f"training diverged: {name} are no longer finite; lower learning_rate{good}"
                )
        if self.folder is None:
            return
        if not (self.folder / f"step-{step:08}").exists():
            files = {checkpoints.WEIGHTS: self._tensors()}
            checkpoints.save_checkpoint(self.folder, step, files=files, state={"place": place})
            checkpoints.prune_checkpoints(self.folder, keep=_KEEP, best=None)
        self._last_save = time.perf_counter()
        if self.signals.received:
            raise InterruptedRunError(
                f"stopped by {self.signals.received[0]}; rerun the same command or call to resume "
                f"from {self.folder}"
            )

    def _tensors(self) -> dict[str, torch.Tensor]:
        return {name: torch.from_numpy(array) for name, array in self.arrays.items()}


@contextmanager
def array_run(
    arrays: Arrays,
    *,
    folder: Path | None,
    description: Mapping[str, Any],
    save_minutes: float = SAVE_MINUTES,
    progress: Progress,
) -> Iterator[ArrayRun]:
    """Yield the run whose weights are `arrays`, resumed where one in the same folder stopped.

    Args:
        arrays: Trained in place.
        folder: Where checkpoints go; a run found there is resumed. None: nothing is written.
        description: What distinguishes this run from others; plain values.
        save_minutes: Minutes between checkpoints.
        progress: Where progress goes.

    Raises:
        SettingsError: `folder` holds a different run.
        FormatError: It holds checkpoints, but none is intact, or they do not fit the arrays.
        LockedError: Another process is using the folder.
    """
    if not 0 < save_minutes < math.inf:
        raise SettingsError(f"save_minutes must be above 0, got {save_minutes}")
    with ExitStack() as stack:
        if folder is not None:
            stack.enter_context(folder_lock(folder, note=progress.note))
            checkpoints.open_run(folder, {"identity": dict(description)})
        signals = stack.enter_context(noted_signals(active=folder is not None))
        run = ArrayRun(folder, arrays, signals, save_minutes)
        run.take_up(progress)
        yield run
