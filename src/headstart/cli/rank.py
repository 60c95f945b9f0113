"""`headstart rank`: which encoder to try first, estimated in seconds from frozen features."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headstart.cli.options import (
    Config,
    Debug,
    Json,
    LabelColumn,
    MaxBadRows,
    PairColumns,
    Repair,
    Scheme,
    Seed,
    TextOrWordColumn,
    comma_list,
)
from headstart.cli.terminal import print_json, print_table, say
from headstart.settings import Setting, replay_command

if TYPE_CHECKING:
    from headstart.compare.ranking import Ranking


def rank(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Labeled data.")],
    *,
    encoders: Annotated[
        Sequence[str],
        typer.Option(
            parser=comma_list(str),
            metavar="A,B,..",
            help="Encoders: file, folder, Hub id or NAME=SOURCE.",
        ),
    ],
    labels: Annotated[
        int,
        typer.Option(metavar="N", min=1, help="Labeled examples to use, a stratified sample."),
    ] = 200,
    task: Annotated[
        str, typer.Option("--task", metavar="TASK", help="classification, pair or tagging.")
    ] = "classification",
    scheme: Scheme = "auto",
    repair: Repair = False,
    text_column: TextOrWordColumn = None,
    pair_columns: PairColumns = None,
    label_column: LabelColumn = None,
    max_bad_rows: MaxBadRows = 0,
    seed: Seed = 0,
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Rank encoders and their layers for a task before fine-tuning.

    Computes LogME, the H-score and a cross-validated linear probe on the frozen features of every
    layer, each with a 95% interval. The result is sorted by LogME, highest first.

    For example:

        headstart rank train.csv --encoders openai-community/gpt2,runs/elmo

        headstart rank train.conll --task tagging --encoders glove.6B.100d.txt,runs/bert
    """
    from headstart.cli.bars import Bars
    from headstart.compare.ranking import rank as rank_encoders

    found = rank_encoders(
        data,
        encoders=encoders,
        labels=labels,
        task=task,
        scheme=scheme,
        repair=repair,
        pair_columns=pair_columns,
        text_column=text_column,
        label_column=label_column,
        max_bad_rows=max_bad_rows,
        seed=seed,
        progress=Bars(),
    )
    if as_json:
        print_json(found.results)
        return
    print_table(_rows(found))
    say("", found.sentence)
    what = "sentences" if task == "tagging" else "labels"
    say(f"{found.results['labels']:,} {what}, {found.results['seconds']:.1f} s; next:")
    name = found.order[0]
    source = found.results["sources"][name]
    encoder = f"{re.sub('[+=]', '-', name)}={source}"  # both have a meaning in a method's name
    next_settings: dict[str, Setting | None] = {
        "data": str(data),
        "task": None if task == "classification" else task,
        "scheme": None if scheme == "auto" else scheme,
        "repair": repair,
        "text_column": text_column,
        "pair_columns": pair_columns,
        "label_column": label_column,
        "max_bad_rows": max_bad_rows or None,
        "methods": ["scratch", f"{encoder}:probe", f"{encoder}:finetune"],
    }
    say(replay_command("compare", next_settings))


def _rows(found: "Ranking") -> list[dict[str, str]]:
    """Return the rows of the printed table, each estimate with its interval."""
    from headstart.compare.ranking import ESTIMATES

    return [
        {
            "encoder": row["encoder"],
            "layer": f"{row['layer']} {row['pooling']}",
            **{
                title: f"{row[name]:.3f} [{row[f'{name}_low']:.3f}, {row[f'{name}_high']:.3f}]"
                for name, title in ESTIMATES.items()
            },
            "seconds": f"{row['seconds']:.1f}",
        }
        for row in found.table
    ]
