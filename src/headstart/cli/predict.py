"""`headstart predict`: labels for new texts, from a few to more than fit in memory."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headstart.cli.options import (
    Bf16,
    Config,
    Debug,
    Device,
    Json,
    LabelSeparator,
    PairColumns,
    TextOrWordColumn,
    comma_list,
)
from headstart.cli.starting import lasting_imports
from headstart.cli.tagging import tag_texts
from headstart.cli.terminal import print_json, print_table, say
from headstart.data.columns import several
from headstart.errors import SettingsError

if TYPE_CHECKING:
    from headstart.transfer.estimators import TextClassifier
    from headstart.transfer.regressor import TextRegressor


def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Folder of a fitted model.")],
    source: Annotated[
        Path | None,
        typer.Argument(
            metavar="INPUT", help="File of texts, or - for standard input, one per line."
        ),
    ] = None,
    *,
    text: Annotated[
        list[str] | None,
        typer.Option("--text", metavar="TEXT", help="Text to predict; may be repeated."),
    ] = None,
    text_b: Annotated[
        list[str] | None,
        typer.Option("--text-b", metavar="TEXT", help="Second text of a pair, for each --text."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Output file: .csv, .tsv, .jsonl or .parquet; for tags, .conll or .jsonl.",
        ),
    ] = None,
    text_column: TextOrWordColumn = None,
    pair_columns: PairColumns = None,
    keep: Annotated[
        Sequence[str] | None,
        typer.Option(
            "--keep",
            metavar="A,B",
            parser=comma_list(str),
            help="Columns of INPUT to copy to the output, such as an id.",
        ),
    ] = None,
    label_separator: LabelSeparator = None,
    batch_size: Annotated[
        int, typer.Option("--batch-size", metavar="N", min=1, help="Texts in memory at once.")
    ] = 1024,
    bf16: Bf16 = False,
    device: Device = "cpu",
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Predict labels, numbers or tags for new texts.

    Takes texts from --text or a file. Without --out, predictions for a file go to standard output
    as CSV, or as JSON Lines with --json. Labels come with their probabilities; several labels per
    text are a list in JSON and Parquet, and separated by | in CSV.

    A tagger reads and writes columns (one word per line) or JSONL with tokens. In --text, words are
    separated by spaces.

    For example:

        headstart predict runs/compare/best --text "Shares fell again."

        headstart predict runs/compare/best reviews.csv --out labeled.parquet --keep id

        headstart predict runs/pairs --text "A dog runs." --text-b "An animal moves."
    """
    named = any(each is not None for each in (text_column, pair_columns, keep))
    _check_asked(source, text, text_b, out, named=named)
    with lasting_imports():
        from headstart.cli.bars import Bars
        from headstart.cli.loading import check_columns, load_model, reading
        from headstart.serve import predictor
        from headstart.transfer.pairs import PairEstimator
        from headstart.transfer.token_tagger import TokenTagger

    bars = Bars()
    loaded = load_model(model, device=device, progress=bars)
    check_columns(model, loaded, text_column, pair_columns, label_separator)
    if text_b and not isinstance(loaded, PairEstimator):
        raise SettingsError("the model takes single texts; --text-b is for models of text pairs")
    with reading(bf16=bf16, device=device, progress=bars):
        if isinstance(loaded, TokenTagger):
            if keep is not None:
                raise SettingsError("a tagger's output has the words and tags alone; remove --keep")
            settings = {"word_column": text_column, "batch_size": batch_size, "progress": bars}
            tag_texts(loaded, source, out, text, as_json=as_json, settings=settings)
            return
        columns: dict[str, Any] = {
            "text_column": text_column,
            "pair_columns": pair_columns,
            "keep": keep or (),
            "batch_size": batch_size,
            "progress": bars,
        }
        separator = predictor.SEPARATOR if label_separator is None else label_separator
        if source is None:
            typed = _typed(loaded, text or [], text_b or [])
            (found,) = predictor.predict(loaded, [typed], progress=bars)
            rows = [prediction._asdict() for prediction in found]
            print_json(rows) if as_json else print_table([_joined(row) for row in rows])
        elif out is None:
            if not as_json:
                predictor.check_separator(loaded, separator)
            write = None
            for predicted in predictor.predict_rows(loaded, source, **columns):
                if write is None:  # write no header before the first row is read
                    header = predictor.output_columns(loaded, keep or ())
                    write = (
                        predictor.write_jsonl(sys.stdout)
                        if as_json
                        else predictor.write_csv(sys.stdout, header, separator)
                    )
                write(predicted)
        else:
            count = predictor.predict_file(loaded, source, out, **columns, separator=separator)
            result = {"texts": count, "out": str(out)}
            print_json(result) if as_json else say(f"{several(count, 'prediction')} in {out}")


def _check_asked(
    source: Path | None,
    text: list[str] | None,
    text_b: list[str] | None,
    out: Path | None,
    *,
    named: bool,
) -> None:
    """Reject combinations that make no sense; `named` is whether column options are given.

    Raises:
        SettingsError: There is such a combination.
    """
    if source is None and not text:
        raise SettingsError("nothing to predict; give a file of texts or --text")
    if source is not None and text:
        raise SettingsError("give either a file of texts or --text, not both")
    if source is not None and text_b:
        raise SettingsError("--text-b goes with --text; for a file of pairs, use --pair-columns")
    if source is not None and _is_typed(source):
        raise SettingsError(f"{source}: no such file; to predict a text, pass it with --text")
    if source is None and out is not None:
        raise SettingsError("--out is for the predictions of a file; those of --text are printed")
    if source is None and named:
        raise SettingsError("column options are for files; remove them for --text")


def _is_typed(source: Path) -> bool:
    """Return whether this is a text in place of a file: it has spaces, and names no file."""
    from headstart.data.hub_data import is_hub_data

    if " " not in str(source) or is_hub_data(source):
        return False
    try:
        return not source.exists()
    except OSError:  # too long for a name
        return True


def _joined(row: Mapping[str, object]) -> dict[str, object]:
    """Return a row of the printed table, with several labels and probabilities in one cell."""
    if not isinstance(row.get("label"), list):
        return dict(row)
    shares = zip(row["label"], row["probability"], strict=True)  # type: ignore[call-overload]
    return {"text": row["text"], "labels": ", ".join(f"{label} {p:.3f}" for label, p in shares)}


def _typed(
    model: "TextClassifier | TextRegressor", texts: list[str], seconds: list[str]
) -> list[Any]:
    """Return the --text and --text-b values as model inputs: texts or pairs.

    Raises:
        SettingsError: For a model of pairs, their counts differ.
    """
    from headstart.transfer.pairs import PairEstimator

    if not isinstance(model, PairEstimator):
        return texts
    if len(texts) != len(seconds):
        raise SettingsError(
            f"the model takes pairs of texts; give a --text-b for every --text ({len(texts)} "
            f"--text, {len(seconds)} --text-b)"
        )
    return list(zip(texts, seconds, strict=True))
