"""`headstart plan`: what a pretraining will take and reach, before it is begun."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headstart.cli.options import (
    Config,
    Corpus,
    Debug,
    Device,
    Epochs,
    Json,
    Method,
    MoreSettings,
    Size,
    TextColumn,
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
        typer.Option("--parallel", metavar="PATH", help="For cove: a TSV, or its two files."),
    ] = None,
    size: Size = None,
    tokens: Tokens = None,
    epochs: Epochs = None,
    minutes: Annotated[
        float | None, typer.Option(metavar="N", help="What fits into so many minutes.")
    ] = None,
    more: MoreSettings = None,
    text_column: TextColumn = None,
    threads: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Threads; by default all cores.")
    ] = None,
    device: Device = "cpu",
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Tell what a pretraining will take on this machine, and what loss it will reach.

    The model is trained for some seconds on your text, or, for --tokens without one, on text
    that is made up; what that took is kept.

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
        f"{found.tokens_per_second:,.0f} tokens a second on {used}",
        "",
    )
    print_table([_row(found, course) for course in found.courses])
    say(
        "",
        *([f"GPU: {_megabytes(found.gpu_bytes)} at most"] if found.gpu_bytes else []),
        f"memory: {_megabytes(found.memory_bytes)} at {'most' if found.whole else 'least'}; "
        f"disk: {_megabytes(found.disk_bytes)} meanwhile, "
        f"{_megabytes(found.encoder_bytes)} for the encoder",
        f"in the hours: {found.preparation_seconds:.0f} s of reading and encoding",
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
