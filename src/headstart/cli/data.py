"""`headstart data`: download the demo data, and check your own."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer

from headstart.cli.options import (
    Config,
    DataOrCorpusColumn,
    Debug,
    Json,
    LabelColumn,
    LabelSeparator,
    MaxBadRows,
    PairColumns,
)
from headstart.cli.terminal import print_json, print_table, say, shown_label
from headstart.errors import SettingsError

app = typer.Typer(help="List, download and check data.")


@app.command("list")
def list_(as_json: Json = False, debug: Debug = False) -> None:
    """List the data that headstart can download, and where it is stored.

    For example:

        headstart data list
    """
    from headstart.data.demo import BBC_NEWS, CATALOGS, GLOVE, MINILM, TWEETS
    from headstart.storage import cache_folder

    rows = []
    for name, package, what in (
        ("bbc-news", BBC_NEWS, "news labeled by topic, and a corpus of similar text"),
        ("glove-6b-50d", GLOVE, "GloVe vectors of 400,000 words, 50 dimensions"),
        ("all-minilm-l6-v2", MINILM, "a sentence encoder with 6 layers, 384 dimensions"),
        ("catalogs", CATALOGS, "a program's short texts in English and German, for CoVe"),
        ("tweets", TWEETS, "tweets with tagged named entities, and a corpus of similar text"),
    ):
        folders = sorted((cache_folder() / "demo").glob(f"{name}*"))  # some have a fingerprint
        place = str(folders[0]) if folders else None
        rows.append({"name": name, "what": what, "from": package.requirement, "folder": place})
    if as_json:
        print_json(rows)
    else:
        fetched = {row["name"]: "(headstart data get)" for row in rows}
        fetched["tweets"] = "(headstart compare --demo tagging)"
        print_table([row | {"folder": row["folder"] or fetched[row["name"]]} for row in rows])


@app.command()
def get(as_json: Json = False, debug: Debug = False) -> None:
    """Download the demo data and print the paths of its files.

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
        typer.Argument(
            metavar="DATA", help="Labeled data: a table, columns of words and tags, or hf:NAME."
        ),
    ],
    *,
    test: Annotated[
        Path | None, typer.Option("--test", metavar="FILE", help="Test data, to check for leaks.")
    ] = None,
    corpus: Annotated[
        list[Path] | None,
        typer.Option(
            "--corpus",
            metavar="PATH",
            help="Pretraining text, to check for test rows (without --test: rows of DATA): file, "
            "folder, glob or hf:NAME; may be repeated.",
        ),
    ] = None,
    task: Annotated[
        str, typer.Option("--task", metavar="TASK", help="classification, pair or tagging.")
    ] = "classification",
    text_column: DataOrCorpusColumn = None,
    pair_columns: PairColumns = None,
    label_column: LabelColumn = None,
    label_separator: LabelSeparator = None,
    max_bad_rows: MaxBadRows = 0,
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Check labeled data for duplicates, leaks and other problems.

    Counts, with line numbers: duplicate texts, texts with conflicting labels, test rows that are
    (nearly) training rows, and rows that overlap with a pretraining corpus. Works for single texts,
    pairs, multi-label texts and tagged sentences. For tags it also counts tags that are illegal in
    their scheme, and tags that occur only in the test data.

    For example:

        headstart data check train.csv --test test.csv --corpus articles.txt

        headstart data check train.conll --test test.conll --task tagging
    """
    from headstart.cli.bars import Bars
    from headstart.data.checks import check_data, check_label_sets
    from headstart.data.corpora import read_corpus
    from headstart.data.label_sets import holds_lists, read_label_sets
    from headstart.data.numbers import note_of_numbers
    from headstart.data.tagged import TaggedSentences
    from headstart.data.unspaced import note_unspaced
    from headstart.tasks.tag_checks import check_tags
    from headstart.tasks.tagging import note_of_plain

    bars = Bars()
    reader = _reader(task, text_column, pair_columns, label_column)
    if label_separator is not None and task != "classification":
        raise SettingsError("--label-separator is only for --task classification")
    several = task == "classification" and (
        label_separator is not None or holds_lists(data, text_column, label_column, max_bad_rows)
    )
    if several:
        reader = partial(
            read_label_sets,
            text_column=text_column,
            label_column=label_column,
            separator=label_separator,
        )
    read = partial(reader, max_bad_rows=max_bad_rows, progress=bars)
    dataset, test_rows = read(data), None if test is None else read(test)
    column = None if task == "tagging" else text_column  # no corpus has a column of words
    text = read_corpus(corpus, text_column=column, strict=False) if corpus else None
    if isinstance(dataset, TaggedSentences):
        if note := note_of_plain(dataset.tags, dataset.place):
            bars.note(note)
        findings = check_tags(dataset, test_rows, text, progress=bars)
        labels, names = [*chain(*dataset.tags)], ("sentences", "tags", "tag", "words")
    elif several:
        findings = check_label_sets(dataset, test_rows, text, progress=bars)
        labels, names = [*chain(*dataset.labels)], ("rows", "labels", "label", "rows")
    else:
        if note := note_of_numbers(dataset):
            bars.note(note)
        findings = check_data(dataset, test_rows, text, progress=bars)
        labels, names = dataset.labels, ("rows", "classes", "class", "rows")
    rows, classes, one, of = names
    parts = [part for part in (dataset, test_rows) if part is not None]
    told = [_of_file(note, part.source) for part in parts for note in part.notes]
    if task != "tagging":
        told += [_of_file(note, dataset.source) for note in note_unspaced(dataset.texts)]
    notes = list(dict.fromkeys([*told, *(text.notes if text else ())]))
    counts = dict(sorted(Counter(labels).items()))
    if as_json:
        found = {name: asdict(finding) for name, finding in findings.items()}
        print_json({rows: len(dataset), classes: counts, "notes": notes} | found)
        return
    readable = "" if max_bad_rows else ", all readable"
    say(f"{data}: {len(dataset):,} {rows}, {len(counts):,} {classes}{readable}")
    say(*notes, *map(str, findings.values()))
    print_table([{one: shown_label(label), of: count} for label, count in counts.items()])


def _of_file(note: str, file: str) -> str:
    """Return the note with the name of its file."""
    return note if note.startswith(file) else f"{file}: {note}"


def _reader(
    task: str, text: str | None, pair: Sequence[str] | None, label: str | None
) -> Callable[..., Any]:
    """Return the function that reads a task's labeled data from a file.

    Raises:
        SettingsError: The task is unknown, or a column option does not apply to it.
    """
    from headstart.data.labelled import read_labelled
    from headstart.data.pairs import read_labelled_pairs
    from headstart.data.tagged import read_tagged

    if pair is not None and task != "pair":
        raise SettingsError("--pair-columns is for pairs; add --task pair")
    if task == "pair":
        if text is not None:
            raise SettingsError("a pair has two text columns; name both with --pair-columns")
        return partial(read_labelled_pairs, pair_columns=pair, label_column=label)
    if task == "tagging":
        return partial(read_tagged, word_column=text, tag_column=label)
    if task == "classification":
        return partial(read_labelled, text_column=text, label_column=label)
    raise SettingsError(f"unknown task {task!r}; choose classification, pair or tagging")
