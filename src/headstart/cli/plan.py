"""`headstart plan`: estimate the cost and loss of a pretraining run before starting it."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

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
from headstart.cli.terminal import print_json, say


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
    say(*str(found).split("\n"))
