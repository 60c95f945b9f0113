"""`headstart fill-mask`: the words that a BERT predicts for a mask."""

from typing import Annotated

import typer

from headstart.cli.options import Config, Debug, Json
from headstart.cli.terminal import print_json, print_table
from headstart.errors import SettingsError


def fill_mask(
    encoder: Annotated[str, typer.Argument(metavar="ENCODER", help="BERT: folder or Hub id.")],
    text: Annotated[str, typer.Argument(metavar="TEXT", help="Text with one [MASK].")],
    *,
    top: Annotated[int, typer.Option("--top", metavar="N", min=1, help="Number of words.")] = 5,
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show the most likely words for the [MASK] in a text.

    For example:

        headstart fill-mask runs/bert "I [MASK] a cat"
    """
    from headstart.cli.bars import Bars
    from headstart.hub.language_models import PretrainedBert
    from headstart.transfer.loading import load

    model = load(encoder, progress=Bars())
    if not isinstance(model, PretrainedBert):
        raise SettingsError(f"{encoder}: not a BERT; only a BERT can fill masks")
    found = [{"token": token, "probability": p} for token, p in model.fill_mask(text, top=top)]
    if as_json:
        print_json(found)
    else:
        print_table(found)
