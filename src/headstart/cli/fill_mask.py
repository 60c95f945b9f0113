"""`headstart fill-mask`: what a BERT expects where a word is hidden."""

from typing import Annotated

import typer

from headstart.cli.options import Debug, Json
from headstart.cli.terminal import print_json, print_table
from headstart.errors import SettingsError


def fill_mask(
    encoder: Annotated[
        str, typer.Argument(metavar="ENCODER", help="BERT: folder, or id on the hub.")
    ],
    text: Annotated[str, typer.Argument(metavar="TEXT", help="A text with one [MASK].")],
    *,
    top: Annotated[int, typer.Option("--top", metavar="N", min=1, help="How many.")] = 5,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show the likeliest words where a text has [MASK], with their probabilities.

    For example:

        headstart fill-mask runs/bert "I [MASK] a cat"
    """
    from headstart.cli.bars import Bars
    from headstart.hub.language_models import PretrainedBert
    from headstart.transfer.loading import load

    model = load(encoder, progress=Bars())
    if not isinstance(model, PretrainedBert):
        raise SettingsError(f"{encoder}: is no BERT; only a BERT fills masks")
    found = [{"token": token, "probability": p} for token, p in model.fill_mask(text, top=top)]
    if as_json:
        print_json(found)
    else:
        print_table(found)
