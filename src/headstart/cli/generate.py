"""`headstart generate`: continue a text with a GPT."""

from typing import Annotated

import typer

from headstart.cli.options import Config, Debug, Json, Seed
from headstart.cli.terminal import print_json, say
from headstart.errors import SettingsError


def generate(
    encoder: Annotated[str, typer.Argument(metavar="ENCODER", help="GPT: folder or Hub id.")],
    text: Annotated[str, typer.Argument(metavar="TEXT", help="Text to continue.")],
    *,
    max_new_tokens: Annotated[
        int,
        typer.Option("--max-new-tokens", metavar="N", min=1, help="Maximum number of new tokens."),
    ] = 40,
    temperature: Annotated[
        float, typer.Option(metavar="T", help="Below 1: less random; above 1: more; 0: greedy.")
    ] = 1.0,
    top_k: Annotated[
        int | None,
        typer.Option("--top-k", metavar="N", help="Sample from the N most likely tokens."),
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option(
            "--top-p", metavar="P", help="Sample from the top tokens with total probability P."
        ),
    ] = None,
    stop: Annotated[
        list[str] | None,
        typer.Option("--stop", metavar="TEXT", help="Stop before this text; may be repeated."),
    ] = None,
    seed: Seed = 0,
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Continue a text, token by token.

    For example:

        headstart generate runs/gpt "The film was" --top-p 0.9
    """
    from headstart.cli.bars import Bars
    from headstart.hub.language_models import PretrainedGpt
    from headstart.transfer.loading import load

    model = load(encoder, progress=Bars())
    if not isinstance(model, PretrainedGpt):
        raise SettingsError(f"{encoder}: not a GPT; only a GPT can generate text")
    added = model.generate(
        text,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        stop=stop,
        seed=seed,
    )
    if as_json:
        print_json({"prompt": text, "added": added})
    else:
        say(f"{text}{added}")
