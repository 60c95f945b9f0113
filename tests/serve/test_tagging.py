"""Files are tagged sentence by sentence, whole or not at all; unknown tags count as missed."""

import io
import json
from types import SimpleNamespace

import pytest

from headstart.data.tagged import TaggedSentences, read_tagged
from headstart.errors import DataError, SettingsError
from headstart.progress import SILENT
from headstart.serve.tagging import evaluate_tags, tag_file, write_columns
from headstart.tasks.tagging import score_tags
from headstart.transfer.token_tagger import TokenTagger


class Capitals:
    """Calls every word with a capital a name."""

    def __init__(self):
        self.tags_ = ["B-P", "I-P", "O"]

    def predict(self, sentences):
        return [["B-P" if word[:1].isupper() else "O" for word in words] for words in sentences]

    def as_learnt(self, tags):
        return tags

    def evaluate(self, sentences, tags):
        return score_tags(tags, self.predict(sentences), "IOB2")


@pytest.mark.parametrize("ending", [".conll", ".tsv", ".txt"])
def test_columns_are_written(tmp_path, ending):
    source, target = tmp_path / "words.txt", tmp_path / f"out{ending}"
    source.write_text("Mary x\nleft x\n\nSo x\n")
    assert tag_file(Capitals(), source, target, batch_size=1) == 2
    assert target.read_text() == "Mary\tB-P\nleft\tO\n\nSo\tB-P\n\n"
    assert read_tagged(target).sentences == [["Mary", "left"], ["So"]]


def test_json_holds_any_word(tmp_path):
    source, target = tmp_path / "words.jsonl", tmp_path / "out.jsonl"
    sentences = [["Mary\t", "é \n", ""], []]
    source.write_text("\n".join(json.dumps({"tokens": words}) for words in sentences))
    assert tag_file(Capitals(), source, target) == 2
    found = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
    assert [each["tokens"] for each in found] == sentences
    assert [each["tags"] for each in found] == [["B-P", "O", "O"], []]


@pytest.mark.parametrize(
    "word", ["a\tb", "a\nb", " a", "", "-DOCSTART-", "-DOCSTART- x", "\ufeffa", "a\0b"]
)
def test_what_is_no_word_in_columns_is_refused(word):
    with pytest.raises(DataError, match="word cannot be written in columns; write JSONL"):
        write_columns(io.StringIO())([[word]], [["O"]])
    with pytest.raises(DataError, match="a sentence without words"):
        write_columns(io.StringIO())([[]], [[]])


@pytest.mark.parametrize("name", ["", " ", "B\tP", "B\nP", "P ", "\rP", "P\0"])
def test_what_is_no_tag_in_columns_is_refused(name):
    with pytest.raises(DataError, match="tag cannot be written in columns; write JSONL"):
        write_columns(io.StringIO())([["a"]], [[name]])


@pytest.mark.parametrize("name", ["-DOCSTART-", "B P", "#", "\ufeffP", "a\rb"])
def test_whatever_tag_is_written_in_columns_is_read_back(name, tmp_path):
    with (tmp_path / "out.tsv").open("w", encoding="utf-8", newline="\n") as file:
        write_columns(file)([["a", "b"]], [[name, "O"]])
    assert read_tagged(tmp_path / "out.tsv").tags == [[name, "O"]]


@pytest.mark.parametrize("word", ["-DOCSTART-x", "x -DOCSTART-", "a b", "#", "\u3000", "a\rb"])
def test_whatever_is_written_in_columns_is_read_back(word, tmp_path):
    sentences = [["Mary", word], [word], ["\ufeffleft", "left"]]
    with (tmp_path / "out.tsv").open("w", encoding="utf-8", newline="\n") as file:
        write_columns(file)(sentences, [["B-P"] * len(words) for words in sentences])
    assert read_tagged(tmp_path / "out.tsv").sentences == sentences


def test_other_targets_are_refused(tmp_path):
    source = tmp_path / "words.txt"
    source.write_text("a\n")
    with pytest.raises(SettingsError, match=r"out\.csv: must end in \.conll"):
        tag_file(Capitals(), source, tmp_path / "out.csv")
    with pytest.raises(SettingsError, match="is the input file"):
        tag_file(Capitals(), source, source)


def test_a_failure_leaves_what_was_there(tmp_path):
    source, target = tmp_path / "words.jsonl", tmp_path / "out.conll"
    source.write_text('{"tokens": ["a"]}\n{"tokens": ["a b"]}\n{"tokens": 3}\n')
    target.write_text("before")
    with pytest.raises(DataError, match="line 3"):
        tag_file(Capitals(), source, target, batch_size=1)
    assert target.read_text() == "before"
    assert len(list(tmp_path.iterdir())) == 2


def test_tags_that_were_not_there_in_training_are_told_and_count_as_missed():
    notes = []
    progress = SimpleNamespace(note=notes.append, stage=SILENT.stage)
    data = TaggedSentences([["Mary", "saw"], ["Rome"]], [["B-P", "O"], ["B-L"]], "test.conll")
    found = evaluate_tags(Capitals(), data, progress=progress)
    assert (found.words, found.recall) == (3, 0.5)
    assert notes == [
        "test.conll line 2, word 1: tag 'B-L' is not in the training data and counts as missed; "
        "such tags: 'B-L' (1 word)"
    ]


def test_tags_that_were_not_there_in_training_are_refused_where_that_is_asked_for():
    data = TaggedSentences([["Mary", "saw"], ["Rome"]], [["B-P", "O"], ["B-L"]], "test.conll")
    with pytest.raises(
        DataError, match=r"test\.conll line 2, word 1: tag 'B-L' .* which had 'B-P', 'I-P', 'O'"
    ):
        evaluate_tags(Capitals(), data, unseen_labels="refuse")


def test_a_beginning_that_a_tagger_of_iob1_has_learnt_is_not_unseen():
    sentences, tags = [["Mary", "left"], ["Rome", "fell"]] * 6, [["I-P", "O"], ["I-L", "O"]] * 6
    tagger = TokenTagger(transfer="majority").fit(sentences, tags)
    data = TaggedSentences([["Mary", "Mary", "left"]], [["I-P", "B-P", "O"]], "test.conll")
    assert evaluate_tags(tagger, data, unseen_labels="refuse").f1 == 1.0
    longer = TaggedSentences([["Rome", "Rome", "fell"]], [["I-L", "I-L", "O"]], "test.conll")
    with pytest.raises(DataError, match="line 1, word 2: tag 'I-L' is not in the training data"):
        evaluate_tags(tagger, longer, unseen_labels="refuse")


def test_a_tag_of_no_span_is_told_with_its_place_whatever_the_scheme_of_the_rest():
    tagger = TokenTagger(transfer="majority").fit([["Mary"], ["left"]] * 6, [["S-P"], ["O"]] * 6)
    notes = []
    progress = SimpleNamespace(note=notes.append, stage=SILENT.stage)
    data = TaggedSentences([["Mary", "left"], ["left"]], [["B-P", "O"], ["_"]], "test.conll")
    assert evaluate_tags(tagger, data, progress=progress).f1 == 1.0
    (note,) = notes
    assert note.startswith("test.conll line 2, word 1: tag '_' is not in the training data")
