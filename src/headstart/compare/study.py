"""A comparison from end to end: data, encoders, cells, statistics, winner, report."""

import importlib.metadata
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from headstart import __version__
from headstart.compare.cells import Terms, fit_all, run_cells
from headstart.compare.contestants import Contestant, parse_all
from headstart.compare.fairness import data_facts, differences, warnings
from headstart.compare.head_start import headline
from headstart.compare.picture import learning_curves_svg
from headstart.compare.report import render_report
from headstart.compare.summary import summarize
from headstart.data.corpora import Corpus, read_corpus
from headstart.data.demo import fetch_demo
from headstart.data.labelled import (
    Dataset,
    check_known_labels,
    check_trainable,
    read_labelled,
)
from headstart.data.splits import split_test
from headstart.devices import available_cores
from headstart.errors import SettingsError
from headstart.hub.bundle import Pretrained, PretrainedWordVectors
from headstart.hub.store import load_encoder, pretrain
from headstart.inspect.neighbors import inspect_words
from headstart.models.word_vectors import WordSpace
from headstart.progress import SILENT, Progress
from headstart.settings import replay_command
from headstart.storage import (
    cache_folder,
    disk_errors,
    fingerprint,
    folder_lock,
    write_json,
    write_text,
)
from headstart.tokenize.words import WordTokenizer
from headstart.transfer.loading import load_classifier

METHODS = (
    "majority",
    "tfidf",
    "scratch",
    "word2vec:probe",
    "word2vec:frozen",
    "word2vec:finetune",
)
BUDGETS = (10, 25, 50, 100, 250, 1000, 2500, 10_000)
QUICK_BUDGETS = (10, 50, 250)
QUICK_SEEDS = 3
PRETRAIN_EPOCHS = {"word2vec": 30, "glove": 50}
MIN_COUNT = 3  # corpora of a task are small
_TEST_SHARE = 0.3
_SPLIT_SEED = 0


@dataclass(frozen=True)
class Comparison:
    """What a comparison found; the same as its folder's `results.json`.

    Attributes:
        results: Everything, as plain values: `cells`, `summary`, `best`, `headline`, ..
        folder: Where results, report, cells and the winner are.
    """

    results: dict[str, Any]
    folder: Path

    @property
    def table(self) -> list[dict[str, Any]]:
        """One row for each method and label budget: mean, interval, difference, head start."""
        rows: list[dict[str, Any]] = self.results["summary"]
        return rows

    @property
    def head_starts(self) -> dict[tuple[str, int], float | None]:
        """The head start of each method at each label budget."""
        return {(row["method"], row["labels"]): row["head_start"] for row in self.table}

    @property
    def headline(self) -> str:
        """The sentence to read first."""
        return str(self.results["headline"]["sentence"])

    @property
    def best(self) -> dict[str, Any]:
        """The winner: its method, why, and its model folder."""
        best: dict[str, Any] = self.results["best"]
        return best

    def save_report(self, path: str | Path) -> Path:
        """Write the report as one HTML file that opens offline."""
        write_text(Path(path), render_report(self.results))
        return Path(path)


def compare(  # noqa: PLR0913 - what a user may decide, each by its name
    data: str | Path | Dataset | None = None,
    *,
    test: str | Path | Dataset | None = None,
    corpus: str | Path | Sequence[str | Path] | Corpus | None = None,
    methods: Sequence[str] | None = None,
    label_budgets: Sequence[int] | None = None,
    seeds: int = 5,
    out: str | Path = "runs/compare",
    quick: bool = False,
    pretrain_minutes: float | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    workers: int | None = None,
    progress: Progress = SILENT,
) -> Comparison:
    """Compare methods on the same labels, test rows and seeds, and keep the winner.

    Args:
        data: Labelled texts; without them, the demo (BBC News and GloVe 6B 50d).
        test: Test rows; without them, a fixed stratified 30 % of `data`.
        corpus: Unlabelled text to pretrain on; without it, the training texts without labels.
        methods: `NAME[=SOURCE][:TRANSFER]`; a good selection by default.
        label_budgets: Numbers of labels; by default those of a usual ladder that there are.
        seeds: Runs of each method at each budget; each draws other labels.
        out: The folder for results, report and winner. A comparison that was stopped goes on there.
        quick: Three budgets and three seeds: a first look.
        pretrain_minutes: What each encoder may spend on pretraining; 1 by default.
        text_column: The column of the texts.
        label_column: The column of the labels.
        workers: Processes; as many as cores by default.
        progress: Where progress goes.

    Raises:
        DataError: The data cannot be used as they are.
        SettingsError: A method, budget or number is impossible.
        LockedError: Another process is using `out`.
        InterruptedRunError: Stopped by Ctrl-C; the same call goes on.
    """
    started = time.perf_counter()
    folder = Path(out)
    if seeds < 1:
        raise SettingsError(f"seeds must be 1 or more, got {seeds}")
    settings: dict[str, Any] = {
        "data": _as_setting(data),
        "test": _as_setting(test),
        "corpus": _as_setting(corpus),
        "methods": list(methods) if methods else None,
        "labels": list(label_budgets) if label_budgets else None,
        "seeds": seeds,
        "quick": quick,
        "pretrain_minutes": pretrain_minutes,
        "text_column": text_column,
        "label_column": label_column,
        "out": str(out),
    }
    if data is None:
        demo = fetch_demo(progress=progress)
        train = replace(demo.train, source="BBC News: headline and lead, 64 words at most")
        test_rows = demo.test
        text = replace(demo.corpus, description="BBC News: the full text of all but the test rows")
        defaults = (
            *METHODS,
            *(f"glove={demo.glove}:{how}" for how in ("probe", "frozen", "finetune")),
        )
        title = "How many labels do pretrained word vectors save on BBC News?"
    else:
        train, test_rows = _labelled(data, test, text_column, label_column, progress)
        text, defaults = None, METHODS
        title = f"How many labels does pretraining save on {train.source}?"
    if corpus is not None:
        text = corpus if isinstance(corpus, Corpus) else read_corpus(corpus)
    check_trainable(train)
    check_known_labels(test_rows, train.classes)
    contestants = parse_all(list(methods or defaults))
    budgets = _budgets(label_budgets, train, quick=quick)
    with folder_lock(folder), disk_errors(folder):
        corpus_note = []
        if text is None:
            text = read_corpus(texts=train.texts)
            corpus_note = ["No corpus was given: encoders are pretrained on the training texts."]
        for note in (*train.notes, *text.notes, *corpus_note, *warnings(train, test_rows)):
            progress.note(note)
        folders, encoders = _encoders(contestants, text, pretrain_minutes or 1.0, progress)
        terms = Terms(
            train=train,
            test=test_rows,
            data_print=fingerprint(train.texts, train.labels, test_rows.texts, test_rows.labels),
            encoders=folders,
            prints={name: encoder.fingerprint for name, encoder in encoders.items()},
            folder=folder / "cells",
        )
        workers = workers or available_cores()
        cells = run_cells(
            terms,
            contestants,
            budgets=budgets,
            seeds=min(seeds, QUICK_SEEDS) if quick else seeds,
            workers=workers,
            progress=progress,
        )
        with progress.stage("drawing intervals") as advance:
            summary = summarize(cells)
            advance(1)
        best = _winner(cells, summary)
        knowledge = _fit_winner_and_inspect(
            terms, contestants, best, encoders, folder, workers, progress
        )
        results = {
            "title": title,
            "task": "classification",
            "metric": "accuracy",
            "data": {**data_facts(train, test_rows), "corpus": _corpus_facts(text, encoders)},
            "headline": headline(summary),
            "best": {**best, "folder": str(folder / "best")},
            "recommendation": best,
            "differences": differences(contestants, encoders),
            "warnings": [*corpus_note, *warnings(train, test_rows), *_degenerate(summary)],
            "summary": summary,
            "proofs": _proofs(cells),
            "knowledge": knowledge,
            "settings": settings,
            "command": replay_command("compare", settings),
            "versions": _versions(),
            "seconds": time.perf_counter() - started,
            "cells": cells,
        }
        comparison = Comparison(results, folder)
        _write(comparison)
    return comparison


def _labelled(
    data: str | Path | Dataset,
    test: str | Path | Dataset | None,
    text_column: str | None,
    label_column: str | None,
    progress: Progress,
) -> tuple[Dataset, Dataset]:
    def read(source: str | Path | Dataset) -> Dataset:
        if isinstance(source, Dataset):
            return source
        return read_labelled(
            source, text_column=text_column, label_column=label_column, progress=progress
        )

    given = read(data)
    if test is not None:
        return given, read(test)
    check_trainable(given)
    train, held_out = split_test(given.labels, test_share=_TEST_SHARE, seed=_SPLIT_SEED)
    note = f"No test file was given: {len(held_out):,} of {len(given):,} rows are kept to test on."
    return replace(given.select(train), notes=(*given.notes, note)), given.select(held_out)


def _budgets(asked: Sequence[int] | None, train: Dataset, *, quick: bool) -> tuple[int, ...]:
    classes = len(train.classes)
    if asked:
        if over := [labels for labels in asked if labels > len(train)]:
            raise SettingsError(
                f"a budget of {over[0]:,} labels is above the {len(train):,} training rows of "
                f"{train.source}; choose smaller budgets or give more data"
            )
        if under := [labels for labels in asked if labels < classes]:
            raise SettingsError(
                f"a budget of {under[0]} labels is below the {classes} classes of {train.source}; "
                "each class needs one label"
            )
        return tuple(sorted(set(asked)))
    ladder = QUICK_BUDGETS if quick else BUDGETS
    fitting = tuple(labels for labels in ladder if 2 * classes <= labels <= len(train))
    return fitting or (len(train),)


def _encoders(
    contestants: Sequence[Contestant], corpus: Corpus, minutes: float, progress: Progress
) -> tuple[dict[str, Path], dict[str, Pretrained]]:
    """Return each encoder and the folder it is kept in; expensive ones are made once, ever."""
    folders: dict[str, Path] = {}
    encoders: dict[str, Pretrained] = {}
    for one in contestants:
        name, source = one.encoder, one.source
        if not name or name in encoders:
            continue
        if source and Path(source).is_dir():
            folders[name], encoders[name] = Path(source), load_encoder(source)
            continue
        if source:
            about = Path(source).stat() if Path(source).exists() else None
            key = [str(Path(source).absolute()), about and about.st_size, about and about.st_mtime]
        else:
            key = [name, corpus.fingerprint(), minutes, PRETRAIN_EPOCHS[name]]
        folder = cache_folder() / "encoders" / f"{name}-{fingerprint(key, __version__)}"
        folder.parent.mkdir(parents=True, exist_ok=True)
        with folder_lock(folder.parent):
            if not folder.exists():
                made = (
                    load_encoder(source, progress=progress)
                    if source
                    else pretrain(
                        name,
                        corpus,
                        epochs=PRETRAIN_EPOCHS[name],
                        minutes=minutes,
                        progress=progress,
                        min_count=MIN_COUNT,
                    )
                )
                made.save(folder)
        folders[name], encoders[name] = folder, load_encoder(folder)
    return folders, encoders


def _winner(
    cells: Sequence[Mapping[str, Any]], summary: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Choose by validation scores at the largest budget; the test rows have no say."""
    most = max(row["labels"] for row in summary)
    at_most = [row for row in summary if row["labels"] == most]

    def validation(row: Mapping[str, Any]) -> tuple[float, float]:
        own = [c for c in cells if (c["method"], c["labels"]) == (row["method"], most)]
        return -row["validation"], sum(cell["validation_loss"] for cell in own) / len(own)

    best = min(at_most, key=validation)
    why = (
        f"Of all methods it has the best validation score with {most:,} labels "
        f"({best['validation']:.3f}, mean over seeds); on the test rows, which had no say, it "
        f"scores {best['mean']:.3f} [{best['low']:.3f}, {best['high']:.3f}]."
    )
    return {"method": best["method"], "labels": most, "why": why}


def _fit_winner_and_inspect(
    terms: Terms,
    contestants: Sequence[Contestant],
    best: Mapping[str, Any],
    encoders: Mapping[str, Pretrained],
    folder: Path,
    workers: int,
    progress: Progress,
) -> dict[str, Any] | None:
    """Fit the winner to all labels; look at the words' neighbors in scratch, pretrained, tuned."""
    by_name = {one.name: one for one in contestants}
    winner = by_name[best["method"]]
    models = {folder / "best": winner}
    tuned = [one for one in contestants if one.transfer == "finetune"]
    tuned.sort(key=lambda one: one.encoder != winner.encoder)
    shown = tuned[0] if tuned else None
    if shown:
        models[folder / "inspected" / "finetuned"] = shown
        models[folder / "inspected" / "scratch"] = Contestant.parse("scratch")
    fit_all(terms, models, workers=workers, progress=progress)
    if not shown:
        return None
    spaces: dict[str, WordSpace] = {}
    encoder = encoders[shown.encoder]
    scratch = load_classifier(folder / "inspected" / "scratch").fitted_vectors()
    finetuned = load_classifier(folder / "inspected" / "finetuned").fitted_vectors()
    if not isinstance(encoder, PretrainedWordVectors) or scratch is None or finetuned is None:
        return None
    spaces = {"scratch": scratch.space, "pretrained": encoder.space, "finetuned": finetuned.space}
    if not isinstance(encoder.tokenizer, WordTokenizer):
        return None
    found = inspect_words(terms.train.texts, terms.train.labels, encoder.tokenizer, spaces)
    return {**found, "word_tests": [], "encoder": shown.encoder}


def _corpus_facts(corpus: Corpus, encoders: Mapping[str, Pretrained]) -> dict[str, Any]:
    here = [e.lineage for e in encoders.values() if "documents" in e.lineage]
    facts = {"source": corpus.description}
    return {**facts, **{key: here[0][key] for key in ("documents", "words")}} if here else facts


def _degenerate(summary: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        f"{row['method']} with {row['labels']:,} labels: {row['degenerate']} runs learned nothing."
        for row in summary
        if row["degenerate"] and row["method"] != "majority"
    ]


def _proofs(cells: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return each method's proof at the largest budget, first seed."""
    most = max(cell["labels"] for cell in cells)
    return {
        cell["method"]: cell["proof"]
        for cell in reversed(cells)
        if cell["proof"] and cell["labels"] == most
    }


def _as_setting(source: object) -> str | list[str] | None:
    """Return a file, or files, as a command would name them; what is in memory has no name."""
    if isinstance(source, list | tuple):
        return [str(one) for one in source]
    return str(source) if isinstance(source, str | Path) else None


def _versions() -> dict[str, str]:
    packages = ("torch", "numpy", "scikit-learn", "tokenizers", "numba")
    others = {name: importlib.metadata.version(name) for name in packages}
    return {"headstart": __version__, "python": platform.python_version(), **others}


def _write(comparison: Comparison) -> None:
    results, folder = comparison.results, comparison.folder
    write_json(folder / "results.json", results)
    dropped = ("correct", "proof", "chosen")
    flat = [{k: v for k, v in cell.items() if k not in dropped} for cell in results["cells"]]
    pq.write_table(pa.Table.from_pylist(flat), folder / "results.parquet")
    comparison.save_report(folder / "report.html")
    picture = learning_curves_svg(results["summary"], metric=results["metric"])
    write_text(folder / "learning_curves.svg", picture)
