"""`headstart evaluate`: how good a fitted model is on labelled data it has not seen."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headstart.cli.options import (
    Debug,
    Device,
    Json,
    LabelColumn,
    LabelSeparator,
    MaxBadRows,
    PairColumns,
    TextColumn,
)
from headstart.cli.tagging import show_tag_scores
from headstart.cli.terminal import figures, print_json, print_table, say, shown_label
from headstart.data.columns import several
from headstart.data.unseen_labels import UnseenLabels
from headstart.errors import SettingsError

if TYPE_CHECKING:
    from headstart.transfer.estimators import TextClassifier
    from headstart.transfer.regressor import TextRegressor
    from headstart.transfer.token_tagger import TokenTagger


def evaluate(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Folder of a fitted model.")],
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Labelled data.")],
    *,
    text_column: TextColumn = None,
    pair_columns: PairColumns = None,
    label_column: LabelColumn = None,
    label_separator: LabelSeparator = None,
    max_bad_rows: MaxBadRows = 0,
    unseen_labels: Annotated[
        UnseenLabels | None,
        typer.Option(
            "--unseen-labels",
            help="What becomes of rows whose label was not there in training; by default refuse, "
            "and of tags count-as-error.",
        ),
    ] = None,
    device: Device = "cpu",
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
    from headstart.cli.loading import check_columns, load_model, tell_notes
    from headstart.transfer.regressor import TextRegressor
    from headstart.transfer.token_tagger import TokenTagger

    bars = Bars()
    loaded = load_model(model, device=device, progress=bars)
    check_columns(model, loaded, text_column, pair_columns, label_separator)
    options: dict[str, Any] = {"progress": bars}
    if unseen_labels is not None:
        if isinstance(loaded, TextRegressor):
            raise SettingsError(f"{model}: gives numbers, no labels; leave --unseen-labels out")
        options["unseen_labels"] = unseen_labels
    read, score = _reading_and_scoring(
        loaded, text_column, pair_columns, label_column, label_separator
    )
    dataset = tell_notes(read(data, max_bad_rows=max_bad_rows, progress=bars), bars)
    found = score(loaded, dataset, **options)
    if isinstance(loaded, TokenTagger):
        show_tag_scores(found, len(dataset), as_json=as_json)
        return
    scores = asdict(found)
    if as_json:
        print_json(scores)
        return
    say(f"{several(found.rows, 'row')}: {figures(scores)}")
    if "classes" in scores:
        print_table([row | {"label": shown_label(row["label"])} for row in scores["classes"]])


def _reading_and_scoring(
    model: "TextClassifier | TextRegressor | TokenTagger",
    text: str | None,
    pair: Sequence[str] | None,
    label: str | None,
    separator: str | None,
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return what reads a model's labelled data, and what scores the model on them."""
    from headstart.data.label_sets import read_label_sets
    from headstart.data.labelled import read_labelled
    from headstart.data.numbers import read_numbers, read_pair_numbers
    from headstart.data.pairs import read_labelled_pairs
    from headstart.data.tagged import read_tagged
    from headstart.serve import evaluation
    from headstart.serve.tagging import evaluate_tags
    from headstart.transfer.pairs import PairClassifier, PairRegressor
    from headstart.transfer.regressor import TextRegressor
    from headstart.transfer.token_tagger import TokenTagger

    if isinstance(model, TokenTagger):
        return partial(read_tagged, word_column=text, tag_column=label), evaluate_tags
    of_texts: dict[str, Any] = {"text_column": text, "label_column": label}
    of_pairs: dict[str, Any] = {"pair_columns": pair, "label_column": label}
    if isinstance(model, PairRegressor):
        return partial(read_pair_numbers, **of_pairs), evaluation.evaluate_numbers
    if isinstance(model, TextRegressor):
        return partial(read_numbers, **of_texts), evaluation.evaluate_numbers
    if isinstance(model, PairClassifier):
        return partial(read_labelled_pairs, **of_pairs), evaluation.evaluate
    if model.thresholds_ is not None:
        read = partial(read_label_sets, **of_texts, separator=separator)
        return read, evaluation.evaluate_label_sets
    return partial(read_labelled, **of_texts), evaluation.evaluate
