"""A comparison from end to end: data, encoders, cells, statistics, winner, report."""

import importlib.metadata
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from headstart import __version__
from headstart.compare.cells import Terms, fit_all, run_cells
from headstart.compare.contestants import Contestant, parse_all
from headstart.compare.encoders import make_encoders
from headstart.compare.fairness import data_facts, differences, warnings
from headstart.compare.head_start import HeadStart, headline
from headstart.compare.picture import learning_curves_svg
from headstart.compare.recommendation import recommend
from headstart.compare.report import render_report
from headstart.compare.summary import summarize
from headstart.data.corpora import Corpus, as_corpus
from headstart.data.demo import Demo, fetch_demo
from headstart.data.labelled import (
    Dataset,
    check_known_labels,
    check_trainable,
    read_labelled,
)
from headstart.data.splits import split_test
from headstart.devices import available_cores
from headstart.errors import InterruptedRunError, SettingsError
from headstart.hub.bundle import Pretrained, PretrainedWordVectors
from headstart.inspect.neighbors import inspect_words
from headstart.progress import SILENT, Progress
from headstart.settings import replay_command
from headstart.storage import (
    disk_errors,
    fingerprint,
    folder_lock,
    write_json,
    write_text,
)
from headstart.tokenize.words import WordTokenizer
from headstart.transfer.loading import load_classifier
from headstart.transfer.methods import method_of

METHODS: tuple[str, ...] = (
    "majority",
    "tfidf",
    "scratch",
    "word2vec:probe",
    "word2vec:frozen",
    "word2vec:finetune",
)
BUDGETS = (10, 25, 50, 100, 250, 1000, 2500, 10_000)
QUICK_BUDGETS = (10, 25, 250)
SEEDS, QUICK_SEEDS = 5, 3
PRETRAIN_MINUTES = 1.0
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
    def head_starts(self) -> dict[tuple[str, int], HeadStart | None]:
        """The head start of each method at each label budget, None where there is no scratch."""
        return {(row["method"], row["labels"]): HeadStart.of(row) for row in self.table}

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
    corpus: str | Path | Sequence[str] | Sequence[Path] | Corpus | None = None,
    methods: Sequence[str] | None = None,
    label_budgets: Sequence[int] | None = None,
    seeds: int | None = None,
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
        corpus: Unlabelled text to pretrain on: a file, folder or glob, a list of such paths, or a
            list of documents; without it, the training texts without labels.
        methods: `NAME[=SOURCE][:TRANSFER]`; a good selection by default.
        label_budgets: Numbers of labels; by default those of a usual ladder that there are.
        seeds: Runs of each method at each budget, each on other labels; 5 by default.
        out: The folder for results, report and winner. A comparison that was stopped goes on there.
        quick: Three budgets and three seeds, where none are given: a first look.
        pretrain_minutes: The most that each encoder may spend on pretraining; 1 by default.
        text_column: The column of the texts, in `data`, `test` and a `corpus` that is a table.
        label_column: The column of the labels.
        workers: Processes; as many as cores by default.
        progress: Where progress goes.

    Raises:
        DataError: The data cannot be used as they are.
        SettingsError: A method, budget or number is impossible.
        LockedError: Another process is using `out`.
        InterruptedRunError: Stopped by Ctrl-C; the same call goes on.
    """
    asked: dict[str, Any] = {
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
    unnamed = any(each is not None and _as_setting(each) is None for each in (data, test, corpus))
    seeds = (QUICK_SEEDS if quick else SEEDS) if seeds is None else seeds
    minutes = PRETRAIN_MINUTES if pretrain_minutes is None else pretrain_minutes
    workers = available_cores() if workers is None else workers
    for name, number in (("seeds", seeds), ("pretrain_minutes", minutes), ("workers", workers)):
        if not number > 0:
            raise SettingsError(f"{name} must be above 0, got {number}")
    if data is not None:
        train, test_rows = _labelled(data, test, text_column, label_column, progress)
        title = f"How many labels does pretraining save on {train.source}?"
        text, defaults = None, METHODS
    elif test is None and text_column is None and label_column is None:
        demo = fetch_demo(progress=progress)
        train, test_rows, text, defaults = demo.train, demo.test, demo.corpus, _demo_methods(demo)
        title = "How many labels do pretrained word vectors save on BBC News?"
    else:
        raise SettingsError(
            "test rows and columns belong to labelled data; give the data too, or nothing at all "
            "for the demo"
        )
    if corpus is not None:
        text = as_corpus(corpus, text_column=text_column)
    check_known_labels(test_rows, train.classes)
    plan = _Plan(
        title=title,
        train=train,
        test=test_rows,
        corpus=text,
        contestants=parse_all(list(methods or defaults)),
        budgets=_budgets(label_budgets, train, quick=quick),
        seeds=seeds,
        minutes=minutes,
        workers=workers,
        folder=Path(out),
    )
    settings = {**asked, "methods": list(methods or defaults)}
    command = None if unnamed else replay_command("compare", asked)
    try:
        with folder_lock(plan.folder), disk_errors(plan.folder):
            results = _carry_out(plan, settings, progress) | {"command": command}
            comparison = Comparison(results, plan.folder)
            _write(comparison)
    except KeyboardInterrupt:
        raise InterruptedRunError(
            f"stopped; what was finished is kept in {out}: run the same again to go on"
        ) from None
    return comparison


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """What a comparison is about, read and checked."""

    title: str
    train: Dataset
    test: Dataset
    corpus: Corpus | None
    contestants: Sequence[Contestant]
    budgets: Sequence[int]
    seeds: int
    minutes: float
    workers: int
    folder: Path


def _carry_out(plan: _Plan, settings: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Make the encoders, run the cells, keep the winner; return the results as plain values."""
    started = time.perf_counter()
    train, test, contestants = plan.train, plan.test, plan.contestants
    corpus = plan.corpus or as_corpus(train.texts)
    notes = list(dict.fromkeys((*train.notes, *test.notes, *corpus.notes)))
    cautions = warnings(train, test)
    if plan.corpus is None:
        cautions = [
            "No corpus was given: encoders are pretrained on the training texts.",
            *cautions,
        ]
    for note in (*notes, *cautions):
        progress.note(note)
    folders, encoders = make_encoders(contestants, corpus, plan.minutes, progress)
    terms = Terms(
        train=train,
        test=test,
        data_print=fingerprint(train.texts, train.labels, test.texts, test.labels),
        encoders=folders,
        prints={name: encoder.fingerprint for name, encoder in encoders.items()},
        folder=plan.folder / "cells",
    )
    cells = run_cells(
        terms,
        contestants,
        budgets=plan.budgets,
        seeds=plan.seeds,
        workers=plan.workers,
        progress=progress,
    )
    with progress.stage("drawing intervals") as advance:
        summary = summarize(cells)
        advance(1)
    choice = recommend(summary, labels=len(train))
    knowledge = _fit_winner_and_inspect(plan, terms, choice["method"], encoders, progress)
    return {
        "title": plan.title,
        "task": "classification",
        "metric": "accuracy",
        "data": {
            **data_facts(train, test),
            "notes": notes,
            "corpus": _corpus_facts(corpus, contestants, encoders),
        },
        "headline": headline(summary),
        "best": {
            **{name: choice[name] for name in ("method", "labels", "why")},
            "folder": str(plan.folder / "best"),
        },
        "recommendation": choice,
        "differences": differences(contestants, encoders),
        "warnings": [*cautions, *_degenerate(summary), *_truncated(cells)],
        "summary": summary,
        "proofs": _proofs(cells),
        "knowledge": knowledge,
        "settings": {
            **settings,
            "labels": list(plan.budgets),
            "seeds": plan.seeds,
            "pretrain_minutes": plan.minutes,
            "workers": plan.workers,
            **_details(contestants, encoders),
        },
        "versions": _versions(),
        "seconds": time.perf_counter() - started,
        "cells": cells,
    }


def _demo_methods(demo: Demo) -> tuple[str, ...]:
    glove = (f"glove={demo.glove}:{transfer}" for transfer in ("probe", "frozen", "finetune"))
    return (*METHODS, *glove)


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
    check_trainable(given)
    if test is not None:
        return given, read(test)
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


def _fit_winner_and_inspect(
    plan: _Plan,
    terms: Terms,
    winner: str,
    encoders: Mapping[str, Pretrained],
    progress: Progress,
) -> dict[str, Any] | None:
    """Fit the winner to all labels; look at the words' neighbors in scratch, pretrained, tuned.

    The winner's encoder is looked at, or else the first one that is fine-tuned, or the first.
    """
    by_name = {one.name: one for one in plan.contestants}
    models = {plan.folder / "best": by_name[winner]}
    order = sorted(
        (one for one in plan.contestants if one.encoder),
        key=lambda one: (one.encoder != by_name[winner].encoder, one.transfer != "finetune"),
    )
    shown = order[0] if order else None
    inspected = plan.folder / "inspected"
    if shown:
        models[inspected / "scratch"] = Contestant.parse("scratch")
        if shown.transfer == "finetune":
            models[inspected / "finetuned"] = shown
    fit_all(terms, models, workers=plan.workers, progress=progress)
    encoder = encoders[shown.encoder] if shown else None
    if not shown or not isinstance(encoder, PretrainedWordVectors):
        return None
    if not isinstance(encoder.tokenizer, WordTokenizer):
        return None
    learnt = {
        name: load_classifier(inspected / name).fitted_vectors()
        for name in ("scratch", "finetuned")
        if inspected / name in models
    }
    columns = {"scratch": learnt.get("scratch"), "pretrained": encoder, **learnt}
    spaces = {name: vectors.space for name, vectors in columns.items() if vectors}
    found = inspect_words(plan.train.texts, plan.train.labels, encoder.tokenizer, spaces)
    return {**found, "encoder": shown.encoder}


def _details(
    contestants: Sequence[Contestant], encoders: Mapping[str, Pretrained]
) -> dict[str, Any]:
    """Return every setting that nobody typed: of the transfers, and of encoders pretrained here."""
    used = dict.fromkeys(one.transfer for one in contestants)
    made = dict.fromkeys(one.encoder for one in contestants if one.encoder and not one.source)
    return {
        **{name: settings for name in used if (settings := asdict(method_of(name)))},
        **{f"pretrain {name}": encoders[name].config for name in made},
    }


def _corpus_facts(
    corpus: Corpus, contestants: Sequence[Contestant], encoders: Mapping[str, Pretrained]
) -> dict[str, Any]:
    facts: dict[str, Any] = {"source": corpus.description}
    for one in contestants:
        if one.encoder and not one.source:
            lineage = encoders[one.encoder].lineage
            return facts | {name: lineage[name] for name in ("documents", "words")}
    return facts


def _degenerate(summary: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        f"{row['method']} with {row['labels']:,} labels: {row['degenerate']} "
        f"run{'s' if row['degenerate'] > 1 else ''} learned nothing."
        for row in summary
        if row["degenerate"] and row["method"] != "majority"
    ]


def _truncated(cells: Sequence[Mapping[str, Any]]) -> list[str]:
    most = max(cells, key=lambda cell: int(cell["truncated"]))
    if not most["truncated"]:
        return []
    return [
        f"Long texts are cut: {most['truncated']:,} of {most['labels']:,} training texts of one "
        "run were; their ends were not read."
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
    if isinstance(source, list | tuple) and all(isinstance(one, Path) for one in source):
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
