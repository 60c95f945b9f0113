"""Parallel text from files of every kind: read as it was written, or an error that says where."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headstart.data.parallel import as_parallel
from headstart.errors import DataError, SettingsError

PAIRS = [("a dog", "ein Hund"), ("two dogs", "zwei Hunde"), ("no dog", "kein Hund")]


def written(folder, name, lines):
    path = folder / name
    content = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


def pairs_of(text):
    return list(zip(text.sources, text.targets, strict=True))


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_two_files_line_by_line(tmp_path, ending):
    files = [
        written(tmp_path, f"a.{side}{ending}", [pair[at] for pair in PAIRS])
        for at, side in enumerate(("en", "de"))
    ]
    text = as_parallel(files)
    assert pairs_of(text) == PAIRS
    assert text.notes == ()
    assert str(files[0]) in text.description
    assert pairs_of(as_parallel([str(file) for file in files])) == PAIRS
    assert pairs_of(as_parallel(files[::-1])) == [(b, a) for a, b in PAIRS]  # nothing is guessed


def test_one_file_with_a_tab_and_more_columns(tmp_path):
    path = written(tmp_path, "a.tsv", [f"{a}\t{b}\tCC-BY" for a, b in PAIRS])
    assert pairs_of(as_parallel(path)) == PAIRS
    assert as_parallel([path]).fingerprint() == as_parallel(PAIRS).fingerprint()


def test_pairs_of_an_iterator_are_taken_whole():
    assert pairs_of(as_parallel(iter(PAIRS))) == PAIRS
    assert pairs_of(as_parallel(zip(*zip(*PAIRS, strict=True), strict=True))) == PAIRS
    with pytest.raises(DataError, match=r"zip\(sources, targets\), got a ndarray of 2"):
        as_parallel(np.array(PAIRS))


def test_parallel_text_stays_as_it_is():
    text = as_parallel(PAIRS)
    assert as_parallel(text) is text
    assert as_parallel(PAIRS[:2]).fingerprint() != text.fingerprint()


SIDE = st.text(st.characters(exclude_characters="\0\n\r\t", codec="utf-8"))


@given(pairs=st.lists(st.tuples(SIDE, SIDE), min_size=1))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_is_written_is_read_back_except_pairs_with_an_empty_side(tmp_path, pairs):
    pairs = [(a.removeprefix("\ufeff"), b.removeprefix("\ufeff")) for a, b in pairs]
    full = [(a, b) for a, b in pairs if a.strip() and b.strip()]
    files = [written(tmp_path, name, [p[at] for p in pairs]) for at, name in enumerate("ab")]
    tsv = written(tmp_path, "tsv", [f"{a}\t{b}" for a, b in pairs])
    for given_as in (files, tsv, pairs):
        if not full:
            with pytest.raises(DataError, match="no pair has text on both sides"):
                as_parallel(given_as)
            continue
        text = as_parallel(given_as)
        assert pairs_of(text) == full
        assert len(text) == len(full)
        assert len(text.notes) == (len(full) < len(pairs))


def test_pairs_with_an_empty_side_are_left_out_and_counted(tmp_path):
    source = written(tmp_path, "a.en", ["one", " ", "three", ""])
    target = written(tmp_path, "a.de", ["eins", "zwei", "drei", ""])
    text = as_parallel([source, target])
    assert pairs_of(text) == [("one", "eins"), ("three", "drei")]
    assert text.notes == (f"{source}, {target} line 2: a side is empty; skipped 2 such pairs",)


@pytest.mark.parametrize(("more", "longer"), [(1, "a.de"), (-1, "a.en")])
def test_files_of_unequal_length(tmp_path, more, longer):
    source = written(tmp_path, "a.en", ["one", "two", "three"])
    target = written(tmp_path, "a.de", ["eins"] * (3 + more))
    message = f"has 3 lines and .*a.de {3 + more}; .*{longer} line {min(3, 3 + more) + 1} is the "
    with pytest.raises(DataError, match=f"{message}first without a partner$"):
        as_parallel([source, target])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a\tb", "no tab"], r"a.tsv line 2: no tab"),
        (["a\tb", "a\tb\tc"], r"a.tsv line 2: found 3 columns, but line 1 has 2"),
        ([], "no pair has text on both sides"),
    ],
)
def test_a_tsv_that_is_none(tmp_path, lines, message):
    with pytest.raises(DataError, match=message):
        as_parallel(written(tmp_path, "a.tsv", lines))


def test_what_else_is_asked_wrong(tmp_path):
    with pytest.raises(DataError, match=r"none\.en: no such file"):
        as_parallel([tmp_path / "none.en", tmp_path / "none.de"])
    with pytest.raises(SettingsError, match="one TSV or two files, source and target; got 3 items"):
        as_parallel(["a", "b", "c"])
    with pytest.raises(SettingsError, match="got 2 items"):
        as_parallel([Path("a"), ("b", "c")])
    with pytest.raises(DataError, match="pair 1 must be a source and a target"):
        as_parallel([("a", "b"), ("c", None)])
    with pytest.raises(DataError, match="no pair has text on both sides"):
        as_parallel([])
