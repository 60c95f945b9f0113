"""`headstart pretrain`: a representation learned from unlabelled text."""

from pathlib import Path
from typing import Annotated

import typer

from headstart.cli.options import Config, Debug, Json, Seed, TextColumn, save_settings
from headstart.cli.terminal import print_json, say


def pretrain(
    context: typer.Context,
    method: Annotated[str, typer.Argument(metavar="METHOD", help="word2vec or glove.")],
    *,
    corpus: Annotated[
        list[Path],
        typer.Option(
            "--corpus", metavar="PATH", help="Text: file, folder or glob; may be repeated."
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the encoder is saved.")],
    size: Annotated[
        str, typer.Option(metavar="SIZE", help="tiny, mini, small, medium or base.")
    ] = "small",
    epochs: Annotated[
        float | None, typer.Option(metavar="N", help="Passes over the corpus.")
    ] = None,
    minutes: Annotated[float | None, typer.Option(metavar="N", help="Minutes of training.")] = None,
    tokens: Annotated[int | None, typer.Option(metavar="N", help="Tokens to read.")] = None,
    cbow: Annotated[
        bool, typer.Option("--cbow", help="word2vec by CBOW instead of skip-gram.")
    ] = False,
    tokenizer: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="words, whitespace, bpe, wordpiece, or a tokenizer.json."
        ),
    ] = "words",
    min_count: Annotated[
        int, typer.Option(metavar="N", min=1, help="Rarer words get no vector.")
    ] = 5,
    text_column: TextColumn = None,
    seed: Seed = 0,
    threads: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Threads; with 1 the result is always the same."),
    ] = None,
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Pretrain an encoder on unlabelled text.

    For example:

        headstart pretrain word2vec --corpus articles.txt --minutes 5 --out runs/word2vec
    """
    from headstart.cli.bars import Bars
    from headstart.hub import store
    from headstart.storage import check_new

    check_new(out)
    bars = Bars()
    encoder = store.pretrain(
        method,
        corpus,
        text_column=text_column,
        size=size,
        epochs=epochs,
        minutes=minutes,
        tokens=tokens,
        tokenizer=tokenizer,
        min_count=min_count,
        options={"cbow": True} if cbow else None,
        seed=seed,
        threads=threads,
        progress=bars,
    )
    encoder.save(out)
    save_settings(context, out)
    if as_json:
        print_json({"folder": str(out), "lineage": encoder.lineage})
    else:
        say(f"{encoder.name}, saved in {out}")
