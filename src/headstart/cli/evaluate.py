"""`headstart evaluate`: how good a fitted model is on labelled data it has not seen."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from headstart.cli.options import Debug, Json, LabelColumn, LabelSeparator, PairColumns, TextColumn
from headstart.cli.tagging import evaluate_tagger
from headstart.cli.terminal import figures, print_json, print_table, say


def evaluate(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Folder of a fitted model.")],
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Labelled data.")],
    *,
    text_column: TextColumn = None,
    pair_columns: PairColumns = None,
    label_column: LabelColumn = None,
    label_separator: LabelSeparator = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Score a model on labelled data: its accuracy, how far its probabilities hold, and each class.

    Where texts have several labels it is micro- and macro-F1; for numbers R^2 and correlations.

    A tagger is scored on columns or JSONL: the strict scores of spans, as CoNLL's conlleval has
    them, and of each type, with the accuracy of words.

    For example:

        headstart evaluate runs/compare/best test.csv
    """
    from headstart.cli.bars import Bars
    from headstart.cli.loading import (
        check_separator,
        load_dataset,
        load_label_sets,
        load_model,
        load_numbers,
        load_pair_numbers,
        load_pairs,
    )
    from headstart.serve import evaluation
    from headstart.transfer.pairs import PairClassifier, PairRegressor
    from headstart.transfer.regressor import TextRegressor
    from headstart.transfer.token_tagger import TokenTagger

    bars = Bars()
    loaded = load_model(model, progress=bars)
    if isinstance(loaded, TokenTagger):
        evaluate_tagger(loaded, data, text_column, label_column, as_json=as_json)
        return
    check_separator(model, loaded, label_separator)
    read = {"text_column": text_column, "label_column": label_column}
    read_pairs: dict[str, Any] = {"pair_columns": pair_columns, "label_column": label_column}
    found: Any
    if isinstance(loaded, PairRegressor):
        numbers = load_pair_numbers(data, **read_pairs, progress=bars)
        found = evaluation.evaluate_numbers(loaded, numbers, progress=bars)
    elif isinstance(loaded, TextRegressor):
        found = evaluation.evaluate_numbers(
            loaded, load_numbers(data, **read, progress=bars), progress=bars
        )
    elif isinstance(loaded, PairClassifier):
        found = evaluation.evaluate(
            loaded, load_pairs(data, **read_pairs, progress=bars), progress=bars
        )
    elif loaded.thresholds_ is not None:
        dataset = load_label_sets(data, **read, separator=label_separator, progress=bars)
        found = evaluation.evaluate_label_sets(loaded, dataset, progress=bars)
    else:
        found = evaluation.evaluate(
            loaded, load_dataset(data, **read, progress=bars), progress=bars
        )
    scores = asdict(found)
    if as_json:
        print_json(scores)
        return
    say(f"{found.rows:,} rows: {figures(scores)}")
    if "classes" in scores:
        print_table(scores["classes"])
