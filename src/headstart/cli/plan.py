"""`headstart plan`: estimate the cost and loss of a pretraining run before starting it."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headstart.cli.options import (
    Config,
    Corpus,
    CorpusColumn,
    Debug,
    Device,
    Epochs,
    Json,
    Method,
    MoreSettings,
    Size,
    Tokens,
    read_more_settings,
)
from headstart.cli.terminal import print_json, print_table, say

if TYPE_CHECKING:
    from headstart.hub.planning import Course, Estimate


def plan(
    method: Method,
    *,
    corpus: Corpus = None,
    parallel: Annotated[
        list[Path] | None,
        typer.Option("--parallel", metavar="PATH", help="For cove: one TSV, or two aligned files."),
    ] = None,
    size: Size = None,
    tokens: Tokens = None,
    epochs: Epochs = None,
    minutes: Annotated[
        float | None, typer.Option(metavar="N", help="Estimate for N minutes of training.")
    ] = None,
    more: MoreSettings = None,
    text_column: CorpusColumn = None,
    threads: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Threads. Default: all cores.")
    ] = None,
    device: Device = "cpu",
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Estimate the time, memory and loss of a pretraining run.

    Trains the model for a few seconds on your text, or on generated text if only --tokens is given.
    The timing is cached.

    For example:

        headstart plan bert --size mini --corpus articles.txt --minutes 60

        headstart plan gpt --size small --tokens 50M
    """
    from headstart.cli.bars import Bars
    from headstart.hub.planning import plan as plan_pretraining

    found = plan_pretraining(
        method,
        corpus,
        parallel=parallel,
        size=size,
        tokens=tokens,
        epochs=epochs,
        minutes=minutes,
        options=read_more_settings(more) or None,
        text_column=text_column,
        threads=threads,
        device=device,
        progress=Bars(),
    )
    if as_json:
        print_json(asdict(found))
        return
    threads_used = "1 thread" if found.threads == 1 else f"{found.threads} threads"
    used = "the GPU" if found.gpu_bytes else threads_used
    say(
        f"{found.method} {found.size}: {found.parameters:,} parameters, "
        f"{found.tokens_per_second:,.0f} tokens per second on {used}",
        "",
    )
    print_table([_row(found, course) for course in found.courses])
    say(
        "",
        *([f"GPU: {_megabytes(found.gpu_bytes)} at most"] if found.gpu_bytes else []),
        f"memory: {_megabytes(found.memory_bytes)} at {'most' if found.whole else 'least'}; "
        f"disk: {_megabytes(found.disk_bytes)} during training, "
        f"{_megabytes(found.encoder_bytes)} for the encoder",
        f"the hours include {found.preparation_seconds:.0f} s of reading and encoding",
        *found.notes,
    )


def _row(found: "Estimate", course: "Course") -> dict[str, object]:
    row: dict[str, object] = {
        "": course.name,
        "tokens": course.tokens,
        "epochs": "" if course.epochs is None else f"{course.epochs:.2f}",
        "hours": f"{course.hours:.3g}",
    }
    if found.loss_of is not None:
        loss = "" if course.loss is None else f"{course.loss:.2f}"
        row[found.loss_of] = f"{loss}{'?' if course.beyond else ''}"
    return row


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.0f} MB" if count < 1e10 else f"{count / 1e9:,.1f} GB"
