"""Sentences and tags from columns, JSONL and Parquet: what is read, and what is refused."""

import gzip
import io
import json
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headstart.data.tagged import TaggedSentences, read_sentences, read_tagged
from headstart.errors import DataError, SettingsError

COLUMNS = "Mary NNP B-P\nleft VBD O\n\nSo RB O\n\n"


@pytest.fixture
def write(tmp_path):
    def write_file(text, name="train.txt"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write_file


def test_rows_of_parquet_are_sentences(tmp_path):
    path = tmp_path / "train.parquet"
    columns = {"tokens": [["Mary", "left"], ["So"]], "tags": [["B-P", "O"], ["O"]], "n": [1, 2]}
    pq.write_table(pa.table(columns), path)
    data = read_tagged(path)
    assert (data.sentences, data.tags) == (columns["tokens"], columns["tags"])
    assert data.place(1, 0).endswith("train.parquet line 2, word 1")
    assert list(read_sentences(path)) == [data.sentences]
    with pytest.raises(
        DataError, match=r"no column 'n' of lists; .*'tags', 'tokens'.*label-column"
    ):
        read_tagged(path, tag_column="n")
    pq.write_table(pa.table({"tokens": [["a"], []], "tags": [["O"], []]}), path)
    with pytest.raises(DataError, match="line 2: sentence without words"):
        read_tagged(path)


@pytest.mark.parametrize("blank", ["", " ", "\t\n"])
def test_a_word_without_a_tag_makes_a_sentence_bad(tmp_path, write, blank):
    rows = {"tokens": [["Mary"], ["So", "what"]], "tags": [["B-P"], ["O", blank]]}
    pq.write_table(pa.table(rows), tmp_path / "train.parquet")
    lines = (dict(zip(rows, row, strict=True)) for row in zip(*rows.values(), strict=True))
    json_lines = write("".join(json.dumps(line) + "\n" for line in lines), "train.jsonl")
    for path in (tmp_path / "train.parquet", json_lines):
        with pytest.raises(
            DataError, match="line 2, word 2: no tag; add it or remove the sentence"
        ):
            read_tagged(path)
        data = read_tagged(path, max_bad_rows=1)
        assert data.tags == [["B-P"]]
        assert data.notes[0].endswith("skipped 1 bad row (1 allowed): line 2, word 2: no tag")


@pytest.mark.parametrize("comment", ["# id = 1\n", "#\tone\ttwo\n", "# id = 1 of 2\n"])
def test_a_comment_before_the_first_word_is_blamed_and_not_the_word(write, comment):
    with pytest.raises(DataError, match=r"line 2: .*; if line 1 is a comment, remove it"):
        read_tagged(write(comment + "Mary\tB-P\nleft\tO\n"))
    with pytest.raises(DataError) as caught:
        read_tagged(write("Mary\tB-P\nleft\n"))
    assert "a comment:" not in str(caught.value)


def test_columns_are_read(write):
    data = read_tagged(write(COLUMNS))
    assert data.sentences == [["Mary", "left"], ["So"]]
    assert data.tags == [["B-P", "O"], ["O"]]
    assert data.lines == [1, 4]
    assert data.place(0, 1).endswith("train.txt line 2")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("Mary\tP\nleft\tO\n\nSo\tO\n", id="no blank line at the end"),
        pytest.param("Mary\tP\nleft\tO\n\nSo\tO", id="no end of line at the end"),
        pytest.param("-DOCSTART- O\n\nMary P\nleft O\n\n\n\nSo O\n", id="documents"),
        pytest.param("Mary P\r\nleft O\r\n\r\nSo O\r\n", id="lines as Windows ends them"),
        pytest.param("\ufeffMary  P \nleft   O\n \t\nSo O\n", id="byte-order mark, more spaces"),
        pytest.param("\nMary\tP\nleft\tO\n-DOCSTART-\tO\nSo\tO\n", id="a document in between"),
    ],
)
def test_files_are_as_people_have_them(write, text):
    data = read_tagged(write(text))
    assert data.sentences == [["Mary", "left"], ["So"]]
    assert data.tags == [["P", "O"], ["O"]]


def test_columns_are_chosen(write):
    path = write(COLUMNS)
    assert read_tagged(path, tag_column=2).tags == [["NNP", "VBD"], ["RB"]]
    assert read_tagged(path, word_column="-2", tag_column="1").tags == [["Mary", "left"], ["So"]]
    with pytest.raises(DataError, match="line 1: found 3 columns, but column 4 was requested"):
        read_tagged(path, tag_column=4)
    with pytest.raises(SettingsError, match="a column cannot be both"):
        read_tagged(path, tag_column=1)
    with pytest.raises(SettingsError, match=r"columns are numbers, .* not 'ner'"):
        read_tagged(path, tag_column="ner")


def test_tabs_keep_the_spaces_within_a_word(write):
    assert read_tagged(write("New York\tP\n")).sentences == [["New York"]]


def test_json_is_read(write):
    lines = [{"tokens": ["Mary", "a b"], "tags": ["P", "O"]}, {"tags": ["O"], "tokens": ["é"]}]
    data = read_tagged(write("\n".join(map(json.dumps, lines)), "train.jsonl"))
    assert data.sentences == [["Mary", "a b"], ["é"]]
    assert data.tags == [["P", "O"], ["O"]]
    assert data.place(0, 1).endswith("train.jsonl line 1, word 2")
    named = write('{"words": ["a"], "pos": ["D"]}', "named.jsonl")
    assert read_tagged(named, word_column="words", tag_column="pos").tags == [["D"]]


def test_compressed_files_are_read(write):
    assert len(read_tagged(write(gzip.compress(COLUMNS.encode()), "train.txt.gz"))) == 2


def test_conllu_is_read(write):
    text = (
        "# text = vámonos #\n1-2\tvámonos\t_\t_\n1\tvamos\tir\tVERB\n2\tnos\tnos\tPRON\n"
        "3\t#\t#\tSYM\n3.1\tgone\tgo\tVERB\n\n"
    )
    data = read_tagged(write(text, "es.conllu"))
    assert data.sentences == [["vamos", "nos", "#"]]
    assert data.tags == [["VERB", "PRON", "SYM"]]


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("a b O\nc O\n", "x.txt", "line 2: found 2 columns, expected 3"),
        ("a\tO\nc\n", "x.txt", "line 2: found 1 column, expected 2"),
        ("a\tO\nc O\n", "x.txt", "line 2: columns are separated by tabs above but by spaces here"),
        ("a O\nc\tO\n", "x.txt", "line 2: columns are separated by spaces above but by tabs here"),
        ("a b\tO\nc\t\tO\n", "x.txt", "line 2: found 3 columns, expected 2"),
        ("a\tx\tO\nc\t\tO\n\tx\tO\n", "x.txt", "line 3: found 2 columns, expected 3"),
        ("word\n", "x.txt", "line 1: found one column, expected a word and its tag"),
        ("\n\n", "x.txt", "contains no sentence"),
        ("", "x.txt", "contains no sentence"),
        ("a O\n\xff O\n".encode("latin-1"), "x.txt", "line 2, byte 1: 0xff is not valid UTF-8"),
        ('{"tokens": ["a", "b"], "tags": ["O"]}', "x.jsonl", "line 1: 2 words but 1 tag"),
        ('\n{"tokens": [], "tags": []}', "x.jsonl", "line 2: sentence without words; remove"),
        ('{"tokens": ["a"]}', "x.jsonl", "line 1: no field 'tags'; the object has 'tokens'"),
        ('{"tokens": "a", "tags": ["O"]}', "x.jsonl", "line 1: 'tokens' must be a list"),
        (
            '{"tokens": ["a"], "tags": [3]}',
            "x.jsonl",
            "line 1: 'tags' contains 3 at 1, not a string",
        ),
        ("[1]", "x.jsonl", "line 1: not a JSON object"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(write, text, name, message):
    with pytest.raises(DataError, match=message):
        read_tagged(write(text, name))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.txt: no such file"):
        read_tagged(tmp_path / "none.txt")


def test_as_many_tags_as_sentences():
    with pytest.raises(DataError, match="1 sentences, but tags for 0"):
        TaggedSentences([["a"]], [])


def test_sentences_are_selected():
    data = TaggedSentences([["a"], ["b"], ["c"]], [["1"], ["2"], ["3"]]).select([2, 0])
    assert (data.sentences, data.tags, data.lines) == ([["c"], ["a"]], [["3"], ["1"]], [3, 1])


def test_sentences_without_tags_are_streamed(write, monkeypatch):
    assert list(read_sentences(write("a\nb\n\nc\n"), batch_size=1)) == [[["a", "b"]], [["c"]]]
    assert list(read_sentences(write(COLUMNS))) == [[["Mary", "left"], ["So"]]]
    lines = write('{"tokens": ["a b"]}\n{"tokens": []}', "x.jsonl")
    assert list(read_sentences(lines)) == [[["a b"], []]]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(b"a\nb\n"))))
    assert list(read_sentences("-")) == [[["a", "b"]]]
    with pytest.raises(DataError, match="contains no sentence"):
        list(read_sentences(write("\n")))
    with pytest.raises(DataError, match="contains no sentence"):
        next(read_sentences(write('{"tokens": []}\n', "x.jsonl")))
    with pytest.raises(SettingsError, match="batch_size"):
        list(read_sentences(write("a\n"), batch_size=0))


WORDS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0\n\r\t "), min_size=1
).filter(lambda word: word != "-DOCSTART-" and "\ufeff" not in word)


@given(st.lists(st.lists(st.tuples(WORDS, WORDS), min_size=1), min_size=1), st.sampled_from(" \t"))
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None
)
def test_any_words_and_tags_survive_a_file(tmp_path, sentences, separator):
    path = tmp_path / "any.txt"
    lines = ("".join(f"{separator.join(pair)}\n" for pair in words) for words in sentences)
    path.write_text("\n".join(lines), encoding="utf-8", newline="")
    data = read_tagged(path)
    assert data.sentences == [[word for word, _ in words] for words in sentences]
    assert data.tags == [[tag for _, tag in words] for words in sentences]


def test_sentences_that_cannot_be_read_are_left_out_where_that_is_allowed(write, tmp_path):
    good = json.dumps({"tokens": ["a"], "tags": ["O"]})
    bad = ['{"tokens": ["a"], "tags": []}', '{"tokens": ["a"]}', "oops",
           '{"tokens": [], "tags": []}', '{"tokens": [1], "tags": ["O"]}']  # fmt: skip
    data = read_tagged(write("\n".join([*bad, good]), "a.jsonl"), max_bad_rows=5)
    assert (data.sentences, data.lines, data.line_a_word) == ([["a"]], [6], False)
    assert "skipped 5 bad rows (5 allowed): line 1: 1 word but 0 tags" in data.notes[0]
    with pytest.raises(DataError, match=r"line 5: .* \(5 bad rows so far, but only 4 may"):
        read_tagged(tmp_path / "a.jsonl", max_bad_rows=4)
    with pytest.raises(DataError, match=r"line 1: .* \(no row of the file can be read\)"):
        read_tagged(write("\n".join(bad), "a.jsonl"), max_bad_rows=5)
    columns = {"tokens": [["a"], None, ["b"], ["c"]], "tags": [["O"], ["O"], ["O", "O"], ["X"]]}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    assert read_tagged(tmp_path / "a.parquet", max_bad_rows=2).lines == [1, 4]
    with pytest.raises(DataError, match="line 3: found 3 columns, expected 2"):
        read_tagged(write("a O\n\nb O O\n"), max_bad_rows=9)


def test_sentences_one_a_line_are_no_columns_of_one_sentence(tmp_path):
    file = tmp_path / "plain.txt"
    file.write_text("Lee met Bob\nMary met Ann\n")
    with pytest.raises(
        DataError, match="3 columns but no blank line, so each line may be a sentence"
    ):
        list(read_sentences(file))
    assert list(read_sentences(file, word_column="1")) == [[["Lee", "Mary"]]]
    file.write_text("Lee B-PER\nmet O\n")
    assert list(read_sentences(file)) == [[["Lee", "met"]]]
