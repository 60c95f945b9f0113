"""Predictions for files of any size, one batch at a time.

The file extension determines the output format. JSONL and Parquet keep texts and labels exactly. In
CSV and TSV, a cell that a spreadsheet would run as a formula gets a leading `'`, and several labels
of a text are joined in one cell.
"""

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from itertools import islice, repeat
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

import numpy as np

from headstart.data.columns import listed
from headstart.data.hub_data import pinned
from headstart.data.labelled import check_unnamed, read_texts
from headstart.data.lines import STDIN
from headstart.data.look_alikes import TextNotes
from headstart.data.pairs import read_pairs
from headstart.data.tables import file_format, read_rows, table_columns
from headstart.errors import DataError, SettingsError
from headstart.progress import SILENT, Progress
from headstart.serve.unknown import UnknownTexts
from headstart.storage import whole_file
from headstart.transfer.pairs import PairEstimator
from headstart.transfer.regressor import TextRegressor

_FORMULA_START = tuple("=+-@\t\r\n\0＝＋－＠")  # spreadsheets accept full-width signs too
SEPARATOR = "|"
_NUMBER = re.compile(r"[+-]?\d*\.?\d+")


class Classifier(Protocol):
    """A fitted `TextClassifier`, or anything with the same interface."""

    classes_: Any

    def predict_proba(self, texts: Sequence[Any]) -> np.ndarray: ...


class Prediction(NamedTuple):
    """A text, its predicted label, and the probability of that label."""

    text: str
    label: str
    probability: float


class PairPrediction(NamedTuple):
    """A pair of texts, its predicted label, and the probability of that label."""

    text_a: str
    text_b: str
    label: str
    probability: float


class LabelSetPrediction(NamedTuple):
    """A text, its predicted labels (possibly none), and the probability of each."""

    text: str
    label: list[str]
    probability: list[float]


class NumberPrediction(NamedTuple):
    """A text and its predicted number."""

    text: str
    value: float


class PairNumberPrediction(NamedTuple):
    """A pair of texts and its predicted number."""

    text_a: str
    text_b: str
    value: float


AnyPrediction = (
    Prediction | PairPrediction | LabelSetPrediction | NumberPrediction | PairNumberPrediction
)
Row = dict[str, Any]  # a prediction by column, after the columns of the input that are kept
Write = Callable[[list[Row]], object]
Writer = Callable[[Path, Mapping[str, type], str], AbstractContextManager[Write]]


def kind_of(model: Classifier | TextRegressor) -> type[AnyPrediction]:
    """Return the type of a model's predictions: labels or numbers, for texts or pairs."""
    pairs = isinstance(model, PairEstimator)
    if isinstance(model, TextRegressor):
        return PairNumberPrediction if pairs else NumberPrediction
    if pairs:
        return PairPrediction
    return Prediction if getattr(model, "thresholds_", None) is None else LabelSetPrediction


def output_columns(model: Classifier | TextRegressor, keep: Sequence[str] = ()) -> dict[str, type]:
    """Return the columns of a file of predictions, each with the type of its values."""
    return {**dict.fromkeys(keep, str), **kind_of(model).__annotations__}


def predict(
    model: Classifier | TextRegressor,
    batches: Iterable[Sequence[Any]],
    *,
    progress: Progress = SILENT,
) -> Iterator[list[AnyPrediction]]:
    """Yield the predictions of each batch of texts or pairs, in order; then note odd texts."""
    for texts in _watched(model, batches, progress):
        yield _predicted(model, texts)


def _predicted(model: Classifier | TextRegressor, texts: Sequence[Any]) -> list[AnyPrediction]:
    return _numbers(model, texts) if isinstance(model, TextRegressor) else _labels(model, texts)


def _watched(
    model: Classifier | TextRegressor,
    batches: Iterable[Sequence[Any]],
    progress: Progress,
    name: str = "",
) -> Iterator[Sequence[Any]]:
    """Yield the batches, then note misleading or unknown texts; `name` begins the notes."""
    seen = TextNotes(), UnknownTexts(model)
    for texts in batches:
        for each in seen:
            each.count(texts)
        yield texts
    for each in seen:
        for note in each.notes():
            progress.note(name + note)


def predict_rows(
    model: Classifier | TextRegressor,
    source: Path,
    *,
    text_column: str | None = None,
    pair_columns: Sequence[str] | None = None,
    keep: Sequence[str] = (),
    batch_size: int = 1024,
    progress: Progress = SILENT,
) -> Iterator[list[Row]]:
    """Yield the rows of `output_columns` for every text or pair of `source`, in batches.

    The arguments and errors are those of `predict_file`. Notes on the texts follow the last batch.
    """
    source = pinned(source)
    texts = _read_inputs(
        model,
        source,
        text_column=text_column,
        pair_columns=pair_columns,
        batch_size=batch_size,
        progress=progress,
    )
    kept = _kept_rows(model, source, keep) if keep else repeat({})
    for batch in _watched(model, texts, progress, f"{source}: "):
        beside = list(islice(kept, len(batch)))  # first, because predicting may take long
        found = _predicted(model, batch)
        yield [{**its, **each._asdict()} for its, each in zip(beside, found, strict=True)]


def _kept_rows(
    model: Classifier | TextRegressor, source: Path, keep: Sequence[str]
) -> Iterator[dict[str, str]]:
    """Return the columns to keep of every row of a table."""
    if isinstance(keep, str):
        raise SettingsError(f"keep must be a list of columns, such as [{keep!r}]")
    if source == STDIN or file_format(source) in {"text", None}:
        check_unnamed(source, keep)
    columns = table_columns(source)
    for name in keep:
        if name not in columns:
            raise DataError(f"{source}: no column {name!r}; the columns are {listed(columns)}")
        if name in kind_of(model)._fields:
            raise SettingsError(
                f"{source}: the predictions have a column {name!r} of their own; rename it to keep "
                "it (--keep)"
            )
    tables = read_rows(source, list(keep), also=dict.fromkeys(keep, "scalars"))
    rows = (values for table in tables for values in zip(*table.columns, strict=True))
    return (dict(zip(keep, values, strict=True)) for values in rows)


def _read_inputs(
    model: Classifier | TextRegressor,
    source: Path,
    *,
    text_column: str | None,
    pair_columns: Sequence[str] | None,
    batch_size: int,
    progress: Progress,
) -> Iterator[list[Any]]:
    """Yield the texts or pairs of a file in batches, as the model takes them.

    Raises:
        DataError: A line cannot be read; the message names the line.
        SettingsError: A column option does not apply to the model.
    """
    if isinstance(model, PairEstimator):
        if text_column is not None:
            raise SettingsError(
                "the model takes pairs of texts; use pair_columns instead of text_column"
            )
        return read_pairs(
            source, pair_columns=pair_columns, batch_size=batch_size, progress=progress
        )
    if pair_columns is not None:
        raise SettingsError("the model takes single texts; use text_column instead of pair_columns")
    return read_texts(source, text_column=text_column, batch_size=batch_size, progress=progress)


def _numbers(model: TextRegressor, texts: Sequence[Any]) -> list[AnyPrediction]:
    values = zip(texts, model.predict(texts).tolist(), strict=True)
    if isinstance(model, PairEstimator):
        return [PairNumberPrediction(a, b, value) for (a, b), value in values]
    return [NumberPrediction(*each) for each in values]


def _labels(model: Classifier, texts: Sequence[Any]) -> list[AnyPrediction]:
    labels = np.array([str(label) for label in model.classes_], object)
    shares = model.predict_proba(texts)
    thresholds = getattr(model, "thresholds_", None)
    if thresholds is None:
        likeliest = zip(texts, labels[shares.argmax(1)], shares.max(1).tolist(), strict=True)
        if isinstance(model, PairEstimator):
            return [PairPrediction(a, b, label, chance) for (a, b), label, chance in likeliest]
        return [Prediction(*each) for each in likeliest]
    return [
        LabelSetPrediction(text, labels[given].tolist(), row[given].tolist())
        for text, row, given in zip(texts, shares, shares >= thresholds, strict=True)
    ]


def predict_file(  # noqa: PLR0913 - one keyword per user setting
    model: Classifier | TextRegressor,
    source: Path,
    target: Path,
    *,
    text_column: str | None = None,
    pair_columns: Sequence[str] | None = None,
    keep: Sequence[str] = (),
    separator: str = SEPARATOR,
    batch_size: int = 1024,
    progress: Progress = SILENT,
) -> int:
    """Predict every text or pair of `source` and write the results to `target` atomically.

    Memory use is bounded by one batch, whatever the size of the files.

    Args:
        model: A fitted classifier or regressor.
        source: CSV, TSV, JSONL or Parquet with a column of texts, or plain text with one text per
            line. For a model of pairs: two columns, or plain text with a tab in every line.
        target: A `.csv`, `.tsv`, `.jsonl` or `.parquet` file. Its columns are those to keep, then
            text (or text_a and text_b), then label and probability, or value for numbers.
        text_column: The column of `source` to read, if it is not `text`.
        pair_columns: The two columns to read, if they are not `text_a` and `text_b`.
        keep: Columns of `source` to copy, such as an id. Their values become text.
        separator: The separator between several labels of a text in CSV and TSV.
        batch_size: Texts in memory at once.
        progress: Receives progress reports.

    Returns:
        The number of texts or pairs.

    Raises:
        DataError: A line of `source` cannot be read; the message names the line.
        SettingsError: `target` has another file extension or is the source, a label contains
            `separator`, or `keep` names a column of the predictions.
        StorageError: The file cannot be written; an existing `target` is unchanged.
    """
    writer = writer_for(target)
    if target.suffix.lower() in {".csv", ".tsv"}:
        check_separator(model, separator)
    if target.exists() and source.exists() and target.samefile(source):
        raise SettingsError(f"{target}: is the input file; write the predictions to another file")
    found = predict_rows(
        model,
        source,
        text_column=text_column,
        pair_columns=pair_columns,
        keep=keep,
        batch_size=batch_size,
        progress=progress,
    )
    count = 0
    with (
        progress.stage(f"predicting {source}", unit="texts") as advance,
        whole_file(target) as unfinished,
        writer(unfinished, output_columns(model, keep), separator) as write,
    ):
        for rows in found:
            write(rows)
            count += len(rows)
            advance(len(rows))
    return count


def check_separator(model: Classifier | TextRegressor, separator: str) -> None:
    """Reject a label separator that occurs in a label, because the output could not be parsed.

    Raises:
        SettingsError: It occurs in a label, or is empty.
    """
    if kind_of(model) is not LabelSetPrediction or isinstance(model, TextRegressor):
        return
    for label in model.classes_:
        if separator in str(label):  # an empty separator is in every label
            raise SettingsError(
                f"the label {str(label)!r} contains the separator {separator!r}; choose another "
                "with label_separator (--label-separator), or write JSONL or Parquet"
            )


def writer_for(target: Path) -> Writer:
    """Return the writer for the file extension of `target`.

    Raises:
        SettingsError: The extension is not supported.
    """
    try:
        return _WRITERS[target.suffix.lower()]
    except KeyError:
        raise SettingsError(f"{target}: must end in {', '.join(_WRITERS)}") from None


def write_csv(
    file: IO[str], columns: Iterable[str], separator: str, *, delimiter: str = ","
) -> Write:
    """Write the header of a table to `file`, and return the function that writes its rows."""
    lines = csv.writer(file, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    lines.writerow(map(csv_cell, columns))
    return lambda rows: lines.writerows(_cells(row, separator) for row in rows)


def _cells(row: Row, separator: str) -> Iterator[object]:
    """Yield the cells of a row, with several labels joined by `separator`."""
    for name, value in row.items():
        if isinstance(value, list):
            items = (each if isinstance(each, str) else f"{each:.6g}" for each in value)
            yield csv_cell(separator.join(items))
        elif isinstance(value, str):
            yield csv_cell(value)
        else:
            yield round(value, 6) if name == "probability" else value


def write_jsonl(file: IO[str]) -> Write:
    """Return the function that writes rows to `file`, one JSON object per line."""
    encoding = getattr(file, "encoding", None) or "utf-8"  # a terminal may have another
    escaped = encoding.lower() not in {"utf-8", "utf8"}
    return lambda rows: file.writelines(
        json.dumps(row, ensure_ascii=escaped) + "\n" for row in rows
    )


def csv_cell(text: str) -> str:
    """Return `text` escaped so that spreadsheets do not run it as a formula."""
    runs = text.startswith(_FORMULA_START) and not _NUMBER.fullmatch(text)
    return f"'{text}" if runs else text


@contextmanager
def _csv_file(
    path: Path, columns: Mapping[str, type], separator: str, *, delimiter: str = ","
) -> Iterator[Write]:
    with path.open("w", encoding="utf-8", newline="") as file:
        yield write_csv(file, columns, separator, delimiter=delimiter)


@contextmanager
def _jsonl_file(path: Path, columns: Mapping[str, type], separator: str) -> Iterator[Write]:
    del columns, separator
    with path.open("w", encoding="utf-8", newline="\n") as file:
        yield write_jsonl(file)


@contextmanager
def _parquet_file(path: Path, columns: Mapping[str, type], separator: str) -> Iterator[Write]:
    import pyarrow as pa  # late: takes 0.2 s
    import pyarrow.parquet as pq

    del separator
    types = {str: pa.string(), float: pa.float64()}
    types |= {list[str]: pa.list_(pa.string()), list[float]: pa.list_(pa.float64())}
    schema = pa.schema([(name, types[of]) for name, of in columns.items()])
    with pq.ParquetWriter(path, schema) as file:
        yield lambda rows: file.write_table(pa.Table.from_pylist(rows, schema))


_WRITERS: dict[str, Writer] = {
    ".csv": _csv_file,
    ".tsv": partial(_csv_file, delimiter="\t"),
    ".jsonl": _jsonl_file,
    ".parquet": _parquet_file,
}
