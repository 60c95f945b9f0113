"""Group G: what strangers wrote is text wherever it is shown, and nothing a program runs."""

import csv
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pyarrow.parquet as pq
import pytest

from headstart.cli.bars import Bars
from headstart.cli.terminal import print_table, say, tell
from headstart.data.tables import read_rows
from headstart.hub.cards import card
from headstart.hub.translation_report import render_translation_report
from headstart.inspect.senses_page import render_senses
from headstart.serve.predictor import (
    LabelSetPrediction,
    NumberPrediction,
    PairPrediction,
    Prediction,
    predict_file,
    write_csv,
)

FORMULAS = (
    "=1+1", "=cmd|'/C calc'!A0", "=HYPERLINK(\"http://x.invalid\",\"a\")", "+1+1", "+cmd", "-2+3",
    "-cmd|x", "@SUM(A1)", "\t=1+1", "\r=1+1", "\n=1+1", "\0=1+1", "＝1+1", "＋1+1", "－1+1", "＠x",
    "=\"a\"", "='a'", "==1", "=A1;B1", "=A1,B1", "=\u202e1", "+", "-", "@", "=", "-a", "- item",
    "@name", "=DDE(\"a\";\"b\";\"c\")", "+(1)", "=\n1",
)  # fmt: skip
HARMLESS = ("1+1", "a=b", " =1", "'=1", "-5", "+3.5", "-.5", "0", "", "e-mail", "x@y", "日本")


def cells_of(predictions, delimiter=","):
    file = io.StringIO(newline="")
    write = write_csv(file, predictions[0]._fields, "|", delimiter=delimiter)
    write([each._asdict() for each in predictions])
    file.seek(0)
    return list(csv.reader(file, delimiter=delimiter, strict=True))[1:]


@pytest.mark.parametrize("delimiter", [",", "\t"])
def test_G1_csv_exports(delimiter):
    """No cell begins as a formula does, none splits, and a number stays one."""
    assert len(set(FORMULAS)) >= 30
    for text in FORMULAS:
        for made, words in (
            (Prediction(text, text, 0.5), 2),
            (PairPrediction(text, text, text, 0.5), 3),
            (LabelSetPrediction(text, [text, "b"], [0.5, 0.25]), 2),
            (NumberPrediction(text, -1.5), 1),
        ):
            (row,) = cells_of([made], delimiter)
            for cell in row[:words]:
                assert cell[0] == "'", text
                assert cell[1:].startswith(text)
    (row,) = cells_of([NumberPrediction("a", -1.5)], delimiter)
    assert row == ["a", "-1.5"]
    for text in HARMLESS:
        (row,) = cells_of([Prediction(text, text, 0.5)], delimiter)
        assert row == [text, text, "0.5"]


class Echo:
    """A model that answers each text with one of two labels that are formulas."""

    classes_ = ("=cmd()", "@x")

    def predict_proba(self, texts):
        import numpy as np

        return np.tile([0.75, 0.25], (len(texts), 1))


def test_G1_exact_exports(tmp_path):
    """JSONL and Parquet hold texts and labels to the last character, for programs to read."""
    texts = [text for text in (*FORMULAS, *HARMLESS) if text.strip() and "\0" not in text]
    source = tmp_path / "texts.jsonl"
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    for name in ("out.jsonl", "out.parquet"):
        predict_file(Echo(), source, tmp_path / name)
        rows = [rows.columns for rows in read_rows(tmp_path / name, ["text", "label"])]
        assert [text for columns in rows for text in columns[0]] == texts
        assert {label for columns in rows for label in columns[1]} == {"=cmd()"}
    assert pq.read_table(tmp_path / "out.parquet").column("text").to_pylist() == texts


PAYLOADS = (
    "<script>canary()</script>", "</script><script>canary()</script>",
    "</style><script>canary()</script>", "</title><script>canary()</script>",
    "<img src=x onerror=canary()>", "<svg onload=canary()>", "<svg><script>canary()</script></svg>",
    "\"><script>canary()</script>", "'><script>canary()</script>", "\" onmouseover=\"canary()",
    "' onfocus='canary()' autofocus='", "` onload=canary() `", "javascript:canary()",
    "JaVaScRiPt:canary()", "data:text/html,<script>canary()</script>", "<!--",
    "-->", "<!--<script>",
    "]]>", "<![CDATA[<script>canary()</script>]]>", "{{ 7 * 7 }}", "{% raw %}", "{# x #}",
    "${canary()}", "<%= canary() %>", "&lt;script&gt;canary()&lt;/script&gt;", "&#60;script&#62;",
    "\\u003cscript\\u003ecanary()\\u003c/script\\u003e", "<a href='javascript:canary()'>a</a>",
    "<iframe src='javascript:canary()'>", "<meta http-equiv=refresh content=0>", "<base href=//x>",
    "<link rel=stylesheet href=//x>", "<style>@import '//x'</style>", "<math><mi xlink:href=x>",
    "<details open ontoggle=canary()>", "\u2028\u2029", "\u202egnp.exe", "\x1b[31m\x1b]0;x\x07",
    "\x00\ud800", "<\x00script>canary()</script>", "＜script＞canary()＜/script＞", "w" * 300,
)  # fmt: skip


class Page(HTMLParser):
    """Every element with its attributes' names, and the values that could lead somewhere."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.values = [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, *sorted(name for name, _ in attrs)))
        self.values += [value for name, value in attrs if name in ("href", "src", "action")]


def senses_with(text):
    """Return the senses page of an encoder, a word and sentences that hold a text."""
    occurrence = {"sentence": f"{text} bank {text}", "start": len(text) + 1, "end": len(text) + 5}
    look = {
        "name": text, "contextual": True, "vector": text, "distinct": 2, "times": 1.5,
        "chance": 1.1, "similarity": 0.5, "silhouette": 0.25, "points": [[0.0, 0.0], [1.0, 1.0]],
        "nearest": [[1, 0.9], [0, 0.9]], "group_of": [0, 1], "explained": 0.5,
        "groups": [{"number": n, "size": 1, "words": [text], "of_groups": [text]} for n in (0, 1)],
    }  # fmt: skip
    found = {"word": text, "total": 2, "left_out": 1, "occurrences": [occurrence] * 2}
    return render_senses({**found, "encoders": [look, look]})


def translation_with(text):
    """Return the page of a CoVe whose sentences, pieces and settings hold a text."""
    lineage = {
        "curve": [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0, "bleu": 3.0}],
        "pairs": 100, "pairs_held_out": 50, "steps": 2, "epochs": 1.0, "training_seconds": 60.0,
        "tokens_per_second": 100.0, "words_without_vector": 0.1, "validation": {"perplexity": 9.0},
        "bleu": {"beam": 3.0, "beam_size": 4, "greedy": 2.0}, "seed": text, "threads": 1,
        "translations": [{
            "text": text, "reference": text, "translation": text, "source": [text, "a"],
            "target": [text, ""], "attention": [[0.5, 0.5], [0.9, 0.1]],
        }],
    }  # fmt: skip
    return render_translation_report(text, {"hidden": 4, "note": text}, lineage)


PAGES = {"senses": senses_with, "translation": translation_with}


@pytest.mark.parametrize("render", PAGES.values(), ids=PAGES)
def test_G2_html(render):
    """A page has the same elements and attributes whatever its texts say, and hides nothing."""
    benign = Page(render("harmless"))
    for payload in PAYLOADS:
        html = render(payload)
        page = Page(html)
        assert page.elements == benign.elements, payload
        assert not [value for value in page.values if not value.startswith("#")]
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\ud800]", html)


@pytest.mark.parametrize("render", PAGES.values(), ids=PAGES)
def test_G2_html_policy(render):
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', render("a"))[1]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert {part.split()[0] for part in policy.split("; ")} >= {"style-src", "base-uri"}


def test_G2_html_of_cards():
    """A card is Markdown, which renders HTML: nothing of a stranger's is more than text in it."""
    for payload in PAYLOADS:
        text = card(payload, "What.", {payload: [payload], "classes": [payload]}, "use()")
        shown = re.sub(r"\\[\\`*\[\]|~]", "", text.partition("```")[0])
        assert not re.search(r"[<>`*\[\]~]", shown), payload
        assert len([line for line in text.splitlines() if line.startswith("| ")]) == 3


STEERING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800]")


def test_G2_terminal(capsys):
    """Notes, errors, results and tables show what would steer a terminal, and stay one line."""
    for payload in PAYLOADS:
        say(payload)
        tell(f"{payload}\n{payload}")
        print_table([{payload: payload, "n": 1}])
        Bars().note(payload)
    out, err = capsys.readouterr()
    assert not STEERING.search(out + err)
    assert err.count("\n") == 2 * len(PAYLOADS)
    assert r"\x1b[31m" in out
    assert r"\u202egnp.exe" in out


def test_G2_terminal_of_commands(run, tmp_path):
    """Neither a file's name nor its content steers the terminal, nor does a traceback."""
    name = "a\x1b[2Jb\u202ec\n.csv"
    (tmp_path / name).write_text("te\x1b[2Jxt,lab\u202eel,third\na,b,c\n")
    code, out, err = run("data", "check", tmp_path / name)
    assert (code, out) == (2, "")
    assert not STEERING.search(err)
    assert err.count("\n") == 1
    code, out, err = run("data", "check", tmp_path / name, "--debug")
    assert code == 2
    assert "Traceback" in err
    assert not STEERING.search(err)


BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
    "--virtual-time-budget=5000", "--enable-logging=stderr", "--dump-dom",
)  # fmt: skip
LIVE = (
    "<script>document.body.dataset.canary = 1</script>"
    "<img src=x onerror='document.body.dataset.canary = 1'>"
)


@pytest.mark.slow
@pytest.mark.parametrize("render", PAGES.values(), ids=PAGES)
def test_G2_html_in_a_browser(render, tmp_path):
    """Nothing runs, neither by the template's escaping nor, without it, under the policy."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"no browser found (looked for {', '.join(BROWSERS)})")

    def opened(html):
        (tmp_path / "page.html").write_text(html, encoding="utf-8")
        done = subprocess.run(
            [
                browser, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}",
                (tmp_path / "page.html").as_uri(),
            ],
            capture_output=True, text=True, timeout=400, check=True,
        )  # fmt: skip
        return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]

    dom, console = opened(render(LIVE + "".join(PAYLOADS)))
    assert "data-canary" not in dom
    assert console == []
    broken = render("harmless").replace("<body>", f"<body>{LIVE}", 1)
    dom, console = opened(broken)
    assert "data-canary" not in dom
    assert any("Content Security Policy" in line for line in console)
    dom, _ = opened(re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", broken))
    assert "data-canary" in dom  # so that the test could fail
