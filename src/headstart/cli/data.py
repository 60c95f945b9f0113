"""`headstart data`: the demo's data, and what is wrong with one's own."""

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

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
    data: Annotated[
        Path,
        typer.Argument(metavar="DATA", help="CSV, TSV, JSONL or Parquet file, or hf:NAME."),
    ],
    test: Annotated[
        Path | None, typer.Option("--test", metavar="FILE", help="Test data, to look for leaks.")
    ] = None,
    corpus: Annotated[
        list[Path] | None,
        typer.Option(
            "--corpus",
            metavar="PATH",
            help="Pretraining text, to look for test rows, or without --test for rows of DATA: "
            "file, folder, glob or hf:NAME; may be repeated.",
        ),
    ] = None,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Read labelled data as every command would, and report what is in it.

    Duplicate texts, texts with several labels, test rows that are in the training data or nearly
    so, and rows that overlap with a pretraining corpus are counted and named with their lines.

    For example:

        headstart data check train.csv --test test.csv --corpus articles.txt
    """
    from headstart.cli.bars import Bars
    from headstart.data.checks import check_data
    from headstart.data.corpora import read_corpus
    from headstart.data.labelled import read_labelled

    bars = Bars()
    columns = {"text_column": text_column, "label_column": label_column}
    dataset = read_labelled(data, **columns, progress=bars)
    test_rows = None if test is None else read_labelled(test, **columns, progress=bars)
    text = read_corpus(corpus, text_column=text_column) if corpus else None
    findings = check_data(dataset, test_rows, text, progress=bars)
    counts = dict(sorted(Counter(dataset.labels).items()))
    notes = (*dataset.notes, *(text.notes if text else ()))
    if as_json:
        found = {name: asdict(finding) for name, finding in findings.items()}
        print_json({"rows": len(dataset), "classes": counts, "notes": notes} | found)
        return
    say(f"{data}: {len(dataset):,} rows, {len(counts):,} classes, all readable")
    say(*notes, *map(str, findings.values()))
    print_table([{"class": label, "rows": count} for label, count in counts.items()])
