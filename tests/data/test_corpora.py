import gzip
import json
import math
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.data.corpora import as_corpus, read_corpus
from headstart.data.lines import read_lines
from headstart.errors import DataError, SettingsError


def test_a_document_a_line(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfIt rains. It pours.\r\n\r\n  \r\nThe end.")
    corpus = read_corpus(path)
    assert list(corpus) == [["It rains.", "It pours."], ["The end."]]
    assert list(corpus.texts()) == ["It rains. It pours.", "The end."]
    assert corpus.notes == ()
    assert corpus.description == str(path)
    assert corpus.size_bytes == path.stat().st_size


def test_a_corpus_can_be_read_again_and_twice_at_once(tmp_path):
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    corpus = read_corpus(tmp_path / "a.txt")
    assert [*zip(corpus.texts(), corpus.texts(), strict=True)] == [("one", "one"), ("two", "two")]


def test_paragraphs_are_guessed_from_blank_lines_and_said(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("One.\nTwo. Three.\n\n\nFour.\nFive.\n\nSix.\n")
    corpus = read_corpus(path)
    assert list(corpus) == [["One.", "Two.", "Three."], ["Four.", "Five."], ["Six."]]
    assert next(corpus.texts()) == "One.\nTwo. Three."
    assert "blank line is read as one document" in corpus.notes[0]
    assert "documents=" not in corpus.notes[0]  # which no command has
    assert len(list(read_corpus(path, documents="line"))) == 5
    assert read_corpus(path, documents="line").notes == ()


def test_blank_lines_between_single_lines_say_nothing(tmp_path):
    (tmp_path / "a.txt").write_text("One.\n\nTwo.\n\nThree.\nFour.\n")
    assert len(list(read_corpus(tmp_path / "a.txt"))) == 4


def test_only_line_feeds_part_documents(tmp_path):
    text = "one\u2028two\u0085three\x0bfour\rfive"
    (tmp_path / "a.txt").write_text(text + "\nnext\n", newline="")
    assert list(read_corpus(tmp_path / "a.txt").texts()) == [text, "next"]


def test_a_folder_of_small_files_is_a_document_each(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "folder.txt").mkdir()
    for name in ("b.txt", "a.txt", "deep/c.txt", ".hidden.txt", "notes.pdf"):
        (tmp_path / name).write_text(f"Title of {name}\n\nText.\n")
    corpus = read_corpus(tmp_path)
    assert [document[0] for document in corpus] == [
        "Title of a.txt",
        "Title of b.txt",
        "Title of deep/c.txt",
    ]
    assert corpus.description == f"{tmp_path} (3 files)"
    assert "3 small files is read as one document" in corpus.notes[0]
    assert f"{tmp_path}: ignored 1 file (for instance notes.pdf); only those" in corpus.notes[1]
    assert len(list(read_corpus(tmp_path, documents="line"))) == 6
    twice = read_corpus([tmp_path, tmp_path], documents="line")
    assert len(list(twice)) == 12
    assert len(twice.notes) == 1
    named = read_corpus([tmp_path, tmp_path / "notes.pdf"], documents="line")
    assert len(list(named)) == 8
    assert not named.notes, "what is named is not ignored"


def test_whole_files_have_line_feeds_alone(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfOne.\r\n\r\nTwo\rlines.\r\n")
    (corpus,) = read_corpus(tmp_path / "a.txt", documents="file").texts()
    assert corpus == "One.\n\nTwo\rlines.\n"
    assert corpus.split("\n")[:3] == [*read_lines(tmp_path / "a.txt")]


def test_large_files_of_a_folder_hold_many_documents(tmp_path):
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("A line of text.\n" * 5000)
    assert len(list(read_corpus(tmp_path))) == 10_000


def test_a_saved_model_is_no_corpus(tmp_path):
    for name in ("manifest.json", "config.json"):
        (tmp_path / name).write_text("{}\n")
    with pytest.raises(DataError, match="is a saved model, not a corpus; give text"):
        read_corpus(tmp_path)


def test_a_glob_and_a_list_of_files(tmp_path):
    for name in ("b.txt", "a.txt", "c.log"):
        (tmp_path / name).write_text(f"{name}\n")
    assert list(read_corpus(f"{tmp_path}/*.txt").texts()) == ["a.txt\n", "b.txt\n"]
    listed = read_corpus([tmp_path / "c.log", str(tmp_path / "a.txt")], documents="line")
    assert list(listed.texts()) == ["c.log", "a.txt"]
    assert listed.description == f"{tmp_path / 'c.log'} and 1 more (2 files)"


def test_a_file_whose_name_looks_like_a_pattern(tmp_path):
    (tmp_path / "a[1].txt").write_text("found\n")
    assert list(read_corpus(tmp_path / "a[1].txt").texts()) == ["found"]


def test_formats_mix_in_a_folder_and_guessed_columns_are_said(tmp_path):
    (tmp_path / "a.csv").write_text('text,label\n"from\ncsv",1\n')
    (tmp_path / "b.jsonl.gz").write_bytes(
        gzip.compress(json.dumps({"id": "7", "content": "from jsonl"}).encode())
    )
    pq.write_table(pa.table({"id": [1, 2], "words": ["from", "parquet"]}), tmp_path / "c.parquet")
    (tmp_path / "d.txt.gz").write_bytes(gzip.compress(b"from\ntext\n"))
    corpus = read_corpus(tmp_path)
    texts = ["from\ncsv", "from jsonl", "from", "parquet", "from", "text"]
    assert list(corpus.texts()) == texts
    assert ["'content'" in note or "'words'" in note for note in corpus.notes] == [True, True]


def test_the_text_column_may_be_named_and_must_exist(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"title": "T", "subtitle": "S"}\n')
    assert list(read_corpus(path, text_column="title").texts()) == ["T"]
    with pytest.raises(DataError, match="cannot tell which column is the text"):
        read_corpus(path)
    with pytest.raises(DataError, match="no column 'text'; the columns are 'title', 'subtitle'"):
        read_corpus(path, text_column="text")


def test_a_text_column_of_other_data_is_that_of_the_tables_that_have_it(tmp_path):
    (tmp_path / "a.csv").write_text("text,Review\nfrom text,from Review\n")
    (tmp_path / "b.jsonl").write_text('{"text": "only"}\n')
    for corpus in (
        read_corpus(tmp_path, text_column="Review", strict=False),
        as_corpus(tmp_path, text_column="Review", strict=False),
        as_corpus(sorted(tmp_path.iterdir()), text_column="Review", strict=False),
    ):
        assert list(corpus.texts()) == ["from Review", "only"]
    with pytest.raises(DataError, match=r"b\.jsonl: no column 'Review'"):
        as_corpus(tmp_path, text_column="Review")


@given(texts=st.lists(st.text(st.characters(codec="utf-8")), min_size=1))
@settings(max_examples=30, deadline=None)
def test_texts_in_memory_come_back(texts):
    kept = [text for text in texts if text.strip()]
    if kept:
        assert list(read_corpus(texts=texts).texts()) == kept
    else:
        with pytest.raises(DataError, match="contains no text"):
            read_corpus(texts=texts)


@pytest.mark.parametrize("text", ["\u5b57" * 100, "\u0436" * 200, "x" * 254 + "/", "a\0b"])
def test_a_text_of_any_script_and_length_is_no_name_of_a_file(text):
    assert list(as_corpus([text]).texts()) == [text]


def test_documents_of_any_list_iterator_or_column_are_taken_whole(tmp_path):
    texts = ["It rains.", "It pours.", "The end."]
    (tmp_path / "a.txt").write_text("\n".join(texts))
    with (tmp_path / "a.txt").open() as file:
        assert [*as_corpus(file).texts()] == ["It rains.\n", "It pours.\n", "The end."]
    for some in (iter(texts), (text for text in texts), np.array(texts), np.array(texts, object)):
        corpus = as_corpus(some)
        assert [*corpus.texts()] == [*corpus.texts()] == texts
        assert {type(text) for text in corpus.texts()} == {str}
    assert [*read_corpus(texts=iter(texts)).texts()] == texts
    (tmp_path / "b.txt").write_text("Another.")
    assert [*as_corpus(tmp_path.glob("b.*")).texts()] == ["Another."]


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [(["a"], "list"), (b"a", "bytes"), (None, "NoneType"), (math.nan, "float"), ({}, "dict")],
)
def test_what_is_no_text_does_not_become_one(wrong, kind):
    with pytest.raises(DataError, match=f"text 1 is of type {kind}; every text must be a string"):
        as_corpus(["It rains.", wrong])


@pytest.mark.parametrize(
    ("some", "kind"),
    [
        ({"a": 1}, "dict"),
        ({"a"}, "set"),
        (b"a", "bytes"),
        (7, "int"),
        (np.array([["a"]]), "ndarray of 2 dimensions"),
        (pa.table({"text": ["a"]}), "Table of 2 dimensions"),
    ],
)
def test_what_has_no_order_or_several_columns_is_no_corpus(some, kind):
    message = f"expected a list of texts or one column of them, got a {kind}$"
    for read in (as_corpus, lambda texts: read_corpus(texts=texts)):
        with pytest.raises(DataError, match=message):
            read(some)


def test_what_is_no_list_of_texts_is_refused():
    with pytest.raises(SettingsError, match="one string"):
        read_corpus(texts="some text")
    with pytest.raises(DataError, match="text 1 is of type int"):
        read_corpus(texts=["a", 1])
    with pytest.raises(DataError, match="text 0 contains an unpaired surrogate"):
        read_corpus(texts=["\ud800"])
    with pytest.raises(SettingsError, match="either files or texts"):
        read_corpus()
    with pytest.raises(SettingsError, match="either files or texts"):
        read_corpus("a.txt", texts=["a"])
    with pytest.raises(SettingsError, match="the list of files is empty"):
        read_corpus([])
    with pytest.raises(SettingsError, match="documents must be line, paragraph or file"):
        read_corpus(texts=["a"], documents="sentence")


@pytest.mark.parametrize("content", ["", "\n \n\r\n"])
def test_an_empty_file_is_refused(tmp_path, content):
    (tmp_path / "a.txt").write_text(content)
    with pytest.raises(DataError, match=r"a\.txt: contains no text"):
        read_corpus(tmp_path / "a.txt")


def test_missing_files_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"b\.txt: no such file or folder"):
        read_corpus(tmp_path / "b.txt")
    with pytest.raises(DataError, match="no such file or folder, and no file matches it"):
        read_corpus(f"{tmp_path}/*.txt")
    with pytest.raises(DataError, match=r"no file in this folder ends in \.csv"):
        read_corpus(tmp_path)


def test_a_pipe_is_refused_for_it_is_read_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="pipe: is a pipe, but a corpus is read several times"):
        read_corpus(tmp_path / "pipe")
    with pytest.raises(DataError, match="/dev/null: is neither a file nor a folder, but a corpus"):
        read_corpus("/dev/null")


def test_an_error_in_the_middle_names_file_and_line(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"fine\n" * 300_000 + b"na\xefve\n")
    corpus = read_corpus(tmp_path / "a.txt")
    with pytest.raises(DataError, match=r"a\.txt line 300001, byte 3: 0xef is not valid UTF-8"):
        list(corpus.texts())


def test_the_fingerprint_follows_content_and_reading_and_not_the_name(tmp_path):
    for name, content in (("a.txt", "one\ntwo\n"), ("b.txt", "one\ntwo\n"), ("c.txt", "one\n2\n")):
        (tmp_path / name).write_text(content)
    a, b, c = (read_corpus(tmp_path / name).fingerprint() for name in ("a.txt", "b.txt", "c.txt"))
    by_paragraph = read_corpus(tmp_path / "a.txt", documents="paragraph").fingerprint()
    in_memory = [read_corpus(texts=texts).fingerprint() for texts in (["a b"], ["a", "b"])]
    assert a == b
    assert len({a, c, by_paragraph, *in_memory}) == 5


def test_public_text_reads_whole(shared_data):
    corpus = read_corpus(shared_data / "wikipedia_en" / "valid.txt.gz")
    assert "blank line is read as one document" in corpus.notes[0]
    documents = list(corpus)
    titles = [document[0] for document in documents if document[0].startswith("= ")]
    assert 71 <= len(documents) <= 80
    assert len(titles) == 71
