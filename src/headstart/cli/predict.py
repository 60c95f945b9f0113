"""`headstart predict`: labels for texts nobody has labelled, a few or more than memory holds."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from headstart.cli.options import Config, Debug, Json, LabelSeparator, TextColumn
from headstart.cli.terminal import print_json, print_table, say
from headstart.errors import SettingsError


def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Folder of a fitted model.")],
    source: Annotated[
        Path | None,
        typer.Argument(metavar="INPUT", help="File of texts; - for standard input, one a line."),
    ] = None,
    *,
    text: Annotated[
        list[str] | None, typer.Option("--text", metavar="TEXT", help="A text; may be repeated.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="A .csv, .tsv, .jsonl or .parquet to write."),
    ] = None,
    text_column: TextColumn = None,
    label_separator: LabelSeparator = None,
    batch_size: Annotated[
        int, typer.Option("--batch-size", metavar="N", min=1, help="Texts in memory at once.")
    ] = 1024,
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Predict labels with their probabilities, or numbers: for texts typed here, or a file's.

    Without --out the predictions of a file go to standard output: CSV, or JSON lines with --json.
    Several labels of a text are a list in JSON and Parquet, and have a | between them in CSV.

    For example:

        headstart predict runs/compare/best --text "Shares fell again."

        headstart predict runs/compare/best reviews.csv --out labelled.parquet
    """
    if (source is None) == (not text):
        raise SettingsError("give either a file of texts or --text, and not both")
    if source is None and out is not None:
        raise SettingsError("--out takes the predictions of a file; print those of --text instead")
    from headstart.cli.bars import Bars
    from headstart.cli.loading import check_separator, load_model
    from headstart.data.labelled import read_texts
    from headstart.serve import predictor

    bars = Bars()
    loaded = load_model(model, progress=bars)
    check_separator(model, loaded, label_separator)
    separator = predictor.SEPARATOR if label_separator is None else label_separator
    if source is None:
        (found,) = predictor.predict(loaded, [text or []])
        rows = [prediction._asdict() for prediction in found]
        print_json(rows) if as_json else print_table([_joined(row) for row in rows])
    elif out is None:
        texts = read_texts(source, text_column=text_column, batch_size=batch_size, progress=bars)
        if not as_json:
            predictor.check_separator(loaded, separator)
        kind, write = predictor.kind_of(loaded), None
        for predictions in predictor.predict(loaded, texts):
            if write is None:  # no head of a table before a first row is read
                write = (
                    predictor.write_jsonl(sys.stdout)
                    if as_json
                    else predictor.write_csv(sys.stdout, kind, separator)
                )
            write(predictions)
    else:
        count = predictor.predict_file(
            loaded,
            source,
            out,
            text_column=text_column,
            separator=separator,
            batch_size=batch_size,
            progress=bars,
        )
        result = {"texts": count, "out": str(out)}
        print_json(result) if as_json else say(f"{count:,} predictions in {out}")


def _joined(row: Mapping[str, object]) -> dict[str, object]:
    """Return a row of the table that is printed: several labels in one cell, with their shares."""
    if not isinstance(row.get("label"), list):
        return dict(row)
    shares = zip(row["label"], row["probability"], strict=True)  # type: ignore[call-overload]
    return {"text": row["text"], "labels": ", ".join(f"{label} {p:.3f}" for label, p in shares)}
