"""`headstart data`: the demo's data, and what is wrong with one's own."""

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from headstart.cli.options import Debug, Json, LabelColumn, TextColumn
from headstart.cli.terminal import print_json, print_table, say

app = typer.Typer(help="List, fetch and check data.")


@app.command("list")
def list_(as_json: Json = False, debug: Debug = False) -> None:
    """List the data that headstart can fetch, and where it is.

    For example:

        headstart data list
    """
    from headstart.data.demo import BBC_NEWS, GLOVE, MINILM
    from headstart.storage import cache_folder

    rows = []
    for name, package, what in (
        ("bbc-news", BBC_NEWS, "news, labelled by topic, and a corpus of the same kind"),
        ("glove-6b-50d", GLOVE, "GloVe vectors of 400,000 words, 50 dimensions"),
        ("all-minilm-l6-v2", MINILM, "a sentence encoder of 6 layers, 384 wide"),
    ):
        folder = cache_folder() / "demo" / name
        place = str(folder) if folder.exists() else None
        rows.append({"name": name, "what": what, "from": package.requirement, "folder": place})
    if as_json:
        print_json(rows)
    else:
        print_table([row | {"folder": row["folder"] or "(headstart data get)"} for row in rows])


@app.command()
def get(as_json: Json = False, debug: Debug = False) -> None:
    """Fetch the demo's data to the cache, and print where its files are.

    For example:

        headstart data get
    """
    from headstart.cli.bars import Bars
    from headstart.data.demo import fetch_demo

    demo = fetch_demo(progress=Bars())
    files = {
        "train": demo.train.source,
        "test": demo.test.source,
        "corpus": demo.corpus.description,
        "glove": str(demo.glove),
        "minilm": str(demo.minilm),
    }
    if as_json:
        print_json(files)
    else:
        print_table([{"data": name, "path": path} for name, path in files.items()])


@app.command()
def check(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="CSV, TSV, JSONL or Parquet file.")],
    test: Annotated[
        Path | None, typer.Option("--test", metavar="FILE", help="Test data, to look for leaks.")
    ] = None,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Read labelled data as every command would, and report what is in it.

    Duplicate texts, texts with several labels, and test rows that are in the training data are
    named with their lines.

    For example:

        headstart data check train.csv --test test.csv
    """
    from headstart.cli.bars import Bars
    from headstart.data.labelled import (
        Dataset,
        check_known_labels,
        check_trainable,
        read_labelled,
    )
    from headstart.data.overlap import find_conflicts, find_duplicates, find_leaks

    bars = Bars()

    def read(path: Path) -> Dataset:
        return read_labelled(
            path, text_column=text_column, label_column=label_column, progress=bars
        )

    dataset = read(data)
    check_trainable(dataset)
    findings: dict[str, Any] = {
        "duplicates": find_duplicates(dataset),
        "conflicts": find_conflicts(dataset),
    }
    if test is not None:
        test_rows = read(test)
        check_known_labels(test_rows, dataset.classes)
        findings["leaks"] = find_leaks(dataset, test_rows)
    counts = dict(sorted(Counter(dataset.labels).items()))
    if as_json:
        found = {name: asdict(finding) for name, finding in findings.items()}
        print_json({"rows": len(dataset), "classes": counts, "notes": dataset.notes} | found)
        return
    say(f"{data}: {len(dataset):,} rows, {len(counts):,} classes, all readable")
    say(*dataset.notes, *map(str, findings.values()))
    print_table([{"class": label, "rows": count} for label, count in counts.items()])
