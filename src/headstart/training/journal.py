"""The journal of a run: one JSON object per line, and TensorBoard files if requested."""

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
    """Records a run's steps and validations.

    Args:
        file: The open log file; None for none.
        writer: The TensorBoard writer; None for none.
    """

    def __init__(self, file: IO[str] | None, writer: Any) -> None:  # noqa: ANN401 - optional
        self._file = file
        self._writer = writer

    def write(self, step: int, kind: str, values: Mapping[str, float]) -> None:
        """Write a line and, in TensorBoard, a point on the curve `kind/name` for each value.

        Values that are not finite become null, as JSON cannot represent them, and get no point.
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
        """Flush the log to disk, so that no checkpoint is ahead of it."""
        if self._file is not None:
            with disk_errors(Path(self._file.name)):
                os.fsync(self._file.fileno())


@contextmanager
def open_journal(path: Path | None, *, track: Path | None, after: int) -> Iterator[Journal]:
    """Open the log of a run that continues after step `after`, and drop later lines.

    Args:
        path: The log file; None to write none.
        track: The folder for TensorBoard files; None to write none.
        after: The last step to keep; 0 for a new run.

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
            with disk_errors(path):  # closing retries a failed write
                file.close()
    finally:
        if writer is not None:
            writer.close()


def _tensorboard(track: Path, after: int) -> Any:  # noqa: ANN401 - an optional dependency
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise MissingExtraError(
            "tracking a run needs TensorBoard; install it: pip install headstart[track]"
        ) from None
    with disk_errors(track):
        return SummaryWriter(str(track), purge_step=after + 1)


def _drop_lines(path: Path, after: int) -> None:
    """Drop the lines of later steps, and a line truncated when its process was killed."""
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
