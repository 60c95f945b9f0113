"""Encoders ranked from the command line: a table, a sentence, and the command that comes next."""

import json
import re
import shlex

import pytest

from headstart.compare.contestants import Contestant

FILES = ("rank", "train.csv", "--encoders")


@pytest.fixture
def vectors(files):
    """Two files of vectors: one that knows the topics, and one whose words are all alike."""
    lines = (files / "words.vec").read_text().splitlines()
    sport = {"striker", "scored", "late", "goal", "coach", "players", "team", "won", "match"}
    good = [f"{line.split()[0]} {int(line.split()[0] in sport)} 1 0.5" for line in lines[1:]]
    alike = [f"{line.split()[0]} 1 1 1" for line in lines[1:]]
    (files / "topics.vec").write_text("\n".join([lines[0], *good]) + "\n")
    (files / "alike.vec").write_text("\n".join([lines[0], *alike]) + "\n")


@pytest.mark.usefixtures("vectors")
def test_a_table_a_sentence_and_what_comes_next(run):
    code, out, _ = run(*FILES, "dull=alike.vec,topics.vec")
    head, first, second, _, sentence, next_line, command = out.splitlines()
    assert code == 0
    assert head.split() == ["encoder", "layer", "LogME", "H-score", "probe", "seconds"]
    assert first.split()[:3] == ["topics.vec", "0", "mean"]
    assert second.split()[:3] == ["dull", "0", "mean"]
    assert sentence.startswith("Try topics.vec first")
    assert next_line.startswith("36 labels, ")
    assert shlex.split(command) == [
        "headstart", "compare", "train.csv", "--methods",
        "scratch,topics.vec=topics.vec:probe,topics.vec=topics.vec:finetune",
    ]  # fmt: skip


@pytest.mark.usefixtures("vectors")
@pytest.mark.parametrize("name", ["cc+en.vec", "dim=3.vec"])
def test_what_comes_next_can_be_run_whatever_the_name(run, files, name):
    (files / name).write_text((files / "topics.vec").read_text())
    code, out, _ = run(*FILES, name)
    assert code == 0
    methods = shlex.split(out.splitlines()[-1])[-1].split(",")
    called = name.replace("+", "-").replace("=", "-")
    assert [Contestant.parse(method).source for method in methods] == ["", name, name]
    assert Contestant.parse(methods[1]).name == f"{called}:probe"


@pytest.mark.usefixtures("vectors")
def test_what_comes_next_reads_the_same_columns(run, files):
    text = (files / "train.csv").read_text().replace("text,label", "Body of mail,Department", 1)
    (files / "other.csv").write_text(text)
    columns = ["--text-column", "Body of mail", "--label-column", "Department"]
    code, out, _ = run("rank", "other.csv", "--encoders", "alike.vec,topics.vec", *columns)
    assert code == 0
    assert shlex.split(out.splitlines()[-1])[3:7] == columns


@pytest.mark.usefixtures("vectors")
def test_what_comes_next_reads_tags_in_the_same_way(run, files):
    lines = [f"{word} {tag}\n" for word, tag in (("the", "O"), ("team", "I-P"), ("won", "O"))]
    (files / "odd.conll").write_text("".join([*lines, "\n", "bank B-P\n", "cut O\n\n"]))
    words = ("rank", "odd.conll", "--task", "tagging", "--encoders", "topics.vec")
    code, _, err = run(*words)
    assert (code, "odd.conll line 2: tag 'I-P' after 'O' is not legal in IOB2" in err) == (2, True)
    asked = ["--scheme", "BIO", "--repair"]
    code, out, err = run(*words, *asked, "--labels", "4")
    assert (code, err) == (0, "")
    assert shlex.split(out.splitlines()[-1])[3:8] == ["--task", "tagging", *asked]


@pytest.mark.usefixtures("vectors")
def test_json_has_all_numbers(run):
    code, out, err = run(*FILES, "a=topics.vec,b=alike.vec", "--labels", "12", "--json")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert (found["labels"], found["classes"]) == (12, 2)
    assert [row["encoder"] for row in found["rows"]] == ["a", "b"]
    assert {"logme_low", "h_score", "probe_high", "seconds"} <= set(found["rows"][0])
    assert found["first"]["probe"]["second"] == "b"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["mine=none.vec"], "error: encoder 'mine': none.vec: no such file or folder"),
        (["words.vec,words.vec"], "error: two encoders are called 'words.vec'"),
        (["words.vec", "--labels", "3"], "error: 3 is too few labels to tell 2 classes apart"),
        (["words.vec", "--text-column", "x"], "train.csv"),
    ],
)
def test_what_cannot_be_ranked_is_one_line(run, words, message):
    code, out, err = run(*FILES, *words)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.usefixtures("vectors")
def test_bad_rows_are_left_out_where_that_is_allowed(run, files):
    (files / "bad.csv").write_text((files / "train.csv").read_text() + "alone\n")
    words = ("rank", "bad.csv", "--encoders", "topics.vec")
    assert run(*words)[0] == 2
    code, out, err = run(*words, "--max-bad-rows", "1")
    assert code == 0
    assert "bad.csv: skipped 1 bad row (1 allowed): line 38" in err
    assert "headstart compare bad.csv --max-bad-rows 1 --methods" in out


def test_the_encoders_of_the_example_are_files_folders_or_whole_ids(run):
    _, out, _ = run("rank", "--help")
    named = re.findall(r"--encoders\s+([a-z]\S+,\S+)", out)
    assert len(named) == 2
    for source in ",".join(named).split(","):
        assert "/" in source or source.endswith(".txt"), source
