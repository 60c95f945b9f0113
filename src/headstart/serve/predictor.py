"""Predictions for files of any size: read a batch, predict it, write it, forget it.

The format of the output follows its ending. JSONL and Parquet hold texts and labels exactly; in CSV
and TSV a cell that a spreadsheet would run as a formula gets a leading `'`, and several labels of a
text stand in one cell.
"""

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

import numpy as np

from headstart.data.labelled import read_texts
from headstart.data.pairs import read_pairs
from headstart.errors import SettingsError
from headstart.progress import SILENT, Progress
from headstart.storage import whole_file
from headstart.transfer.pairs import PairEstimator
from headstart.transfer.regressor import TextRegressor

_FORMULA_START = tuple("=+-@\t\r\n\0＝＋－＠")  # spreadsheets take full-width signs too
SEPARATOR = "|"
_NUMBER = re.compile(r"[+-]?\d*\.?\d+")


class Classifier(Protocol):
    """What predicts labels: a fitted `TextClassifier`, or anything that speaks like one."""

    classes_: Any

    def predict_proba(self, texts: Sequence[Any]) -> np.ndarray: ...


class Prediction(NamedTuple):
    """A text, the label the model gives it, and the probability the model gives that label."""

    text: str
    label: str
    probability: float


class PairPrediction(NamedTuple):
    """A pair of texts, the label the model gives it, and the probability of that label."""

    text_a: str
    text_b: str
    label: str
    probability: float


class LabelSetPrediction(NamedTuple):
    """A text, the labels the model gives it, none perhaps, and the probability of each."""

    text: str
    label: list[str]
    probability: list[float]


class NumberPrediction(NamedTuple):
    """A text, and the number the model gives it."""

    text: str
    value: float


class PairNumberPrediction(NamedTuple):
    """A pair of texts, and the number the model gives it."""

    text_a: str
    text_b: str
    value: float


AnyPrediction = (
    Prediction | PairPrediction | LabelSetPrediction | NumberPrediction | PairNumberPrediction
)
Write = Callable[[Sequence[AnyPrediction]], object]
Writer = Callable[[Path, type[AnyPrediction], str], AbstractContextManager[Write]]


def kind_of(model: Classifier | TextRegressor) -> type[AnyPrediction]:
    """Return what a model predicts: a label or a number of a text or a pair, or several labels."""
    pairs = isinstance(model, PairEstimator)
    if isinstance(model, TextRegressor):
        return PairNumberPrediction if pairs else NumberPrediction
    if pairs:
        return PairPrediction
    return Prediction if getattr(model, "thresholds_", None) is None else LabelSetPrediction


def predict(
    model: Classifier | TextRegressor, batches: Iterable[Sequence[Any]]
) -> Iterator[list[AnyPrediction]]:
    """Yield the predictions of one batch of texts, or pairs, after the other, in their order."""
    for texts in batches:
        yield _numbers(model, texts) if isinstance(model, TextRegressor) else _labels(model, texts)


def read_inputs(
    model: Classifier | TextRegressor,
    source: Path,
    *,
    text_column: str | None,
    pair_columns: Sequence[str] | None,
    batch_size: int,
    progress: Progress,
) -> Iterator[list[Any]]:
    """Yield the texts of a file, or its pairs, as the model takes them, a batch at a time.

    Raises:
        DataError: A line cannot be read; names the line.
        SettingsError: A column is named for what the model does not take.
    """
    if isinstance(model, PairEstimator):
        if text_column is not None:
            raise SettingsError("the model takes pairs of texts; name both of their columns")
        return read_pairs(
            source, pair_columns=pair_columns, batch_size=batch_size, progress=progress
        )
    if pair_columns is not None:
        raise SettingsError("the model takes single texts; name their one column")
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


def predict_file(
    model: Classifier | TextRegressor,
    source: Path,
    target: Path,
    *,
    text_column: str | None = None,
    pair_columns: Sequence[str] | None = None,
    separator: str = SEPARATOR,
    batch_size: int = 1024,
    progress: Progress = SILENT,
) -> int:
    """Predict every text, or pair, of `source` into `target`, whole or not at all.

    Memory is bounded by one batch, whatever the size of the files.

    Args:
        model: A fitted classifier or regressor.
        source: CSV, TSV, JSONL or Parquet with a column of texts, or plain text, one text a line;
            for a model of pairs, with two columns, or a tab in every line.
        target: A `.csv`, `.tsv`, `.jsonl` or `.parquet` file; columns text (or text_a and text_b),
            label, probability, or value for numbers.
        text_column: The column of `source` to read, where it is not `text`.
        pair_columns: The two columns to read, where they are not `text_a` and `text_b`.
        separator: What stands between several labels of a text in CSV and TSV.
        batch_size: Texts held in memory at once.
        progress: Where progress goes.

    Returns:
        The number of texts, or pairs.

    Raises:
        DataError: A line of `source` cannot be read; names the line.
        SettingsError: `target` has another ending, or is the source, or a label holds `separator`.
        StorageError: The disk refuses; a `target` of before stays as it was.
    """
    writer = writer_for(target)
    if target.suffix.lower() in {".csv", ".tsv"}:
        check_separator(model, separator)
    if target.exists() and source.exists() and target.samefile(source):
        raise SettingsError(f"{target}: is what is read; write the predictions to another file")
    texts = read_inputs(
        model,
        source,
        text_column=text_column,
        pair_columns=pair_columns,
        batch_size=batch_size,
        progress=progress,
    )
    count = 0
    with (
        progress.stage(f"predicting {source}", unit="texts") as advance,
        whole_file(target) as unfinished,
        writer(unfinished, kind_of(model), separator) as write,
    ):
        for predictions in predict(model, texts):
            write(predictions)
            count += len(predictions)
            advance(len(predictions))
    return count


def check_separator(model: Classifier | TextRegressor, separator: str) -> None:
    """Refuse a separator of labels that one of them holds, so that what is written can be read.

    Raises:
        SettingsError: One does, or the separator is empty.
    """
    if kind_of(model) is not LabelSetPrediction or isinstance(model, TextRegressor):
        return
    for label in model.classes_:
        if separator in str(label):  # as in any label if it is empty
            raise SettingsError(
                f"the label {str(label)!r} holds the separator {separator!r}; choose another with "
                "label_separator (--label-separator), or write JSONL or Parquet"
            )


def writer_for(target: Path) -> Writer:
    """Return what writes predictions in the format of `target`'s ending.

    Raises:
        SettingsError: The ending stands for no format.
    """
    try:
        return _WRITERS[target.suffix.lower()]
    except KeyError:
        raise SettingsError(f"{target}: must end in {', '.join(_WRITERS)}") from None


def write_csv(
    file: IO[str], kind: type[AnyPrediction], separator: str, *, delimiter: str = ","
) -> Write:
    """Write the head of a table to `file`, and return what writes its rows."""
    rows = csv.writer(file, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    rows.writerow(kind._fields)
    return lambda predictions: rows.writerows(_cells(each, separator) for each in predictions)


def _cells(prediction: AnyPrediction, separator: str) -> Iterator[object]:
    """Yield the row of a table of text; `separator` stands between several labels."""
    for name, value in prediction._asdict().items():
        if isinstance(value, list):
            items = (each if isinstance(each, str) else f"{each:.6g}" for each in value)
            yield csv_cell(separator.join(items))
        elif isinstance(value, str):
            yield csv_cell(value)
        else:
            yield round(value, 6) if name == "probability" else value


def write_jsonl(file: IO[str]) -> Write:
    """Return what writes predictions to `file`, one JSON object a line."""
    encoding = getattr(file, "encoding", None) or "utf-8"  # of a terminal, perhaps
    escaped = encoding.lower() not in {"utf-8", "utf8"}
    return lambda predictions: file.writelines(
        json.dumps(prediction._asdict(), ensure_ascii=escaped) + "\n" for prediction in predictions
    )


def csv_cell(text: str) -> str:
    """Return `text` such that no spreadsheet runs it as a formula."""
    runs = text.startswith(_FORMULA_START) and not _NUMBER.fullmatch(text)
    return f"'{text}" if runs else text


@contextmanager
def _csv_file(
    path: Path, kind: type[AnyPrediction], separator: str, *, delimiter: str = ","
) -> Iterator[Write]:
    with path.open("w", encoding="utf-8", newline="") as file:
        yield write_csv(file, kind, separator, delimiter=delimiter)


@contextmanager
def _jsonl_file(path: Path, kind: type[AnyPrediction], separator: str) -> Iterator[Write]:
    del kind, separator
    with path.open("w", encoding="utf-8", newline="\n") as file:
        yield write_jsonl(file)


@contextmanager
def _parquet_file(path: Path, kind: type[AnyPrediction], separator: str) -> Iterator[Write]:
    import pyarrow as pa  # late: a fifth of a second
    import pyarrow.parquet as pq

    del separator
    types = {str: pa.string(), float: pa.float64()}
    types |= {list[str]: pa.list_(pa.string()), list[float]: pa.list_(pa.float64())}
    schema = pa.schema([(name, types[of]) for name, of in kind.__annotations__.items()])
    with pq.ParquetWriter(path, schema) as file:
        yield lambda predictions: file.write_table(
            pa.Table.from_pylist([prediction._asdict() for prediction in predictions], schema)
        )


_WRITERS: dict[str, Writer] = {
    ".csv": _csv_file,
    ".tsv": partial(_csv_file, delimiter="\t"),
    ".jsonl": _jsonl_file,
    ".parquet": _parquet_file,
}
