"""`headstart pretrain`: learn a representation from unlabeled text."""

from pathlib import Path
from typing import Annotated

import typer

from headstart.cli.options import (
    AllowDrift,
    Config,
    Corpus,
    CorpusColumn,
    Debug,
    Device,
    Epochs,
    Json,
    Method,
    Minutes,
    MoreSettings,
    SaveMinutes,
    Seed,
    Size,
    SkipBadBatches,
    Threads,
    Tokens,
    Track,
    read_more_settings,
)
from headstart.cli.terminal import print_json, say


def pretrain(
    context: typer.Context,
    method: Method,
    *,
    corpus: Corpus = None,
    parallel: Annotated[
        list[Path] | None,
        typer.Option(
            "--parallel",
            metavar="PATH",
            help="For cove: one TSV (source, target), or give it twice: source file, target file.",
        ),
    ] = None,
    vectors: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="For cove: its word vectors. Default: train GloVe first."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to save the encoder in.")],
    size: Size = None,
    epochs: Epochs = None,
    minutes: Minutes = None,
    tokens: Tokens = None,
    steps: Annotated[
        int | None,
        typer.Option(metavar="N", help="Weight updates, for cove, elmo, gpt and bert."),
    ] = None,
    cbow: Annotated[
        bool, typer.Option("--cbow", help="Train word2vec with CBOW instead of skip-gram.")
    ] = False,
    tokenizer: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="words, whitespace, bpe, wordpiece, or a tokenizer.json."
        ),
    ] = None,
    min_count: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Minimum count of a word. Default: 5; for cove 2."),
    ] = None,
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
    """Pretrain an encoder on unlabeled text (cove: translations).

    Without --epochs, --minutes, --tokens or --steps, word2vec trains for 5 epochs, glove for 25,
    and the others for 20 minutes. Rerun the same command to resume a stopped run. Under torchrun,
    the same command trains cove, elmo, gpt and bert on several processes.

    For example:

        headstart pretrain word2vec --corpus articles.txt --minutes 5 --out runs/word2vec

        headstart pretrain bert --corpus articles.txt --size mini --minutes 20 --out runs/bert

        headstart pretrain cove --parallel train.en --parallel train.de --out runs/cove
    """
    from headstart.cli.bars import Bars
    from headstart.cli.running import keep_run, resumable, run_folder, told
    from headstart.hub import store
    from headstart.storage import check_new

    check_new(out)
    options = read_more_settings(more) | ({"cbow": True} if cbow else {})
    with resumable(out):
        encoder = store.pretrain(
            method,
            corpus,
            parallel=parallel,
            vectors=vectors,
            text_column=text_column,
            size=size,
            epochs=epochs,
            minutes=minutes,
            tokens=tokens,
            steps=steps,
            tokenizer=tokenizer,
            min_count=min_count,
            options=options or None,
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
    if not keep_run(encoder, out, context):
        return
    if as_json:
        print_json({"folder": str(out), "lineage": encoder.lineage})
    else:
        say(*told(encoder), f"{encoder.name}, saved in {out}")
