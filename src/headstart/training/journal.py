"""The journal of a run: one JSON object a line, and TensorBoard's files where they are wanted."""

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from headstart.errors import MissingExtraError
from headstart.storage import disk_errors, write_text


class Journal:
    """Where a run writes down its steps and validations.

    Args:
        file: The opened log; None for none.
        writer: TensorBoard's; None for none.
    """

    def __init__(self, file: IO[str] | None, writer: Any) -> None:  # noqa: ANN401 - of an extra
        self._file = file
        self._writer = writer

    def write(self, step: int, kind: str, values: Mapping[str, float]) -> None:
        """Add a line and, in TensorBoard, a point on the curve `kind/name` of each value.

        What is not finite becomes null, and no point: JSON has no word for it.
        """
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        if self._file is not None:
            line = {"kind": kind, "step": step, **{name: finite.get(name) for name in values}}
            with disk_errors(Path(self._file.name)):
                self._file.write(json.dumps(line, allow_nan=False) + "\n")
                self._file.flush()
        if self._writer is not None:
            for name, value in finite.items():
                self._writer.add_scalar(f"{kind}/{name}", value, step)

    def sync(self) -> None:
        """Bring the log to the disk, so that no checkpoint is ahead of it."""
        if self._file is not None:
            with disk_errors(Path(self._file.name)):
                os.fsync(self._file.fileno())


@contextmanager
def open_journal(path: Path | None, *, track: Path | None, after: int) -> Iterator[Journal]:
    """Open the log of a run that goes on after step `after`: later lines of it are dropped.

    Args:
        path: The log; None to write none.
        track: The folder of TensorBoard's files; None to write none.
        after: The last step that stays; 0 for a fresh run.

    Raises:
        MissingExtraError: `track` is given and TensorBoard is not installed.
    """
    writer = None if track is None else _tensorboard(track, after)
    try:
        if path is None:
            yield Journal(None, writer)
            return
        _drop_lines(path, after)
        with disk_errors(path):
            file = path.open("a", encoding="utf-8")
        try:
            yield Journal(file, writer)
        finally:
            with disk_errors(path):  # closing tries again what did not fit
                file.close()
    finally:
        if writer is not None:
            writer.close()


def _tensorboard(track: Path, after: int) -> Any:  # noqa: ANN401 - of an extra
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise MissingExtraError(
            "tracking a run needs TensorBoard; install it: pip install headstart[track]"
        ) from None
    with disk_errors(track):
        return SummaryWriter(str(track), purge_step=after + 1)


def _drop_lines(path: Path, after: int) -> None:
    """Drop the lines of later steps, and one that was cut off when its process was killed."""
    if not path.exists():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        lines = list(file)
    kept = [line for line in lines if _step(line) <= after]
    if kept != lines:
        write_text(path, "".join(kept))


def _step(line: str) -> float:
    try:
        return int(json.loads(line)["step"]) if line.endswith("\n") else math.inf
    except (ValueError, TypeError, KeyError):
        return math.inf
