"""Readers of the public data in `../shared/data`; plain Python, for any interpreter."""

import csv
import gzip
import json
from pathlib import Path

Rows = tuple[list[str], list[str]]  # texts and labels
PairRows = tuple[list[tuple[str, str]], list[str]]  # pairs of texts and labels
TaggedRows = tuple[list[list[str]], list[list[str]]]  # words and tags of sentences


def articles(data: Path, part: str) -> list[str]:
    """Return Wikipedia articles without titles, one paragraph per line."""
    with gzip.open(data / "wikipedia_en" / f"{part}.txt.gz", "rt", encoding="utf-8") as lines:
        found: list[list[str]] = []
        for line in lines:
            if line.startswith("= ") and line.rstrip().endswith(" ="):
                found.append([])
            elif found and line.strip():
                found[-1].append(line.strip())
    return ["\n".join(paragraphs) for paragraphs in found if paragraphs]


def sst2(data: Path, part: str) -> Rows:
    """Return sentences of film reviews and whether they are positive."""
    path = data / "sst" / f"stsa.binary.{part}"
    rows = [line.split(" ", 1) for line in path.read_text(encoding="utf-8").splitlines()]
    return [text for _, text in rows], [label for label, _ in rows]


def trec(data: Path, part: str) -> Rows:
    """Return questions and which of six kinds of answer they expect."""
    path = data / "trec" / {"train": "train_5500.label", "test": "TREC_10.label"}[part]
    rows = [line.split(" ", 1) for line in path.read_text(encoding="latin-1").splitlines()]
    return [text for _, text in rows], [label.split(":")[0] for label, _ in rows]


def agnews(data: Path) -> Rows:
    """Return title and first sentence of news articles, and which of four topics they have."""
    with (data / "agnews" / "test.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    return [f"{title} {lead}" for _, title, lead in rows], [label for label, *_ in rows]


def clinc150(data: Path, part: str) -> Rows:
    """Return requests to an assistant and which of 150 intents they have."""
    with gzip.open(data / "clinc150" / "data_full.json.gz", "rt", encoding="utf-8") as file:
        rows = json.load(file)[part]
    return [text for text, _ in rows], [label for _, label in rows]


def conll2000(data: Path, part: str) -> TaggedRows:
    """Return sentences of news and the chunks of their words as IOB2 tags."""
    with gzip.open(data / "conll2000" / f"{part}.txt.gz", "rt", encoding="utf-8") as lines:
        blocks = [block.splitlines() for block in lines.read().split("\n\n") if block.strip()]
    rows = [[line.split() for line in block] for block in blocks]
    return [[row[0] for row in its] for its in rows], [[row[-1] for row in its] for its in rows]


def sick(data: Path, part: str) -> PairRows:
    """Return pairs of sentences about pictures, and whether the first entails the second."""
    name = {"train": "SICK_train.txt", "test": "SICK_test_annotated.txt"}[part]
    return _pairs((data / "sick" / name).read_text(encoding="utf-8"), (1, 2, 4))


def snli(data: Path, part: str) -> PairRows:
    """Return SNLI's test part, or as `train` its development part: its training part is missing."""
    path = data / "snli" / {"train": "dev.txt.gz", "test": "test.txt.gz"}[part]
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return _pairs("no head\n" + file.read(), (0, 1, 2))


def mrpc(data: Path, part: str) -> PairRows:
    """Return pairs of sentences of news and whether they are paraphrases."""
    path = data / "mrpc" / f"msr_paraphrase_{part}.txt"
    return _pairs(path.read_text(encoding="utf-8-sig"), (3, 4, 0))


def rte(data: Path, part: str) -> PairRows:
    """Return passages, sentences and their entailment; `test` is GLUE's development part."""
    path = data / "rte" / {"train": "train.tsv", "test": "dev.tsv"}[part]
    return _pairs(path.read_text(encoding="utf-8"), (1, 2, 3))


def stsb(data: Path, part: str) -> PairRows:
    """Return pairs of sentences and their similarity from 0 to 5, as a string."""
    with (data / "stsb" / f"stsb-en-{part}.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    return [(first, second) for first, second, _ in rows], [number for *_, number in rows]


def _pairs(table: str, columns: tuple[int, int, int]) -> PairRows:
    """Return both texts and the label of every row after the header; quotes are kept."""
    rows = [line.split("\t") for line in table.splitlines()[1:]]
    first, second, label = columns
    return [(row[first], row[second]) for row in rows], [row[label] for row in rows]
