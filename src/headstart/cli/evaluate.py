"""`headstart evaluate`: how good a fitted model is on labelled data it has not seen."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from headstart.cli.options import Debug, Json, LabelColumn, TextColumn
from headstart.cli.terminal import print_json, print_table, say


def evaluate(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Folder of a fitted model.")],
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Labelled data.")],
    *,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Score a model on labelled data: accuracy, macro-F1, and each class.

    For example:

        headstart evaluate runs/compare/best test.csv
    """
    from headstart.cli.bars import Bars
    from headstart.cli.loading import load_classifier, load_dataset
    from headstart.serve import evaluation

    bars = Bars()
    classifier = load_classifier(model, progress=bars)
    dataset = load_dataset(data, text_column=text_column, label_column=label_column, progress=bars)
    found = evaluation.evaluate(classifier, dataset, progress=bars)
    if as_json:
        print_json(asdict(found))
        return
    say(f"{found.rows:,} rows: accuracy {found.accuracy:.3f}, macro-F1 {found.macro_f1:.3f}")
    print_table([asdict(scores) for scores in found.classes])
