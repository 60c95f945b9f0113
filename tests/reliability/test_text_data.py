"""Group E: every oddity of text files, labels, Unicode and size has one outcome, and it is told.

What RELIABILITY's table of malformed files refuses is in `malformed.py`, each case a file; here is
what is kept exactly, and what is counted.
"""

import gzip
import json
import re
import unicodedata

import numpy as np
import pytest
from sklearn.metrics import f1_score
from tests.reliability.malformed import (
    JSON_LINES,
    json_cases,
    parquet_cases,
    table_cases,
    tagged_cases,
)

from headstart.data.checks import check_data
from headstart.data.corpora import read_corpus
from headstart.data.labelled import (
    Dataset,
    check_known_labels,
    check_trainable,
    read_labelled,
    read_texts,
)
from headstart.data.pairs import read_labelled_pairs
from headstart.data.tagged import read_tagged
from headstart.errors import DataError
from headstart.serve.evaluation import evaluate
from headstart.tokenize.batches import inference_batches
from headstart.tokenize.characters import words_to_characters
from headstart.tokenize.encoded import in_batches
from headstart.tokenize.spans import token_spans
from headstart.tokenize.subwords import SubwordTokenizer
from headstart.tokenize.words import WordTokenizer
from headstart.transfer.estimators import TextClassifier

NO_ENDS = "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg\x1dh"  # what str.splitlines would cut at
KEPT = {  # content, as it is read
    "a mark at the start": ("\ufefftext,label\na,b\n", [("a", "b")]),
    "a mark in the middle": ("text,label\na\ufeffb,c\n", [("a\ufeffb", "c")]),
    "CRLF": ("text,label\r\na,b\r\n", [("a", "b")]),
    "both line ends": ("text,label\r\na,b\nc,d\r\n", [("a", "b"), ("c", "d")]),
    "no last line end": ("text,label\na,b", [("a", "b")]),
    "blank lines": ("text,label\n\na,b\n\n\nc,d\n", [("a", "b"), ("c", "d")]),
    "spaces at the ends": ("text,label\n a , b \n", [(" a ", " b ")]),
    "no line ends": (f"text,label\n{NO_ENDS},b\n", [(NO_ENDS, "b")]),
    "line ends in quotes": ('text,label\n"a\nb\r\nc\rd",e\n', [("a\nb\r\nc\rd", "e")]),
    "quotes in quotes": ('text,label\n"a ""b"" c",d\n', [('a "b" c', "d")]),
    "a quote within": ('text,label\na "b" c,d\n', [('a "b" c', "d")]),
    "numbers as text": ("text,label\nNaN,1e999\n", [("NaN", "1e999")]),
    "a long number": (f"text,label\na,{'9' * 5000}\n", [("a", "9" * 5000)]),
}


@pytest.mark.parametrize("what", KEPT)
@pytest.mark.parametrize("ending", ["csv", "tsv", "csv.gz"])
def test_E1_malformed_corpus_tables_keep(tmp_path, what, ending):
    text, rows = KEPT[what]
    if ending == "tsv":
        text = text.replace(",", "\t")
    content = text.encode()
    (tmp_path / f"d.{ending}").write_bytes(gzip.compress(content) if ".gz" in ending else content)
    dataset = read_labelled(tmp_path / f"d.{ending}")
    assert list(zip(dataset.texts, dataset.labels, strict=True)) == rows


@pytest.mark.parametrize("text", [NO_ENDS, "a\0b", "a\ufeffb", "\u202ea", "a\nb\r", "日本", "\x7f"])
def test_E1_malformed_corpus_json_keeps(tmp_path, text):
    for escaped in (True, False):
        record = json.dumps({"text": text, "label": "b"}, ensure_ascii=escaped)
        (tmp_path / "d.jsonl").write_bytes(f"\ufeff{record}\r\n\n{record}".encode())
        assert read_labelled(tmp_path / "d.jsonl").texts == [text, text]


def test_E1_malformed_corpus_plain_keeps(tmp_path):
    (tmp_path / "d.txt").write_bytes(f'\ufeff{NO_ENDS}\r\n"a\n b \n'.encode())
    assert list(read_corpus(tmp_path / "d.txt").texts()) == [NO_ENDS, '"a', " b "]


def test_E1_malformed_corpus_conll_keeps(tmp_path):
    (tmp_path / "d.conll").write_bytes(f'\ufeff{NO_ENDS.replace(" ", "")} O\r\n\r\n"a B-X'.encode())
    tagged = read_tagged(tmp_path / "d.conll")
    assert tagged.sentences == [[NO_ENDS], ['"a']]
    words = "".join(f"w{number} O\n" for number in range(100_000))
    (tmp_path / "long.conll").write_text(words)
    assert read_tagged(tmp_path / "long.conll").words == 100_000


BAD_ROWS = {  # by the names of their cases; all other cases are bad files
    *(
        f"{ending}: {what}"
        for ending in ("csv", "tsv")
        for what in ("no label", "a blank label", "a row too short", "a row too long")
    ),
    *(f"jsonl: {what}" for what in JSON_LINES if what != "a raw NUL"),
    *("parquet: a null text", "parquet: an empty label"),
    *(case.name for case in tagged_cases() if case.name.startswith("tagged jsonl")),
}


@pytest.mark.parametrize(
    "case",
    [*table_cases(), *json_cases(), *parquet_cases(), *tagged_cases()],
    ids=lambda case: case.name,
)
def test_E1_a_bad_row_is_left_out_where_that_is_allowed_and_a_bad_file_never(tmp_path, case):
    read = read_tagged if "tagging" in case.words else read_labelled

    def outcome(max_bad_rows):
        try:
            return read(tmp_path / case.file, max_bad_rows=max_bad_rows)
        except DataError as error:
            return str(error)

    case.write(tmp_path)
    refused, found = outcome(0), outcome(1)
    if case.name in BAD_ROWS:
        assert isinstance(refused, str)
        assert "skipped 1 bad row (1 allowed): " in found.notes[0]
        assert re.search(case.names, found.notes[0])
        assert len(found) > 0
    elif case.name == "json: one list over many lines":
        assert "(2 bad rows so far, but only 1 may be skipped" in found
    else:
        assert found == refused


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_E1_one_bad_row_more_than_are_allowed_stops(tmp_path, ending):
    good, bad = {"csv": ("a,b\n", "alone\n"), "jsonl": ('{"text": "a", "label": "b"}\n', "oops\n")}[
        ending
    ]
    head = "text,label\n" if ending == "csv" else ""
    (tmp_path / f"d.{ending}").write_text(head + (good + bad) * 3)
    assert len(read_labelled(tmp_path / f"d.{ending}", max_bad_rows=3)) == 3
    line = 7 if ending == "csv" else 6
    with pytest.raises(DataError, match=rf"line {line}.* \(3 bad rows so far, but only 2 may be"):
        read_labelled(tmp_path / f"d.{ending}", max_bad_rows=2)


LABELS = ("1", "01", "1.0", "true", "True", " a", "a ")


def rows(*labels):
    return "text,label\n" + "".join(f"text {n},{label}\n" for n, label in enumerate(labels))


def test_E2_labels_are_strings_byte_for_byte(tmp_path):
    (tmp_path / "d.csv").write_text(rows(*LABELS, *LABELS))
    assert read_labelled(tmp_path / "d.csv").classes == sorted(LABELS)
    check_trainable(read_labelled(tmp_path / "d.csv"))
    lines = [json.dumps({"text": "a", "label": value}) for value in ("1", 1, True, "true", "01")]
    (tmp_path / "d.jsonl").write_text("\n".join(lines))
    assert read_labelled(tmp_path / "d.jsonl").labels == ["1", "1", "true", "true", "01"]


def test_E2_splits_and_what_is_in_both():
    train = Dataset(["a b", "c  d", "e", "f"] * 2, ["x", "y", "x", "y"] * 2, "train.csv")
    test = Dataset(["c d", "new text here"], ["y", "x"], "test.csv")
    found = check_data(train, test)
    assert found["leaks"].num_test_rows == 1
    assert list(found["leaks"].test_indices) == [0]
    assert found["clean"].num_rows == 1
    twins = Dataset(["caf\u00e9", "cafe\u0301"] * 2, ["x", "y"] * 2, "twins.csv")
    assert check_data(twins)["duplicates"].num_rows
    with pytest.raises(
        DataError, match=r"other\.csv line 2: label 'new' is not in the training data"
    ):
        check_known_labels(Dataset(["a", "b"], ["x", "new"], "other.csv"), ["x", "y"])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([], "no rows"),
        (["a"] * 5, "one class, 'a'"),
        (["a", "a", "b"], "line 3: the only example of class 'b'"),
        ([str(n) for n in range(10_001)] * 2, "10,001 different labels"),
    ],
)
def test_E2_labels_that_cannot_be_learnt(labels, message):
    with pytest.raises(DataError, match=message):
        check_trainable(Dataset([f"t {n}" for n in range(len(labels))], labels))


def test_E2_a_pair_with_one_side_is_kept_and_told(tmp_path):
    (tmp_path / "d.csv").write_text("text_a,text_b,label\na,,x\nb,c,y\n")
    pairs = read_labelled_pairs(tmp_path / "d.csv")
    assert pairs.texts == [("a", ""), ("b", "c")]
    assert "line 2: a side is empty, as in 1 of 2" in pairs.notes[0]


def test_E2_a_row_without_a_label_is_left_out_where_that_is_allowed(tmp_path):
    lines = [
        {"text": f"t {n}", "label": label} for n, label in enumerate([None, "", " ", "a", "0"])
    ]
    (tmp_path / "d.jsonl").write_text("\n".join(map(json.dumps, lines)))
    found = read_labelled(tmp_path / "d.jsonl", max_bad_rows=3)
    assert (found.labels, found.lines) == (["a", "0"], [4, 5])
    with pytest.raises(DataError, match=r"3 bad rows so far, but only 2 may be skipped"):
        read_labelled(tmp_path / "d.jsonl", max_bad_rows=2)


def test_E2_a_label_that_training_lacked_counts_as_an_error_where_that_is_asked_for():
    model = TextClassifier(transfer="tfidf").fit(["good text", "bad one"] * 4, ["x", "y"] * 4)
    test = Dataset(["good text", "bad one", "other"], ["x", "y", "new"], "test.csv")
    with pytest.raises(
        DataError, match=r"test\.csv line 3: label 'new' is not in the training data"
    ):
        evaluate(model, test)
    found = evaluate(model, test, unseen_labels="count-as-error")
    assert (found.accuracy, found.macro_f1, found.unseen_rows) == (2 / 3, f1_score(
        test.labels, model.predict(test.texts), average="macro", zero_division=0), 1)  # fmt: skip


STRINGS = (
    "caf\u00e9", "cafe\u0301", "\u212b", "\u00c5", "\ufdfa", "\ufdfa" * 50, "İSTANBUL", "ıİiI",
    "STRASSE straße", "ß" * 20, "👩‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "✌︎✌️", "🇪🇺🇩🇪", "\u202eabc\u202c",
    "\u2066abc\u2069", "שלום", "مرحبا ١٢٣", "नमस्ते", "ภาษาไทย", "日本語のテキスト",
    "中文，标点。", "한국어",
    "\u1112\u1161\u11ab", "a\u200bb", "a\u200db", "a\ufeffb", "\ufeff", "a\u00adb", "a\u00a0b",
    "a\u3000b", "a\u2028b", "a\x85b", "a\x00b", "\x00", "\x07\x1b[2J", "\x7f",
    "a" + "\u0301" * 1000,
    "Z̸̢a̶l̵g̴o̷" * 20, "ﬁﬂﬃ", "①②Ⅷ½", "ｆｕｌｌ", "𝓯𝓪𝓷𝓬𝔂", "\U00010330\U00010331", "\U0001f9ff",
    "\U0002070e", "\U000e0041", "\U000f0000", "\U0010ffff", "\ue000", "\uffff", "\ufffd",
    "don't won't",
    "u.s. 1,000.5 1990s", "###", "[CLS] [PAD] <|endoftext|>", "", " ", "\t\n\r", "a" * 1000,
    "é" * 999,
)  # fmt: skip


@pytest.fixture(scope="module")
def tokenizers():
    texts = ["the cat sat on the mat", "it's 1,000 words", "İstanbul café 日本"] * 5
    return {
        "words": WordTokenizer.train(texts, min_count=1),
        "whitespace": WordTokenizer.train(texts, min_count=1, split="whitespace"),
        "bpe": SubwordTokenizer.train(texts, kind="bpe", vocabulary_size=300),
        "wordpiece": SubwordTokenizer.train(texts, kind="wordpiece", vocabulary_size=300),
    }


@pytest.mark.parametrize("name", ["words", "whitespace", "bpe", "wordpiece"])
def test_E3_unicode(tokenizers, name):
    """Each text is cut the same way each time, and every token is where it says in the text."""
    assert len(STRINGS) >= 60
    tokenizer = tokenizers[name]
    encoded, again = (tokenizer.encode_batch(STRINGS) for _ in range(2))
    assert np.array_equal(encoded.ids, again.ids)
    assert encoded.ids.max() < len(tokenizer.vocabulary)
    for row, (text, spans) in enumerate(zip(STRINGS, token_spans(tokenizer, STRINGS), strict=True)):
        assert len(spans) == len(encoded[row]) == len(tokenizer.words(text))
        assert all(0 <= start <= end <= len(text) for start, end in spans)
        assert spans == sorted(spans)
        if name == "bpe":
            assert unicodedata.normalize("NFC", tokenizer.decode(encoded[row].tolist())) == (
                unicodedata.normalize("NFC", text.lower())
            )


def test_E3_unicode_of_characters_and_models():
    """ELMo reads any word's bytes; a model answers every text, and refuses half a character."""
    assert words_to_characters(list(STRINGS)).shape == (len(STRINGS), 50)
    model = TextClassifier(transfer="tfidf").fit(["a good text", "a bad one"] * 4, ["x", "y"] * 4)
    shares = model.predict_proba(list(STRINGS))
    assert np.isfinite(shares).all()
    assert np.array_equal(shares, model.predict_proba(list(STRINGS)))
    with pytest.raises(DataError, match="text 1"):
        model.predict(["fine", "\ud800"])


def test_E4_size(tmp_path):
    """Large is not wrong: it is read, or refused at once with the limit it is beyond."""
    long = "x" * (10 << 20)
    (tmp_path / "line.txt").write_text(long + "\nshort\n")
    assert [len(text) for text in read_corpus(tmp_path / "line.txt").texts()] == [10 << 20, 5]
    (tmp_path / "field.csv").write_text(f"text,label\n{long},a\n")
    assert len(read_labelled(tmp_path / "field.csv").texts[0]) == 10 << 20
    (tmp_path / "line.jsonl").write_text(json.dumps({"text": long, "label": "a"}) + "\n")
    assert len(read_labelled(tmp_path / "line.jsonl").texts[0]) == 10 << 20
    for name, message in (
        ("sparse.txt", "NUL character"),
        ("sparse.csv", "NUL character"),
        ("s.jsonl", "NUL character"),
    ):
        with (tmp_path / name).open("wb") as file:
            file.truncate(10 << 30)
        with pytest.raises(DataError, match=message):
            next(iter(read_texts(tmp_path / name)))


def test_E4_size_of_texts(tokenizers):
    """A word of a million characters, and a document of a million words, are cut in seconds."""
    word, document = "x" * 10**6, "the cat sat " * 350_000
    for tokenizer in tokenizers.values():
        encoded, cut = tokenizer.encode_batch([word, document, ""]).truncate(512)
        assert cut >= 1
        assert (encoded.lengths <= 512).all()
        assert len(encoded[2]) == 0


def test_E4_size_of_batches():
    """Batches are bounded in tokens, and in characters, not in texts."""
    lengths = np.array([100_000, 1, 1, 5000, *[10] * 5000])
    for rows_of in inference_batches(lengths, max_tokens=8192):
        assert len(rows_of) == 1 or len(rows_of) * lengths[rows_of].max() <= 8192
    texts = ["x" * 3_000_000] * 4 + ["y"] * 9000
    sizes = [(len(batch), sum(map(len, batch))) for batch in in_batches(texts)]
    assert all(number <= 4096 and size < (1 << 22) + 3_000_001 for number, size in sizes)


def test_E4_size_of_nothing(tmp_path):
    """An empty text is kept, and predicted as one without words."""
    model = TextClassifier(transfer="tfidf").fit(["good text", "bad one"] * 4, ["x", "y"] * 4)
    shares = model.predict_proba(["", " ", "never seen"])
    assert np.array_equal(shares[0], shares[1])
    assert np.array_equal(shares[0], shares[2])
    (tmp_path / "d.txt").write_text("a\n\nb\n")
    assert list(read_texts(tmp_path / "d.txt")) == [["a", "", "b"]]
