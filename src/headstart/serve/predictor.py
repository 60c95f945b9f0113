"""Predictions for files of any size: read a batch, predict it, write it, forget it.

The format of the output follows its ending. JSONL and Parquet hold texts and labels exactly; in CSV
and TSV a cell that a spreadsheet would run as a formula gets a leading `'`.
"""

import csv
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headstart.data.labelled import read_texts
from headstart.errors import SettingsError
from headstart.progress import SILENT, Progress
from headstart.storage import disk_errors

_FORMULA_START = tuple("=+-@\t\r\n\0＝＋－＠")  # spreadsheets take full-width signs too
_NUMBER = re.compile(r"[+-]?\d*\.?\d+")


class Classifier(Protocol):
    """What predicts: a fitted `TextClassifier`, or anything that speaks like one."""

    classes_: Any

    def predict_proba(self, texts: Sequence[str]) -> np.ndarray: ...


class Prediction(NamedTuple):
    """A text, the label the model gives it, and the probability the model gives that label."""

    text: str
    label: str
    probability: float


Write = Callable[[Sequence[Prediction]], object]


def predict(model: Classifier, batches: Iterable[Sequence[str]]) -> Iterator[list[Prediction]]:
    """Yield the predictions of one batch of texts after the other, in their order."""
    labels = [str(label) for label in model.classes_]
    for texts in batches:
        probabilities = model.predict_proba(texts)
        yield [
            Prediction(text, labels[column], float(probability))
            for text, column, probability in zip(
                texts, probabilities.argmax(axis=1), probabilities.max(axis=1), strict=True
            )
        ]


def predict_file(
    model: Classifier,
    source: Path,
    target: Path,
    *,
    text_column: str | None = None,
    batch_size: int = 1024,
    progress: Progress = SILENT,
) -> int:
    """Predict every text of `source` into `target`, which is written whole or not at all.

    Memory is bounded by one batch, whatever the size of the files.

    Args:
        model: A fitted classifier.
        source: CSV, TSV, JSONL or Parquet with a column of texts, or plain text, one text a line.
        target: A `.csv`, `.tsv`, `.jsonl` or `.parquet` file; columns text, label, probability.
        text_column: The column of `source` to read, where it is not `text`.
        batch_size: Texts held in memory at once.
        progress: Where progress goes.

    Returns:
        The number of texts.

    Raises:
        DataError: A line of `source` cannot be read; names the line.
        SettingsError: `target` has another ending, or is the source.
        StorageError: The disk refuses; a `target` of before stays as it was.
    """
    writer = writer_for(target)
    if target.exists() and source.exists() and target.samefile(source):
        raise SettingsError(f"{target}: is what is read; write the predictions to another file")
    texts = read_texts(source, text_column=text_column, batch_size=batch_size, progress=progress)
    count = 0
    with (
        progress.stage(f"predicting {source}", unit="texts") as advance,
        _whole(target) as partial,
        writer(partial) as write,
    ):
        for predictions in predict(model, texts):
            write(predictions)
            count += len(predictions)
            advance(len(predictions))
    return count


def writer_for(target: Path) -> Callable[[Path], AbstractContextManager[Write]]:
    """Return what writes predictions in the format of `target`'s ending.

    Raises:
        SettingsError: The ending stands for no format.
    """
    try:
        return _WRITERS[target.suffix.lower()]
    except KeyError:
        raise SettingsError(f"{target}: must end in {', '.join(_WRITERS)}") from None


def write_csv(file: IO[str], *, delimiter: str = ",") -> Write:
    """Write the head of a table to `file`, and return what writes its rows."""
    rows = csv.writer(file, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    rows.writerow(Prediction._fields)
    return lambda predictions: rows.writerows(
        (csv_cell(text), csv_cell(label), round(probability, 6))
        for text, label, probability in predictions
    )


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
def _csv_file(path: Path) -> Iterator[Write]:
    with path.open("w", encoding="utf-8", newline="") as file:
        yield write_csv(file)


@contextmanager
def _tsv_file(path: Path) -> Iterator[Write]:
    with path.open("w", encoding="utf-8", newline="") as file:
        yield write_csv(file, delimiter="\t")


@contextmanager
def _jsonl_file(path: Path) -> Iterator[Write]:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        yield write_jsonl(file)


@contextmanager
def _parquet_file(path: Path) -> Iterator[Write]:
    schema = pa.schema(
        [("text", pa.string()), ("label", pa.string()), ("probability", pa.float64())]
    )
    with pq.ParquetWriter(path, schema) as file:
        yield lambda predictions: file.write_table(
            pa.Table.from_pylist([prediction._asdict() for prediction in predictions], schema)
        )


_WRITERS = {
    ".csv": _csv_file,
    ".tsv": _tsv_file,
    ".jsonl": _jsonl_file,
    ".parquet": _parquet_file,
}


@contextmanager
def _whole(target: Path) -> Iterator[Path]:
    """Yield a path beside `target`, and give it that name once the block ends well."""
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            os.replace(partial, target)
        finally:
            partial.unlink(missing_ok=True)
