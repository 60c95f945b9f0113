import io
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headstart.data.labelled import (
    Dataset,
    check_known_labels,
    check_trainable,
    read_labelled,
    read_texts,
)
from headstart.errors import DataError, SettingsError

LABELS = ["1", "01", "1.0", "true", "True", " a", "a ", "a", "null", "NaN"]


@pytest.fixture
def csv_file(tmp_path):
    def write(content):
        path = tmp_path / "reviews.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def test_texts_labels_and_lines(csv_file):
    path = csv_file('id,text,label\r\n1,"A, b\nc",x\r\n\r\n2,,y\r\n')
    assert read_labelled(path) == Dataset(["A, b\nc", ""], ["x", "y"], str(path), [2, 5])


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.json", "a.parquet"])
def test_labels_stay_as_they_are_byte_for_byte(tmp_path, name):
    path = tmp_path / name
    if name == "a.parquet":
        pq.write_table(pa.table({"text": LABELS, "label": LABELS}), path)
    elif "json" in name:
        path.write_text("".join(f'{{"text": "t", "label": "{label}"}}\n' for label in LABELS))
    else:
        separator = "," if name == "a.csv" else "\t"
        rows = "".join(f"t{separator}{label}\n" for label in LABELS)
        path.write_text(f"text{separator}label\n{rows}")
    data = read_labelled(path)
    assert data.labels == LABELS
    assert len(data.classes) == len(LABELS)


def test_guessed_columns_are_said_and_named_ones_taken(csv_file):
    path = csv_file("id,Headline,Category\n1,a,x\n")
    data = read_labelled(path)
    assert (data.texts, data.labels) == (["a"], ["x"])
    assert [note.split(": ")[1].split(" (")[0] for note in data.notes] == [
        "using column 'Category' as the label",
        "using column 'Headline' as the text",
    ]
    assert read_labelled(path, text_column="id", label_column="Headline").notes == ()
    with pytest.raises(DataError, match="cannot be both"):
        read_labelled(path, text_column="id", label_column="id")


def test_an_unknown_column_is_refused(csv_file):
    with pytest.raises(DataError, match=r"no column 'stars'; the columns are 'text', 'label'"):
        read_labelled(csv_file("text,label\na,b\n"), label_column="stars")


def test_an_empty_file_and_one_with_a_header_only_are_refused(csv_file):
    with pytest.raises(DataError, match=r"reviews\.csv: the file is empty"):
        read_labelled(csv_file(""))
    with pytest.raises(DataError, match=r"reviews\.csv: has column names but no rows"):
        read_labelled(csv_file("text,label\n"))


def test_missing_labels_are_refused_and_counted(csv_file):
    path = csv_file("text,label\na,x\nb,\nc,y\nd, \n")
    with pytest.raises(DataError, match=r"reviews\.csv line 3: no label .*\(2 of 4 rows have none"):
        read_labelled(path)
    with pytest.raises(DataError, match=r"these rows, or skip them with max_bad_rows"):
        read_labelled(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"text,label\na,x\nb,y,z\n",
            r"line 3, column 3: found 3 columns, expected 2 \('text', 'label'\)",
        ),
        (b"text,label\nna\xefve,x\n", r"line 2, byte 3: 0xef is not valid UTF-8"),
        (b"text,label\na\0b,x\n", r"line 2, byte 2: NUL character"),
        (b'text,label\n"a,x\nb,y\n', r"line 2, column 1: unclosed or unescaped quote"),
    ],
)
def test_a_malformed_file_is_refused_with_its_line(csv_file, content, message):
    with pytest.raises(DataError, match=rf"reviews\.csv {message}"):
        read_labelled(csv_file(content))


def test_a_byte_order_mark_crlf_and_a_ten_megabyte_text(csv_file):
    long = "word " * (2 << 20)
    data = read_labelled(csv_file(f"\ufefftext,label\r\n{long},x\r\n"))
    assert (data.texts, data.labels) == ([long], ["x"])


def test_a_dataset_must_be_as_long_as_its_labels():
    with pytest.raises(DataError, match="2 texts but 1 labels"):
        Dataset(["a", "b"], ["x"])


def test_selected_rows_keep_their_lines():
    data = Dataset(["a", "b", "c"], ["x", "y", "x"], "f.csv", [2, 3, 9], ("note",))
    assert data.select([2, 0]) == Dataset(["c", "a"], ["x", "x"], "f.csv", [9, 2], ("note",))
    assert len(data.select([])) == 0


def test_one_class_cannot_be_trained_on():
    with pytest.raises(
        DataError, match=r"f\.csv: has one class, 'x'; a classifier needs at least two"
    ):
        check_trainable(Dataset(["a", "b"], ["x", "x"], "f.csv"))
    with pytest.raises(DataError, match="has no rows"):
        check_trainable(Dataset([], []))


def test_a_class_with_one_example_cannot_be_trained_on():
    data = Dataset(list("abcdef"), ["x", "y", "x", "z", "y", "w"], "f.csv", [2, 3, 4, 5, 6, 7])
    with pytest.raises(
        DataError,
        match=r"f\.csv line 5: the only example of class 'z' \(classes with one example: 2\), "
        "as is line 7 of 'w'; add",
    ):
        check_trainable(data)
    with pytest.raises(
        DataError, match=r"one example: 8.* line 5 of 'd', line 6 of 'e', [.]{2}; add"
    ):
        check_trainable(Dataset(list("abcdefgh"), [*"zabcdefg"], "f.csv"))
    check_trainable(data.select([0, 1, 2, 4]))
    data = Dataset(["a", "b", "c", "d", "e"], ["X", "X", "y", "y", "x "], "f.csv", [2, 3, 4, 5, 6])
    with pytest.raises(
        DataError,
        match=r"line 6: .* of class 'x '; did you mean 'X'\? Otherwise add examples, .* the class$",
    ):
        check_trainable(data)


def test_ten_thousand_classes_are_no_classes():
    labels = [str(number) for number in range(10_001)] * 2
    with pytest.raises(DataError, match="10,001 different labels"):
        check_trainable(Dataset(labels, labels))


def test_a_label_unknown_to_the_model_is_refused():
    data = Dataset(["a", "b", "c"], ["x", "new", "newer"], "f.csv", [2, 3, 4])
    with pytest.raises(DataError, match=r"f\.csv line 3: label 'new' .*'x', 'y' \(2 rows"):
        check_known_labels(data, ["y", "x"])
    check_known_labels(data.select([0]), ["x", "y"])


def test_texts_to_predict_stream_in_batches(csv_file):
    path = csv_file("text\n" + "".join(f"text {number}\n" for number in range(10)))
    batches = list(read_texts(path, batch_size=4))
    assert [len(batch) for batch in batches] == [4, 4, 2]
    assert batches[2] == ["text 8", "text 9"]


def test_a_text_a_line_keeps_empty_lines_in_their_place(tmp_path):
    path = tmp_path / "a.log"
    path.write_bytes("one\r\n\r\nthree\u2028 3\r\n".encode())
    assert list(read_texts(path, batch_size=2)) == [["one", ""], ["three\u2028 3"]]


def test_texts_come_from_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(b"a\nb"))))
    assert list(read_texts("-")) == [["a", "b"]]


def test_a_guessed_column_is_said_while_texts_stream(csv_file):
    class Notes:
        said = ()

        def note(self, message):
            self.said += (message,)

    notes = Notes()
    assert list(read_texts(csv_file("id,body\n1,a\n"), progress=notes)) == [["a"]]
    assert "using column 'body' as the text" in notes.said[0]


def test_nothing_is_predicted_of_blank_texts_alone(tmp_path):
    path = tmp_path / "blank.txt"
    path.write_text("\n \n\n\t\n")
    with pytest.raises(DataError, match="contains no text"):
        next(read_texts(path, batch_size=2))
    path.write_text("\n \n\n\ta\n\n")
    assert list(read_texts(path, batch_size=2)) == [["", " "], ["", "\ta"], [""]]


@pytest.mark.parametrize("content", ["", "text\n", "text\n\n"])
def test_nothing_to_predict_is_refused(csv_file, content):
    with pytest.raises(DataError, match=r"is empty|contains no text"):
        list(read_texts(csv_file(content)))


def test_a_batch_holds_a_text_at_least(csv_file):
    with pytest.raises(SettingsError, match="batch_size must be 1 or more"):
        next(read_texts(csv_file("text\na\n"), batch_size=0))


def test_rows_without_a_label_are_left_out_where_that_is_allowed(csv_file):
    path = csv_file("text,label\na,x\nb,\nc,y\nd, \n")
    data = read_labelled(path, max_bad_rows=2)
    assert (data.texts, data.labels, data.lines) == (["a", "c"], ["x", "y"], [2, 4])
    assert data.notes[0].endswith(
        "skipped 2 bad rows (2 allowed): line 3: no label in column 'label'; "
        "line 5: no label in column 'label'"
    )
    with pytest.raises(DataError, match=r"line 5: no label .* \(2 bad rows so far, but only 1 may"):
        read_labelled(path, max_bad_rows=1)


def test_labels_that_training_lacked_are_noted_where_they_count_as_errors():
    data = Dataset(["a", "b", "c", "d"], ["x", "z", "y", "z"], "test.csv")
    assert check_known_labels(data, ["x", "y"], "count-as-error") == (
        "test.csv line 2: label 'z' is not in the training data and counts as an error; "
        "such labels: 'z' (2 rows)",
    )
    assert check_known_labels(data, ["x", "y", "z"], "count-as-error") == ()
    with pytest.raises(SettingsError, match="must be 'refuse' or 'count-as-error', got 'ignore'"):
        check_known_labels(data, ["x", "y", "z"], "ignore")
