"""What is in one's data, and where the demo's are."""

import json


def test_check(run):
    code, out, _ = run("data", "check", "train.csv", "--test", "test.csv")
    assert code == 0
    assert out.startswith("train.csv: 36 rows, 2 classes, all readable\n")
    assert "business    18" in out


def test_check_as_json(run, files):
    (files / "twice.csv").write_text("text,label\na,x\na,y\nb,x\nb,x\nc,y\n")
    code, out, _ = run("data", "check", "twice.csv", "--test", "twice.csv", "--json")
    found = json.loads(out)
    assert (code, found["rows"], found["classes"]) == (0, 5, {"x": 3, "y": 2})
    assert found["duplicates"]["num_rows"] == 2
    assert found["conflicts"]["num_texts"] == 1
    assert found["leaks"]["share"] == 1.0


def test_check_refuses_what_every_command_would(run, files):
    (files / "ragged.csv").write_text("text,label\na,x\nb\n")
    code, out, err = run("data", "check", "ragged.csv")
    assert (code, out) == (2, "")
    assert err.startswith("error: ragged.csv line 3")


def test_list(run, tmp_path):
    code, out, _ = run("data", "list", "--json")
    rows = json.loads(out)
    assert code == 0
    names = ("bbc-news", "glove-6b-50d", "all-minilm-l6-v2")
    assert {row["name"]: row["folder"] for row in rows} == dict.fromkeys(names)
    folder = tmp_path / "cache" / "demo" / "bbc-news"
    folder.mkdir(parents=True)
    assert str(folder) in run("data", "list")[1]


def test_get(run, monkeypatch):
    from types import SimpleNamespace as Some

    demo = Some(
        train=Some(source="t.csv"),
        test=Some(source="e.csv"),
        corpus=Some(description="c"),
        glove="g",
        minilm="m",
    )
    monkeypatch.setattr("headstart.data.demo.fetch_demo", lambda progress: demo)
    code, out, _ = run("data", "get", "--json")
    expected = {"train": "t.csv", "test": "e.csv", "corpus": "c", "glove": "g", "minilm": "m"}
    assert (code, json.loads(out)) == (0, expected)
    assert "t.csv" in run("data", "get")[1]
