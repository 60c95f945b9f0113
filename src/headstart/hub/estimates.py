"""The expected cost and result of a pretraining run, and its table."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from headstart.hub.speed import Speed


@dataclass(frozen=True, kw_only=True)
class Course:
    """One possible length of a pretraining run.

    Attributes:
        name: What determines the length: epochs, a number of tokens, minutes.
        tokens: Number of tokens processed.
        epochs: Number of epochs; None without a corpus.
        hours: Wall-clock time, including reading and tokenizing the corpus.
        loss: Expected loss on held-out documents, in nats; None if there is no scaling law.
        beyond: Whether the loss extrapolates beyond the runs that the law was fitted on.
    """

    name: str
    tokens: int
    epochs: float | None
    hours: float
    loss: float | None
    beyond: bool


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The expected cost and result of a pretraining run, which `print` shows as a table.

    Attributes:
        method: The pretraining method.
        size: The model size.
        threads: Number of training threads.
        speed: The measurements, on the whole text or on a sample of it.
        tokens_per_second: Tokens per second of wall-clock time.
        tokens_per_epoch: Tokens of the corpus; None without a corpus.
        parameters: Number of trained parameters.
        preparation_seconds: Time to read the corpus, learn its vocabulary and tokenize it.
        memory_bytes: Peak memory of the process; a lower bound unless `whole`.
        gpu_bytes: Peak GPU memory; 0 on a CPU.
        disk_bytes: Disk space during the run, for checkpoints and the tokenized corpus.
        encoder_bytes: Size of the saved encoder's weights.
        loss_of: Unit of the expected loss; None if there is no scaling law.
        courses: Possible lengths of the run, each with its cost and result.
        whole: Whether the whole text was timed. If only a sample was timed, the whole text needs
            more memory, and the sample does not show how much more.
        notes: Caveats about these figures, one sentence each.
    """

    method: str
    size: str
    threads: int
    speed: Speed
    tokens_per_second: float
    tokens_per_epoch: int | None
    parameters: int
    preparation_seconds: float
    memory_bytes: int
    gpu_bytes: int
    disk_bytes: int
    encoder_bytes: int
    loss_of: str | None
    courses: tuple[Course, ...]
    whole: bool
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        hours = {course.name: float(f"{course.hours:.3g}") for course in self.courses}
        return f"Estimate(method={self.method!r}, size={self.size!r}, {hours=})"

    def __str__(self) -> str:
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        used = "the GPU" if self.gpu_bytes else threads
        lines = [
            f"{self.method} {self.size}: {self.parameters:,} parameters, "
            f"{self.tokens_per_second:,.0f} tokens per second on {used}",
            "",
            *_table(["", "tokens", "epochs", "hours", self.loss_of or ""], map(_row, self.courses)),
            "",
            *([f"GPU: {_megabytes(self.gpu_bytes)} at most"] if self.gpu_bytes else []),
            f"memory: {_megabytes(self.memory_bytes)} at {'most' if self.whole else 'least'}; "
            f"disk: {_megabytes(self.disk_bytes)} during training, "
            f"{_megabytes(self.encoder_bytes)} for the encoder",
            f"the hours include {self.preparation_seconds:.0f} s of reading and encoding",
            *self.notes,
        ]
        return "\n".join(lines)


def _row(course: Course) -> list[str]:
    return [
        course.name,
        f"{course.tokens:,}",
        "" if course.epochs is None else f"{course.epochs:.2f}",
        f"{course.hours:.3g}",
        "" if course.loss is None else f"{course.loss:.2f}{'?' if course.beyond else ''}",
    ]


def _table(header: list[str], rows: Iterable[list[str]]) -> Iterator[str]:
    """Yield the lines of a table, with names on the left and numbers on the right."""
    cells = [header, *rows]
    names, *widths = (max(map(len, column)) for column in zip(*cells, strict=True))
    for name, *numbers in cells:
        sized = (number.rjust(width) for number, width in zip(numbers, widths, strict=True))
        yield "  ".join((name.ljust(names), *sized)).rstrip()


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.0f} MB" if count < 1e10 else f"{count / 1e9:,.1f} GB"
