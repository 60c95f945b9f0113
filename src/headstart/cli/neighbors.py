"""`headstart neighbors`: the words nearest to a word, and analogies."""

from pathlib import Path
from typing import Annotated

import typer

from headstart.cli.options import Config, Debug, Json
from headstart.cli.terminal import print_json, print_table, say


def neighbors(
    encoder: Annotated[
        Path,
        typer.Argument(metavar="ENCODER", help="Word vectors (folder or file) or a fitted model."),
    ],
    words: Annotated[
        list[str], typer.Argument(metavar="WORD...", help="Words to find neighbors of.")
    ],
    minus: Annotated[
        list[str] | None,
        typer.Option("--minus", metavar="WORD", help="Word to subtract; may be repeated."),
    ] = None,
    top: Annotated[int, typer.Option("--top", metavar="N", min=1, help="Number of words.")] = 10,
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show the words nearest to a word, or complete an analogy.

    Words are ranked by cosine similarity. With --minus, the second example asks: man is to king as
    woman is to what?

    For example:

        headstart neighbors glove.6B.100d.txt king

        headstart neighbors glove.6B.100d.txt king woman --minus man
    """
    from headstart.cli.bars import Bars
    from headstart.cli.loading import load_word_vectors

    vectors = load_word_vectors(encoder, progress=Bars())
    found = vectors.most_similar(words, minus or [], top=top)
    rows = [{"word": word, "similarity": similarity} for word, similarity in found]
    if as_json:
        print_json(rows)
    elif rows:
        print_table(rows)
    else:
        say("no other words")
