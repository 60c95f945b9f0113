"""Runs of compiled code, whose weights are arrays: kept in checkpoints, and taken up again.

Their threads pause while the arrays are saved. With one thread, a run that was stopped is bit
for bit one that was not.
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

SAVE_MINUTES = 5.0  # between checkpoints, of any run
_KEEP = 2  # of the newest checkpoints stay

Arrays = Mapping[str, NDArray[Any]]


class ArrayRun:
    """A run under way.

    Attributes:
        place: What was saved with the arrays that were found; empty if the run is fresh.
    """

    def __init__(
        self, folder: Path | None, arrays: Arrays, signals: Signals, save_minutes: float
    ) -> None:
        self.folder, self.arrays, self.signals = folder, arrays, signals
        self.place: dict[str, Any] = {}
        self._save_seconds = 60.0 * save_minutes
        self._last_save = time.perf_counter()

    def take_up(self, progress: Progress) -> None:
        """Set the arrays to the newest whole checkpoint, if there is one."""
        if self.folder is None:
            return
        found = checkpoints.newest_checkpoint(self.folder, progress)
        if found is None:
            return
        checkpoints.load_checkpoint(found, self._tensors())
        place = found.state.get("place")
        if not isinstance(place, dict):
            raise FormatError(f"{found.folder / checkpoints.STATE}: is not a run's place")
        self.place = place
        progress.note(f"{self.folder}: going on from its last checkpoint")

    def rest_is_due(self) -> bool:
        """Say whether it is time to save: threads ask it, and stop."""
        late = time.perf_counter() - self._last_save > self._save_seconds
        return self.folder is not None and (late or bool(self.signals.received))

    def save(self, step: int, place: Mapping[str, Any]) -> None:
        """Save arrays that are finite, and stop if a signal came.

        Raises:
            NonFiniteError: They are not; earlier checkpoints are untouched.
            InterruptedRunError: A signal came; the same call goes on from here.
        """
        for name, array in self.arrays.items():
            if not np.isfinite(array).all():
                good = "" if self.folder is None else f"; checkpoints in {self.folder} are good"
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
                f"stopped by {self.signals.received[0]}; the same call or command goes on from "
                f"{self.folder}"
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
    """Yield the run whose weights are `arrays`, where an earlier one in the same folder stopped.

    Args:
        arrays: Trained in place.
        folder: Where checkpoints go; a run found there goes on. None: nothing is written.
        description: What makes this run another than others; plain values.
        save_minutes: Minutes between checkpoints.
        progress: Where progress goes.

    Raises:
        SettingsError: `folder` holds another run.
        FormatError: It holds checkpoints, and none is whole or fits the arrays.
        LockedError: Another process is at work there.
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
