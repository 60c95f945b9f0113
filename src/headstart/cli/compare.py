"""`headstart compare`: how many labels each method saves on a task."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from headstart.cli.options import (
    Config,
    DataOrCorpusColumn,
    Debug,
    Json,
    LabelColumn,
    MaxBadRows,
    PairColumns,
    Repair,
    Scheme,
    Symmetric,
    comma_list,
    save_settings,
)
from headstart.cli.terminal import print_json, print_table, say
from headstart.data.unseen_labels import UnseenLabels


def compare(
    context: typer.Context,
    data: Annotated[
        Path | None,
        typer.Argument(
            metavar="DATA", help="Labeled data: file or hf:NAME. Default: the BBC News demo."
        ),
    ] = None,
    *,
    test: Annotated[
        Path | None,
        typer.Option("--test", metavar="FILE", help="Test data. Default: hold out 30% of DATA."),
    ] = None,
    corpus: Annotated[
        list[Path] | None,
        typer.Option(
            "--corpus",
            metavar="PATH",
            help="Unlabeled text to pretrain on: file, folder, glob or hf:NAME; may be repeated. "
            "Default: the training texts; for the demo, its own corpus.",
        ),
    ] = None,
    parallel: Annotated[
        list[Path] | None,
        typer.Option(
            "--parallel",
            metavar="PATH",
            help="Translations for cove: one TSV, or two aligned files (give the option twice). "
            "The language of the texts comes first.",
        ),
    ] = None,
    methods: Annotated[
        Sequence[str] | None,
        typer.Option(
            parser=comma_list(str),
            metavar="A,B,..",
            help="Methods: NAME[+adapt][=SOURCE]:TRANSFER, scratch, tfidf, majority.",
        ),
    ] = None,
    labels: Annotated[
        Sequence[int] | None,
        typer.Option(
            parser=comma_list(int),
            metavar="N,N,..",
            help="Label budgets (taggers: sentences). Default: 10,25,50,100,250,1000,2500,10000 "
            "(sentences: from 50) up to the training rows, and all rows if at most 1000.",
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Runs per method and budget. Default: 5; 3 with --quick."
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            metavar="MINUTES",
            help="Time limit of the comparison. What does not fit is left out and reported. "
            "Default: 20 for the demo (3 with --quick), none for DATA; inf: no limit.",
        ),
    ] = None,
    pretrain_minutes: Annotated[
        float | None,
        typer.Option(metavar="MINUTES", help="Pretraining time limit per encoder. Default: 5."),
    ] = None,
    pretrain_size: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Size of CoVe, ELMo, BERT and GPT if pretrained here: tiny (default), mini, ..",
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(metavar="TASK", help="classification (default), pair or tagging."),
    ] = None,
    demo: Annotated[
        str | None,
        typer.Option(
            metavar="TASK", help="Demo to run without DATA: classification, pair, tagging."
        ),
    ] = None,
    symmetric: Symmetric = False,
    scheme: Scheme = "auto",
    repair: Repair = False,
    drop_leaks: Annotated[
        bool, typer.Option("--drop-leaks", help="Drop training rows that are also test rows.")
    ] = False,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="A first look: 10, 25 and 250 labels (100 and 400 sentences) and 3 seeds, unless "
            "given.",
        ),
    ] = False,
    text_column: DataOrCorpusColumn = None,
    pair_columns: PairColumns = None,
    label_column: LabelColumn = None,
    max_bad_rows: MaxBadRows = 0,
    unseen_labels: Annotated[
        UnseenLabels,
        typer.Option(
            "--unseen-labels",
            help="Test rows whose label is not in the training data: refuse stops with an error, "
            "count-as-error counts each as wrong for every method.",
        ),
    ] = "refuse",
    workers: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Processes. Default: all cores.")
    ] = None,
    max_memory: Annotated[
        float,
        typer.Option(metavar="GB", help="Memory limit for the cached states of one encoder."),
    ] = 4.0,
    out: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Results folder; rerun to resume a stopped comparison."),
    ] = Path("runs/compare"),
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Compare methods on the same labels and save the winner.

    Every method gets the same labeled examples at every budget, and the same test rows. The report,
    the results and the winning model are saved in the --out folder.

    For example:

        headstart compare train.csv --methods scratch,tfidf,word2vec:frozen

        headstart compare questions.csv --task pair --symmetric

        headstart compare train.conll --task tagging --test test.conll
    """
    from headstart.cli.bars import Bars
    from headstart.compare.contestants import Contestant
    from headstart.compare.schedule import spoken
    from headstart.compare.study import compare as compare_methods
    from headstart.devices import available_cores

    found = compare_methods(
        data,
        test=test,
        corpus=corpus,
        parallel=parallel,
        methods=methods,
        label_budgets=labels,
        seeds=seeds,
        out=out,
        quick=quick,
        minutes=minutes,
        pretrain_minutes=pretrain_minutes,
        pretrain_size=pretrain_size,
        task=task,
        demo=demo,
        symmetric=symmetric,
        scheme=scheme,
        repair=repair,
        drop_leaks=drop_leaks,
        text_column=text_column,
        pair_columns=pair_columns,
        label_column=label_column,
        max_bad_rows=max_bad_rows,
        unseen_labels=unseen_labels,
        workers=workers,
        max_memory=max_memory,
        progress=Bars(),
    )
    save_settings(context, out)
    if as_json:
        print_json({name: value for name, value in found.results.items() if name != "cells"})
        return
    what = found.results.get("wording", {}).get("labels", "labels")
    asked = found.results.get("settings", {}).get("methods", ())
    names = [Contestant.parse(method).name for method in asked]
    print_table(_by_method(found.table, found.results.get("left_out", ()), what, names))
    say("")
    say(found.headline, found.results["clean"]["sentence"])
    best = found.best
    labels = best.get("fitted_labels")
    everything = labels is None or labels == found.results["data"]["train_rows"]
    to = f"all {what}" if everything else f"{labels:,} {what} (time limit)"
    say(f"winner: {best['method']}, fitted to {to}, saved in {out / 'best'}")
    beside = [row for row in found.table if row["labels"] == best.get("labels")]
    own = max((row["mean"] for row in beside if row["method"] == best["method"]), default=math.inf)
    first = max(beside, key=lambda row: row["mean"], default={"mean": own})
    if first["mean"] > own + 1e-9:  # more than rounding
        other = first["method"]
        say(f"the winner was chosen on validation rows; on the test rows, {other} scores higher")
    took, cores = found.results["seconds"], found.results["cores_used"]
    say(f"took {spoken(took)} on {cores:.1f} of {available_cores()} cores")
    say(f"report: {out / 'report.html'}")


def _by_method(
    rows: Sequence[Mapping[str, Any]],
    left_out: Sequence[Mapping[str, Any]],
    what: str,
    names: Sequence[str],
) -> list[dict[str, str]]:
    """Return one row per method: its mean and interval at each budget of `what`.

    Methods are in the order of `names`, as given by the user.
    """
    budgets = sorted({row["labels"] for row in (*rows, *left_out)})
    scores = {(row["method"], row["labels"]): "left out" for row in left_out}
    scores |= {
        (row["method"], row["labels"]): f"{row['mean']:.3f} {_short(row['low'], row['high'])}"
        for row in rows
    }
    return [
        {"method": method, **{f"{n:,} {what}": scores.get((method, n), "") for n in budgets}}
        for method in dict.fromkeys((*names, *(method for method, _ in scores)))
    ]


def _short(low: float, high: float) -> str:
    """Return an interval as `[.85, .90]`, short enough for six columns on a screen."""
    return f"[{', '.join(f'{end:.2f}'.removeprefix('0') for end in (low, high))}]"
