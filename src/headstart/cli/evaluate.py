"""`headstart evaluate`: scores of a fitted model on labeled data."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headstart.cli.options import (
    Bf16,
    Config,
    Debug,
    Device,
    Json,
    LabelColumn,
    LabelSeparator,
    MaxBadRows,
    PairColumns,
    TextOrWordColumn,
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
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Labeled data.")],
    *,
    text_column: TextOrWordColumn = None,
    pair_columns: PairColumns = None,
    label_column: LabelColumn = None,
    label_separator: LabelSeparator = None,
    max_bad_rows: MaxBadRows = 0,
    unseen_labels: Annotated[
        UnseenLabels | None,
        typer.Option(
            "--unseen-labels",
            help="Rows whose label was not in the training data: refuse stops with an error, "
            "count-as-error counts each as wrong. Default: refuse; for tags, count-as-error.",
        ),
    ] = None,
    bf16: Bf16 = False,
    device: Device = "cpu",
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Score a fitted model on labeled data.

    Classes: accuracy, macro-F1, calibration error, and the scores of each class. Several labels per
    text: micro- and macro-F1, subset accuracy, calibration error. Numbers: R^2, correlations, RMSE.

    Taggers (DATA in columns or JSONL): strict span precision, recall and F1 as in CoNLL's
    conlleval, overall and per type, and the accuracy of words.

    For example:

        headstart evaluate runs/compare/best test.csv
    """
    from headstart.cli.bars import Bars
    from headstart.cli.loading import check_columns, load_model, reading, tell_notes
    from headstart.transfer.regressor import TextRegressor
    from headstart.transfer.token_tagger import TokenTagger

    bars = Bars()
    loaded = load_model(model, device=device, progress=bars)
    check_columns(model, loaded, text_column, pair_columns, label_separator)
    options: dict[str, Any] = {"progress": bars}
    if unseen_labels is not None:
        if isinstance(loaded, TextRegressor):
            raise SettingsError(f"{model}: predicts numbers, not labels; remove --unseen-labels")
        options["unseen_labels"] = unseen_labels
    read, score = _reading_and_scoring(
        loaded, text_column, pair_columns, label_column, label_separator
    )
    dataset = tell_notes(read(data, max_bad_rows=max_bad_rows, progress=bars), bars)
    with reading(bf16=bf16, device=device, progress=bars):
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
    """Return the function that reads labeled data for a model, and the one that scores it."""
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
