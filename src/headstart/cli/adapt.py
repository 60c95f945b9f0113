"""`headstart adapt`: continue pretraining a model on text from the task's domain."""

from pathlib import Path
from typing import Annotated

import typer

from headstart.cli.options import (
    CORPUS,
    AllowDrift,
    Config,
    CorpusColumn,
    Debug,
    Device,
    Epochs,
    Json,
    Minutes,
    MoreSettings,
    SaveMinutes,
    Seed,
    SkipBadBatches,
    Threads,
    Tokens,
    Track,
    read_more_settings,
)
from headstart.cli.terminal import print_json, say


def adapt(
    context: typer.Context,
    encoder: Annotated[
        str, typer.Argument(metavar="ENCODER", help="BERT or GPT: folder or Hub id.")
    ],
    *,
    corpus: Annotated[list[Path], CORPUS],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to save the encoder in.")],
    epochs: Epochs = None,
    minutes: Minutes = None,
    tokens: Tokens = None,
    steps: Annotated[int | None, typer.Option(metavar="N", help="Weight updates.")] = None,
    more: MoreSettings = None,
    text_column: CorpusColumn = None,
    seed: Seed = 0,
    threads: Threads = None,
    device: Device = "cpu",
    save_minutes: SaveMinutes = 5.0,
    skip_bad_batches: SkipBadBatches = 0,
    allow_drift: AllowDrift = None,
    track: Track = None,
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Continue pretraining a BERT or GPT on text from your domain.

    Do this before fitting the encoder to a task. Without --epochs, --minutes, --tokens or --steps,
    it trains for 20 minutes. Rerun the same command to resume a stopped run.

    For example:

        headstart adapt runs/bert --corpus reviews.txt --minutes 10 --out runs/bert-reviews
    """
    from headstart.cli.bars import Bars
    from headstart.cli.running import keep_run, resumable, run_folder, told
    from headstart.hub import store
    from headstart.storage import check_new

    check_new(out)
    with resumable(out):
        adapted = store.adapt(
            encoder,
            corpus,
            text_column=text_column,
            epochs=epochs,
            minutes=minutes,
            tokens=tokens,
            steps=steps,
            options=read_more_settings(more) or None,
            seed=seed,
            threads=threads,
            device=device,
            run_folder=run_folder(out),
            save_minutes=save_minutes,
            skip_bad_batches=skip_bad_batches,
            allow_drift=allow_drift or (),
            track=track,
            progress=Bars(),
        )
    if not keep_run(adapted, out, context):
        return
    if as_json:
        print_json({"folder": str(out), "lineage": adapted.lineage})
    else:
        say(*told(adapted), f"{adapted.name}, saved in {out}")
