"""Rows that were seen before: planted ones are found, and no others."""

import random
import tracemalloc
from dataclasses import asdict

import pytest

from headstart.data import contamination
from headstart.data.contamination import find_overlap, find_seen
from headstart.data.corpora import read_corpus
from headstart.data.labelled import Dataset
from headstart.data.pairs import PairDataset
from headstart.data.tagged import TaggedSentences


def words(count, seed):
    draw = random.Random(seed)
    return [
        f"{draw.choice('bcdfgh')}{draw.choice('aeiou')}{draw.randrange(10**6)}"
        for _ in range(count)
    ]


def text(count, seed):
    return " ".join(words(count, seed))


TRAIN = Dataset(
    [text(20, seed) for seed in range(50)], ["x", "y"] * 25, "train.csv", list(range(2, 52))
)


def test_rows_of_the_training_data_are_told_from_nearly_such():
    leaked = TRAIN.texts[3]
    near = [*TRAIN.texts[7].split()]
    near[10] = "changed"
    test = Dataset(
        [text(20, 99), f"  {leaked}", " ".join(near), leaked.upper(), ""], ["x"] * 5, "test.csv"
    )
    found = find_seen(TRAIN, test)
    assert found.leaks.test_indices == (1,)
    assert found.near_leaks.test_indices == (2, 3)
    assert (found.near_leaks.num_test_rows, found.near_leaks.share) == (2, 0.4)
    first, second = found.near_leaks.examples
    assert (first.line, first.train_line, first.train_text) == (3, 9, TRAIN.texts[7])
    assert 0.8 <= first.likeness < second.likeness == 1
    assert "on line 4 is 100% similar to line 5 of the training rows" in str(second)
    assert str(found.near_leaks).startswith(
        "test rows that are nearly a training row: 2, 40.0% (for"
    )
    assert found.overlap is None
    assert found.clean == (True, False, False, False, True)
    assert found.num_clean == 2


def test_rows_that_a_corpus_holds():
    rows = [
        text(30, 61),  # clean
        "before " + text(13, 62) + " after",  # 13 words, across two sentences
        text(12, 63),  # all 12 words within a document, which is nearly the row, too
        text(40, 64),  # every 12th word changed: no run, but nearly a sentence
        "yes it is",  # too short to be looked for within a sentence
        text(20, 65),  # begins in one document and ends in the next
        text(20, 66),  # nearly a whole document of three lines
    ]
    run, last = words(13, 62), words(20, 66)
    changed = [w if at % 12 else f"{w[:-1]}x" for at, w in enumerate(words(40, 64))]
    edited = [w if at % 9 else f"{w[:-1]}x" for at, w in enumerate(last)]
    parted = words(20, 65)
    corpus = read_corpus(texts=[
        f"It said {' '.join(run[:6])}.\n{' '.join(run[6:])}, it said: yes it is.",
        f"So {rows[2].upper()} it was",
        f"A sentence. {' '.join(changed).capitalize()}. Another one.",
        " ".join(parted[:10]),
        " ".join(parted[10:]),
        f"{' '.join(edited[:7])}\n{' '.join(edited[7:14])}\n{' '.join(edited[14:])}",
    ])  # fmt: skip
    dataset = Dataset(rows, ["x"] * len(rows), "test.csv")
    found = find_overlap(corpus, dataset, rows="test rows")
    assert found.indices == (1, 2, 3, 6)
    assert (found.num_rows, found.num_run_rows, found.num_near_rows) == (4, 2, 3)
    assert (found.num_documents, found.num_short_rows) == (6, 1)
    assert [example.document for example in found.examples] == [1, 2, 3, 6]
    assert found.examples[0].words == text(13, 62)
    assert str(found).startswith(
        "test rows that overlap with the corpus 6 texts in memory: 4, 57.1%: 2 by 13 words in a "
        "row (or all words of a row of 8 to 12), 3 as near duplicates; 1 has too few words to be "
        "searched for inside longer texts (for instance '"
    )
    assert find_overlap(corpus, dataset.select([0])).indices == ()
    seen = find_seen(TRAIN, dataset, corpus)
    assert [row for row, clean in enumerate(seen.clean) if not clean] == [1, 2, 3, 6]


def test_batches_change_nothing(monkeypatch):
    corpus = read_corpus(texts=[f"{text(9, seed)}. {text(9, seed + 100)}" for seed in range(60)])
    rows = [f"{text(9, seed)} {text(9, seed + 100)}" for seed in range(0, 60, 7)] + TRAIN.texts
    dataset = Dataset(rows, ["x"] * len(rows))
    whole = asdict(find_overlap(corpus, dataset)), asdict(find_seen(TRAIN, dataset))
    monkeypatch.setattr(contamination, "_BATCH_CHARACTERS", 300)
    assert (asdict(find_overlap(corpus, dataset)), asdict(find_seen(TRAIN, dataset))) == whole
    assert whole[0]["num_rows"] == 9


def test_a_row_in_the_middle_of_a_huge_document():
    row = text(20, 1)
    document = " ".join([text(100_000, 2), row, text(100_000, 3)])
    found = find_overlap(read_corpus(texts=[document]), Dataset([row], ["x"]))
    assert (found.num_run_rows, found.examples[0].document) == (1, 1)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_corpus(tmp_path):
    lines = [text(200, seed) for seed in range(2000)]
    (tmp_path / "a.txt").write_text("\n".join(lines))
    dataset = Dataset([text(20, -1)], ["x"])
    peaks = []
    for repeats in (1, 4):
        corpus = read_corpus([tmp_path / "a.txt"] * repeats, documents="line")
        tracemalloc.start()
        assert find_overlap(corpus, dataset).num_documents == 2000 * repeats
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


def test_nothing_to_look_for():
    empty = Dataset([], [])
    found = find_seen(TRAIN, empty, read_corpus(texts=["some text"]))
    assert (found.clean, found.near_leaks.share, found.overlap.share) == ((), 0.0, 0.0)
    assert str(found.overlap) == "test rows that overlap with the corpus 1 texts in memory: 0"
    corpus = read_corpus(texts=["and some text"])
    short = find_overlap(corpus, Dataset(["some text", ""], ["x", "y"]))
    assert (short.num_rows, short.num_short_rows) == (0, 2)


def test_short_rows_are_found_as_whole_sentences_lines_and_documents():
    rows = ["Who is Fry?", "play some jazz", "book a table", "is it", "Yes!", "two\nlines", "..."]
    held = ["who is fry", "Now PLAY\nsome jazz! Book a table.", "that is it", "two lines", "- - -"]
    found = find_overlap(read_corpus(texts=held), Dataset(rows, ["x"] * 7))
    assert found.indices == (0, 2, 5)
    assert (found.num_near_rows, found.num_run_rows, found.num_short_rows) == (3, 0, 4)
    assert str(found.examples[1]) == "'book a table' of line 3 is in document 2"
    pairs = PairDataset([("who is fry", text(9, 5)), ("is it", text(9, 6))], ["x", "y"])
    of_pairs = find_overlap(read_corpus(texts=held), pairs)
    assert (of_pairs.indices, of_pairs.num_short_rows) == ((0,), 0)
    tagged = TaggedSentences([["Who", "is", "Fry", "?"], ["is", "it"]], [["O"] * 4, ["O"] * 2])
    of_tags = find_overlap(read_corpus(texts=held), tagged)
    assert (of_tags.indices, of_tags.num_short_rows) == ((0,), 1)


def test_either_text_of_a_pair_is_looked_for_in_the_corpus():
    pairs = [
        (text(20, 71), "yes"),
        ("no", text(20, 72)),
        (text(20, 73), text(20, 74)),  # both in the corpus, and one row
        (text(20, 75), text(20, 76)),
        ("too short", "to tell"),
    ]
    data = PairDataset(pairs, ["x"] * 5, "pairs.csv", [2, 3, 4, 5, 6])
    held = [text(20, seed) for seed in (72, 73, 74)]
    found = find_overlap(read_corpus(texts=held), data)
    assert found.indices == (1, 2)
    assert (found.num_rows, found.num_run_rows, found.num_near_rows) == (2, 2, 2)
    assert (found.share, found.num_short_rows) == (0.4, 1)
    assert [(each.line, each.document) for each in found.examples] == [(3, 1), (4, 2)]
    assert find_seen(data, data.select([3]), read_corpus(texts=held)).clean == (False,)
