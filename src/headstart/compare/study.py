"""Run a comparison from end to end: data, encoders, cells, statistics, winner, report."""

import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from headstart.compare.account import (
    corpus_facts,
    degenerate,
    details,
    layer_weights,
    proofs,
    truncated,
    versions,
)
from headstart.compare.allowance import Allowance, limits, now
from headstart.compare.arguments import amount, as_list, as_setting, count, whole_numbers
from headstart.compare.cells import Model, Processes, Terms, run_cells
from headstart.compare.clean_rows import (
    changed_rankings,
    clean_facts,
    clean_value,
    learns_from_corpus,
    look_for_seen,
)
from headstart.compare.comparison import Comparison, write_comparison
from headstart.compare.contestants import Contestant
from headstart.compare.encoders import Encoders, make_encoders, notes_of_unread, num_pretrained
from headstart.compare.fairness import data_facts, differences, shared_texts, warnings
from headstart.compare.folder import check_that_it_is_ours, check_that_it_is_the_same
from headstart.compare.forecast import forecast, hold_against
from headstart.compare.head_start import headline
from headstart.compare.reading import MOST_BYTES, Read, Texts, read_texts, remember, remember_pairs
from headstart.compare.recommendation import recommend
from headstart.compare.rows import (
    choose_budgets,
    read_rows,
    warn_of,
    without_leaks,
    without_validation,
)
from headstart.compare.schedule import Limits, report_left_out
from headstart.compare.summary import gains, ranking_changes, summarize
from headstart.compare.tasks import ANY, Columns, ComparedTask, Examples, choose_task, settled
from headstart.compare.usual import DEMOS, demo_methods, parse_for, usual_methods
from headstart.compare.winner import affordable_labels, fit_and_inspect
from headstart.data.corpora import Corpus, as_corpus
from headstart.data.demo import fetch_demo
from headstart.data.parallel import Pair, ParallelText, as_parallel
from headstart.data.unseen_labels import UnseenLabels
from headstart.devices import available_cores, torch_defaults
from headstart.errors import DataError, InterruptedRunError, SettingsError
from headstart.hub.bundle import Pretrained
from headstart.hub.pretraining import SIZES
from headstart.inspect.word_states import reads_context
from headstart.progress import SILENT, Progress
from headstart.settings import plain_arguments, replay_command
from headstart.storage import disk_errors, fingerprint, folder_lock
from headstart.transfer.fitting import whole_model_width
from headstart.transfer.token_states import reads_in_context

SEEDS, QUICK_SEEDS = 5, 3
DEMO_MINUTES, QUICK_DEMO_MINUTES = 20.0, 3.0
PRETRAIN_SIZE = "tiny"  # of BERT and GPT: minutes on a task's own corpus cannot train a larger one
_MOST_GIGABYTES = 1e9  # in effect no limit
_OCCURRENCES = 60  # of the word that the report shows


@torch_defaults()
@plain_arguments
def compare(  # noqa: PLR0913 - what a user may decide, each by its name
    data: str | Path | Examples | None = None,
    *,
    test: str | Path | Examples | None = None,
    corpus: str | Path | Sequence[str] | Sequence[Path] | Corpus | None = None,
    parallel: str | Path | Sequence[str | Path] | Sequence[Pair] | ParallelText | None = None,
    methods: Sequence[str] | None = None,
    label_budgets: Sequence[int] | None = None,
    seeds: int | None = None,
    out: str | Path = "runs/compare",
    quick: bool = False,
    minutes: float | None = None,
    pretrain_minutes: float | None = None,
    pretrain_size: str | None = None,
    task: str | None = None,
    demo: str | None = None,
    symmetric: bool = False,
    scheme: str = "auto",
    repair: bool = False,
    drop_leaks: bool = False,
    text_column: str | None = None,
    pair_columns: Sequence[str] | None = None,
    label_column: str | None = None,
    max_bad_rows: int = 0,
    unseen_labels: UnseenLabels = "refuse",
    workers: int | None = None,
    max_memory: float = MOST_BYTES / 1e9,
    progress: Progress = SILENT,
) -> Comparison:
    """Compare methods on the same labels, test rows and seeds, and keep the winner.

    Args:
        data: Labeled texts, pairs or tagged sentences: a file, or in memory a `Dataset`,
            `PairDataset` or `TaggedSentences` (of `headstart.data`); without them, the demo of
            the task (with GloVe 6B 50d and all-MiniLM-L6-v2).
        test: Test rows; without them, a fixed stratified 30% of `data`.
        corpus: Unlabeled text to pretrain on: a file, folder or glob, a list of such paths, or a
            list of documents; without it, the training texts without their labels.
        parallel: Translations for CoVe to learn from: two files with the same number of lines, the
            language of the texts first, a TSV of both, or a list of pairs.
        methods: `NAME[+adapt][=SOURCE]:TRANSFER`; a good selection by default. CoVe, ELMo, BERT
            and GPT need minutes of pretraining and more of training, so on your own data they run
            only if you name them: `bert:finetune`, and `bert:scratch` beside it.
        label_budgets: Numbers of labels, or of tagged sentences. The defaults are those of 10, 25,
            50, 100, 250, 1000, 2500 and 10,000 (sentences: from 50 on) that are at least two per
            class and at most the number of training rows. All training rows are added if they are
            at least half as many again as the last of these and at most 1000.
        seeds: Runs of each method at each budget, each with other labels as far as possible; 5 by
            default.
        out: The folder for results, report and winner. A stopped comparison resumes there.
        quick: Use budgets of 10, 25 and 250 labels, or 100 and 400 sentences, and three seeds, if
            none are given: a first look.
        minutes: The time limit for everything once the data are loaded; a quarter of it is for
            pretraining. Whatever there is no time for, the largest budgets of the slowest methods,
            is left out and shown as left out. The default is 20 in the demo, 3 in the quick demo,
            and no limit on your own data; `math.inf` means no limit.
        pretrain_minutes: The limit for pretraining or adapting each encoder; 5 by default, and
            never more than its share of `minutes`.
        pretrain_size: The size of CoVe, ELMo, BERT and GPT, if they are pretrained here: `tiny`
            (the default), `mini`, `small`, `medium` or `base`.
        task: `classification` (the default) of texts, `pair`: two texts and one label, or
            `tagging`: a tag for every word.
        demo: The task whose demo is run, instead of data.
        symmetric: For pairs: the order of the two texts does not matter, as in paraphrases, and
            every method gives the same answer if they are swapped.
        scheme: For tags: their scheme in `data`, `BIO`, `IOB1`, `BIOES` or `plain`; `auto` detects
            it.
        repair: For tags: whether illegal ones are interpreted as CoNLL's `conlleval` does.
            Otherwise they are rejected.
        drop_leaks: Remove training rows that are also test rows.
        text_column: The column of the texts in `data` and `test`, and in the tables of a `corpus`
            that have it (for pairs: only in the `corpus`; for tagged sentences: of the words).
        pair_columns: The two columns of a pair's texts.
        label_column: The column of the labels, or of the tags.
        max_bad_rows: How many malformed or unlabeled rows of `data`, and of `test`, may be skipped;
            notes say how many and which.
        unseen_labels: Whether test rows whose label does not occur in training are refused, or kept
            and `count-as-error` for every method; a note says how many. In macro F1, such a label
            is a class with an F1 of 0, as in scikit-learn; spans of such a type are missed.
        workers: The number of processes; by default, the number of cores.
        max_memory: The limit, in gigabytes, for the states of all texts that are stored for one
            encoder; the rest is recomputed when needed, and the results are the same.
        progress: Where progress is reported.

    Returns:
        The comparison, as saved in `out`.

    Raises:
        DataError: The data cannot be used.
        SettingsError: A method, budget or number is impossible.
        LockedError: Another process is using `out`.
        InterruptedRunError: Stopped by Ctrl-C; the same call resumes it.
    """
    methods, minutes = as_list("methods", methods), amount("minutes", minutes)
    label_budgets = whole_numbers("label_budgets", label_budgets)
    seeds, workers = count("seeds", seeds), count("workers", workers) or available_cores()
    pretrain_minutes = amount("pretrain_minutes", pretrain_minutes)
    max_memory = amount("max_memory", max_memory) or MOST_BYTES / 1e9
    if isinstance(parallel, list | tuple) and all(isinstance(one, str) for one in parallel):
        parallel = [Path(str(one)) for one in parallel]
    asked: dict[str, Any] = {
        "data": as_setting(data),
        "test": as_setting(test),
        "corpus": as_setting(corpus),
        "parallel": as_setting(parallel),
        "methods": methods,
        "labels": label_budgets,
        "seeds": seeds,
        "quick": quick,
        "minutes": minutes,
        "pretrain_minutes": pretrain_minutes,
        "pretrain_size": pretrain_size,
        "task": task,
        "demo": demo,
        "symmetric": symmetric,
        "scheme": None if scheme == ANY.scheme else scheme,
        "repair": repair,
        "drop_leaks": drop_leaks,
        "text_column": text_column,
        "pair_columns": list(pair_columns) if pair_columns else None,
        "label_column": label_column,
        "max_bad_rows": max_bad_rows or None,
        "unseen_labels": None if unseen_labels == "refuse" else unseen_labels,
        "out": str(out),
    }
    unnamed = any(
        each is not None and as_setting(each) is None for each in (data, test, corpus, parallel)
    )
    seeds = (QUICK_SEEDS if quick else SEEDS) if seeds is None else seeds
    size = PRETRAIN_SIZE if pretrain_size is None else pretrain_size
    if size not in SIZES:
        raise SettingsError(f"unknown pretrain_size {size!r}; choose from {', '.join(SIZES)}")
    check_that_it_is_ours(Path(out))
    chosen = choose_task(task, demo, has_data=data is not None, symmetric=symmetric)
    named = None if chosen.pairs and corpus is not None else text_column
    columns = Columns(named, pair_columns, label_column, max_bad_rows, scheme, repair)
    if data is not None:
        chosen, train, test_rows = read_rows(chosen, data, test, columns, progress)
        about = train.source
        text, translations, defaults, usual = None, None, usual_methods(chosen), math.inf
    elif test is None and columns == ANY:
        fetched = fetch_demo(chosen.name, progress=progress)
        train, test_rows, text, translations = (
            *(fetched.train, fetched.test, fetched.corpus, fetched.parallel),
        )
        chosen, about = settled(chosen, train), DEMOS[chosen.name]
        defaults = demo_methods(
            chosen, fetched, translations=bool(parallel or translations), quick=quick
        )
        usual = QUICK_DEMO_MINUTES if quick else DEMO_MINUTES
    else:
        raise SettingsError(
            "test rows, columns and bad rows need labeled data, as do scheme and repair; give the "
            "data too, or leave all of these out for the demo"
        )
    if corpus is not None:
        text = as_corpus(
            corpus,
            text_column=None if chosen.by_word else text_column,  # no corpus has a column of words
            strict=bool(chosen.pairs),
        )
    if parallel is not None:
        translations = as_parallel(parallel)
    data_print = _data_print(train, test_rows)
    if drop_leaks:
        train = without_leaks(chosen, train, test_rows)
    unseen = chosen.check_test(test_rows, train, unseen_labels)
    test_rows = replace(test_rows, notes=(*test_rows.notes, *unseen))
    plan = _Plan(
        title=f"How many {chosen.wording.labels} does pretraining save on {about}?",
        task=chosen,
        train=train,
        test=test_rows,
        data_print=data_print,
        corpus=text,
        parallel=translations,
        contestants=parse_for(chosen, methods or defaults),
        budgets=choose_budgets(label_budgets, chosen, train, quick=quick),
        seeds=seeds,
        allowance=now(usual if minutes is None else minutes),
        pretrain_minutes=pretrain_minutes,
        pretrain_size=size,
        workers=workers,
        most_bytes=int(min(max_memory, _MOST_GIGABYTES) * 1e9),
        folder=Path(out),
    )
    _check_that_pretraining_ends(plan)
    check_that_it_is_the_same(plan.folder, plan.title, plan.task, plan.train, data_print)
    command = None if unnamed else replay_command("compare", asked)
    try:
        with folder_lock(plan.folder, note=progress.note), disk_errors(plan.folder):
            results = _carry_out(plan, {**asked, "methods": list(methods or defaults)}, progress)
            comparison = Comparison(results | {"command": command}, plan.folder)
            write_comparison(comparison)
    except KeyboardInterrupt:
        raise InterruptedRunError(
            f"stopped; finished work is kept in {out}: rerun the same command or call to resume"
        ) from None
    return comparison


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """What a comparison is about, read and checked."""

    title: str
    task: ComparedTask
    train: Examples
    test: Examples
    data_print: str  # of the rows before leaks are removed
    corpus: Corpus | None
    parallel: ParallelText | None
    contestants: Sequence[Contestant]
    budgets: Sequence[int]
    seeds: int
    allowance: Allowance
    pretrain_minutes: float | None
    pretrain_size: str
    workers: int
    most_bytes: int
    folder: Path


def _pretraining_minutes(plan: _Plan) -> float:
    return plan.allowance.pretraining(plan.pretrain_minutes, num_pretrained(plan.contestants))


def _check_that_pretraining_ends(plan: _Plan) -> None:
    """Check that pretraining ends: word vectors end after their epochs, all others by minutes."""
    if num_pretrained(plan.contestants) and math.isinf(_pretraining_minutes(plan)):
        raise SettingsError(
            "pretrain_minutes must be finite if CoVe, ELMo, BERT or GPT is pretrained or adapted: "
            "nothing else ends it"
        )


def _carry_out(plan: _Plan, settings: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Make the encoders, run the cells, keep the winner; return the results as plain values."""
    started, spent_before = time.perf_counter(), _processor_seconds()
    task, train, test, contestants = plan.task, plan.train, plan.test, plan.contestants
    corpus = plan.corpus or as_corpus(_all_texts(task, train))
    translations = plan.parallel.notes if plan.parallel else ()
    notes = list(dict.fromkeys((*train.notes, *test.notes, *corpus.notes, *translations)))
    seen = look_for_seen(
        train,
        test,
        plan.corpus if task.pairs else corpus,  # texts of training pairs are reported separately
        contestants,
        symmetric=task.pairs == "symmetric",
        progress=progress,
    )
    unvalidated = without_validation(task, train, plan.budgets)
    cautions = [
        *(*warnings(task.as_texts(train), seen), *shared_texts(task, train, test, seen)),
        *warn_of(unvalidated, task, budgets=plan.budgets, seeds=plan.seeds, num_rows=len(train)),
    ]
    learns = learns_from_corpus(contestants)
    if plan.corpus is None and learns:
        cautions = [
            "No corpus was given: encoders are pretrained on the training texts.",
            *cautions,
        ]
    for note in (*notes, *cautions, *notes_of_unread(contestants, settings)):
        progress.note(note)
    minutes = _pretraining_minutes(plan)
    made = make_encoders(
        contestants,
        corpus,
        plan.parallel,
        minutes=minutes,
        size=plan.pretrain_size,
        progress=progress,
    )
    for note in made.notes:
        progress.note(note)
    texts = Texts.of(train, test, symmetric=task.pairs == "symmetric")
    read = read_texts(
        texts,
        contestants,
        made.loaded,
        plan.folder / "states",
        deadline=plan.allowance.cells_end,
        most_bytes=plan.most_bytes,
        progress=progress,
    )
    foretold = _forecast(plan, made, read, texts, progress)
    terms = _terms(plan, made, read)
    with Processes(terms, plan.workers) as processes:
        cells, schedule = run_cells(
            processes,
            contestants,
            budgets=plan.budgets,
            seeds=plan.seeds,
            progress=progress,
            limits=_limits(plan, terms, made, read),
        )
        for cell in cells:
            if cell["labels"] in unvalidated:
                cell["calibration_error"] = None
        left_out = report_left_out(schedule.left_out.items())
        with progress.stage("drawing intervals") as advance:
            summary = summarize(cells, clean=seen.clean)
            gained = gains(cells)
            changes = ranking_changes(cells, seen.clean)
            advance(1)
        reordered = changed_rankings(changes, seen.num_clean, wording=task.wording)
        for warning in reordered:
            progress.note(warning)
        wording = task.wording
        validated = [row for row in summary if row["labels"] not in unvalidated] or summary
        choice = recommend(validated, labels=len(train), left_out=left_out, wording=wording)
        winner = next(one for one in contestants if one.name == choice["method"])
        run = [row["labels"] for row in summary if row["method"] == winner.name]
        end = plan.allowance.models_end
        labels = affordable_labels(schedule, winner, run, len(train), end)
        knowledge = fit_and_inspect(
            plan.folder,
            processes,
            Model(plan.folder / "best", winner, labels),
            contestants,
            made.loaded,
            schedule=schedule,
            end=end,
            progress=progress,
        )
    senses = _senses(made.loaded, corpus, progress)
    ran = {row["method"] for row in summary}
    overtime = plan.allowance.overtime()
    for warning in overtime:
        progress.note(warning)
    return {
        "title": plan.title,
        "task": task.name,
        "metric": task.metric,
        "wording": asdict(wording),
        "data_print": plan.data_print,
        "data": {
            **data_facts(task, train, test),
            "notes": notes,
            "corpus": corpus_facts(corpus if learns or senses else None, contestants, made.loaded),
        },
        "headline": headline(validated, wording=wording),
        "best": {
            **{name: choice[name] for name in ("method", "labels", "why")},
            "fitted_labels": labels,
            "folder": str(plan.folder / "best"),
        },
        "recommendation": choice,
        "left_out": left_out,
        "gains": gained,
        "differences": differences(
            {one: terms.method(one) for one in contestants if one.name in ran},
            made.loaded,
            labels=0 if task.by_word else max(row["labels"] for row in summary),
        ),
        "warnings": [
            *(*cautions, *reordered, *made.notes, *overtime),
            *(*degenerate(summary, wording), *truncated(cells, wording.example)),
        ],
        "clean": clean_facts(seen, contestants),
        "ranking_changes": changes,
        "summary": summary,
        "proofs": proofs(cells),
        "layers": layer_weights(cells),
        "forecast": foretold and hold_against(foretold, contestants, summary),
        "knowledge": knowledge,
        "senses": senses,
        "settings": {
            **settings,
            "labels": list(plan.budgets),
            "seeds": plan.seeds,
            "minutes": _finite(plan.allowance.minutes),
            "pretrain_minutes": _finite(minutes),
            "pretrain_size": plan.pretrain_size,
            "workers": plan.workers,
            **details(terms, contestants, made),
        },
        "versions": versions(),
        "seconds": (seconds := time.perf_counter() - started),
        "cores_used": (_processor_seconds() - spent_before) / seconds,
        "cells": [{**cell, "clean_value": clean_value(cell, seen.clean)} for cell in cells],
    }


def _processor_seconds() -> float:
    """Return the CPU time of this process and of its children that have ended."""
    return sum(os.times()[:4])


def _forecast(
    plan: _Plan, made: Encoders, read: Read, texts: Texts, progress: Progress
) -> dict[str, Any] | None:
    """Rank the encoders that can encode all texts in time, before any cell is run."""
    for name, file in read.files.items():
        remember(made.loaded[name], texts, file)
    for name, file in read.pair_files.items():
        remember_pairs(made.loaded[name], texts, file)
    readable = {name: each for name, each in made.loaded.items() if name not in read.unread}
    return forecast(
        plan.contestants, readable, plan.train, plan.budgets, task=plan.task, progress=progress
    )


def _senses(
    encoders: Mapping[str, Pretrained], corpus: Corpus, progress: Progress
) -> dict[str, Any] | None:
    """Inspect a word of the corpus in its contexts: one vector, or one for each occurrence.

    Of the encoders with one vector per word, only the first is shown, beside all others. The result
    is None if no encoder reads context, or no word of the corpus is suitable.
    """
    fixed = [name for name, encoder in encoders.items() if not reads_context(encoder)][:1]
    chosen = [*fixed, *(name for name in encoders if reads_context(encoders[name]))]
    if chosen == fixed:
        return None
    from headstart.inspect.senses import word_senses  # late: it takes a second and is rarely needed

    try:
        return word_senses(
            {name: encoders[name] for name in chosen}, corpus, most=_OCCURRENCES, progress=progress
        )
    except (DataError, SettingsError):
        return None


def _terms(plan: _Plan, made: Encoders, read: Read) -> Terms:
    train, test = plan.train, plan.test
    return Terms(
        task=plan.task,
        train=train,
        test=test,
        data_print=_data_print(train, test),
        encoders=made.folders,
        prints={name: encoder.identity for name, encoder in made.loaded.items()},
        folder=plan.folder / "cells",
        widths={name: whole_model_width(encoder) for name, encoder in made.loaded.items()},
        in_context=frozenset(
            name for name, encoder in made.loaded.items() if reads_in_context(encoder)
        ),
        states=read.files,
        pair_states=read.pair_files,
    )


def _data_print(train: Examples, test: Examples) -> str:
    return fingerprint(train.texts, train.labels, test.texts, test.labels)


def _limits(plan: _Plan, terms: Terms, made: Encoders, read: Read) -> Limits:
    return limits(
        plan.allowance,
        {one: terms.method(one) for one in plan.contestants},
        made.loaded,
        plan.test.as_texts().texts,
        labels=plan.budgets[0],
        test_rows=len(plan.test),
        unread=read.unread,
        by_word=plan.task.by_word,
    )


def _all_texts(task: ComparedTask, examples: Examples) -> list[str]:
    """Return the texts as a corpus; a text of several pairs is included once."""
    texts = task.texts(examples.texts)
    return texts if task.pairs is None else list(dict.fromkeys(texts))


def _finite(minutes: float) -> float | None:
    return None if math.isinf(minutes) else minutes
