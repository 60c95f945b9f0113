"""A user's folder: labeled texts, texts without labels, vectors, and a fitted model."""

import pytest

from headstart.cli.app import main

NEWS = [
    ("the striker scored a late goal", "sport"),
    ("the coach praised the players", "sport"),
    ("the team won the final match", "sport"),
    ("shares fell on the market", "business"),
    ("the bank raised interest rates", "business"),
    ("the company cut its profit forecast", "business"),
]
WORDS = sorted({word for text, _ in NEWS for word in text.split()})


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("user")
    rows = [f"{text} {number},{label}" for number in range(6) for text, label in NEWS]
    (folder / "train.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    (folder / "test.csv").write_text("text,label\na goal by the team,sport\nprofit fell,business\n")
    (folder / "articles.txt").write_text("\n".join(text for text, _ in NEWS * 20) + "\n")
    lines = [f"{word} {len(word)} {ord(word[0]) % 7} 1.5" for word in WORDS]
    (folder / "words.vec").write_text(f"{len(WORDS)} 3\n" + "\n".join(lines) + "\n")
    words = ["fit", "classification", folder / "train.csv", "--transfer", "tfidf"]
    assert main([*map(str, words), "--out", str(folder / "model")]) == 0
    return folder


@pytest.fixture
def unspaced(files):
    """Labeled texts without spaces between words, and the same as a corpus."""
    texts = [f"{text}{number}" for number in range(12) for text in ("足球比赛教练", "股票银行市场")]
    rows = [f"{text},{'sport' if text.startswith('足') else 'business'}" for text in texts]
    (files / "chinese.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    (files / "chinese.txt").write_text("\n".join(texts) + "\n")


@pytest.fixture
def run(files, monkeypatch, capsys):
    """Run a command in the user's folder; return its exit code, output and errors."""
    monkeypatch.chdir(files)

    def run(*words):
        capsys.readouterr()
        code = main([str(word) for word in words])
        return code, *capsys.readouterr()

    return run
