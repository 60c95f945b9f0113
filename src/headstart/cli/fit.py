"""`headstart fit`: a model for one task, with the proof that transfer happened."""

from pathlib import Path
from typing import Annotated

import typer

from headstart.cli.options import (
    Config,
    Debug,
    Json,
    LabelColumn,
    Seed,
    TextColumn,
    save_settings,
)
from headstart.cli.terminal import print_json, say
from headstart.errors import SettingsError

app = typer.Typer(help="Fit a model to labelled data.")


@app.callback()
def fit() -> None:
    """Fit a model to labelled data, and show what was transferred."""


@app.command()
def classification(
    context: typer.Context,
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Labelled data.")],
    *,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the model is saved.")],
    encoder: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Saved encoder, published file or id on the hub, for methods that use one.",
        ),
    ] = None,
    transfer: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="probe, frozen, finetune, gradual or lora of an encoder; or scratch, tfidf, "
            "majority. auto: finetune with an encoder, scratch without.",
        ),
    ] = "auto",
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    seed: Seed = 0,
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Fit a classifier of texts.

    For example:

        headstart fit classification train.csv --encoder glove.6B.100d.txt --out runs/topics
    """
    from headstart.cli.bars import Bars
    from headstart.cli.loading import load_dataset
    from headstart.data.labelled import check_trainable
    from headstart.hub.store import load_encoder
    from headstart.storage import check_new
    from headstart.transfer.estimators import TextClassifier
    from headstart.transfer.fitting import whole_model_width
    from headstart.transfer.methods import NO_ENCODER, name_of

    check_new(out)
    bars = Bars()
    dataset = load_dataset(data, text_column=text_column, label_column=label_column, progress=bars)
    check_trainable(dataset)
    loaded = None if encoder is None else load_encoder(encoder, progress=bars)
    alone = {name_of(kind()) for kind in NO_ENCODER}
    if whole_model_width(loaded):
        alone.remove("scratch")  # the same architecture from random weights
    if loaded is not None and transfer in alone:
        raise SettingsError(f"the transfer {transfer!r} uses no encoder; leave one of the two out")
    classifier = TextClassifier(loaded, transfer, random_state=seed)
    classifier.fit(dataset.texts, dataset.labels, progress=bars)
    classifier.save(out)
    save_settings(context, out)
    proof, report = classifier.proof_, classifier.fit_report_
    if as_json:
        transferred = proof.as_dict() if proof else None
        print_json({"folder": str(out), "proof": transferred, "report": report})
        return
    if proof:
        say(*str(proof).splitlines())
    say(f"validation     accuracy {report['validation_accuracy']:.3f} of a part of the labels")
    if report["validation_classes"] == 1:
        say(
            "               every text got the same class: it has learned nothing; try another seed"
        )
    say(f"model          {out}")
