"""Documentation that cannot rot: its Python runs, its commands parse, its links lead somewhere."""

import doctest
import importlib
import os
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from dataclasses import fields
from functools import partial
from pathlib import Path

import pytest
import typer

import headstart
from headstart.cli.app import app
from headstart.compare import study
from headstart.compare.rows import BUDGETS
from headstart.compare.summary import _AGAINST_REFERENCE, _ON_CLEAN
from headstart.hub import cove_pretraining
from headstart.hub.kinds import EPOCHS
from headstart.hub.store import MINUTES
from headstart.pretrain.glove import GloVe
from headstart.pretrain.skip_gram import SkipGram

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").glob("*.md"))
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
DOCTESTED = [
    file for file in sorted((ROOT / "src").rglob("*.py")) if "        >>> " in file.read_text()
]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
STORY = reversed(PROJECT["tool"]["importlinter"]["contracts"][0]["layers"])
ROOMS = [room for room in STORY if (ROOT / "src" / "headstart" / room).is_dir()]

NEWS = [
    ("the team won the final match of the season", "sport"),
    ("the striker scored a late goal in the cup", "sport"),
    ("the coach praised the players after the game", "sport"),
    ("the bank raised interest rates again", "business"),
    ("shares fell as the company cut its profit forecast", "business"),
    ("the market gained after the central bank met", "business"),
]


def pairs_are_learnt(names):
    """All pairs are right, where half is chance, and of one that was not seen it says which."""
    judge, similarity = names["judge"], names["similarity"]
    assert judge.score(names["pairs"], names["agree"]) == 1
    assert judge.predict([("a late goal", "sport news")]) == [True]
    asked = [("a late goal", "sport news"), ("a late goal", "business news")]
    same, other = similarity.predict(asked)
    assert same > other + 2


def vectors_know_drinks(names):
    vectors = names["vectors"]
    assert vectors.similarity("coffee", "tea") > 0.9
    assert vectors.similarity("coffee", "bus") < 0.5


def head_start_is_measured(names):
    assert "a head start of more than" in names["result"].headline


MORE_OF_EXAMPLES = {
    "08_transfer": pairs_are_learnt,
    "09_inspect": vectors_know_drinks,
    "10_compare": head_start_is_measured,
}

# What is large and is none of ours is not read, so that it takes seconds.
TYPES_OF_A_USER = """
[mypy]
follow_imports = silent
untyped_calls_exclude = torch
[mypy-torch.*,numba.*,sklearn.*,scipy.*,plotly.*,tokenizers.*,safetensors.*,pyarrow.*,\
huggingface_hub.*,transformers.*,headstart.cli.*]
follow_imports = skip
ignore_missing_imports = True
"""
CODE_OF_A_USER = """
import numpy as np

texts, labels = np.array(["a", "b"]), np.array([0, 1])
for classifier in (hs.TextClassifier(vectors), hs.PairClassifier(), hs.TextRegressor()):
    print(classifier.fit(texts, labels).predict(texts), classifier.score(texts, labels))
print(hs.TextFeatures(vectors).fit(texts).transform(texts).shape)
print(hs.TokenTagger().fit(texts, labels).predict(texts))
print(hs.pretrain("bert", ["a"]).fill_mask("[MASK]"), hs.pretrain("gpt", ["a"]).generate("a"))
name: str = "any"
hs.pretrain(name).fill_mask("[MASK]")
"""


@pytest.fixture
def folder_of_a_user(tmp_path, monkeypatch):
    """A folder with the files that the pages talk about."""
    rows = [f"{text} number {n},{label}" for n in range(12) for text, label in NEWS]
    (tmp_path / "train.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    (tmp_path / "articles.txt").write_text("\n".join(text for text, _ in NEWS * 40) + "\n")
    (tmp_path / "run.toml").write_text("seeds = 1\n")
    monkeypatch.chdir(tmp_path)


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)


def command_lines(page):
    return re.findall(r"^(?: {4}|\$ )(headstart .*)$", page.read_text(), re.MULTILINE)


@pytest.mark.slow
@pytest.mark.usefixtures("folder_of_a_user", "forked")
@pytest.mark.parametrize("script", EXAMPLES, ids=lambda script: script.stem)
def test_examples_run(script, capsys):
    names = runpy.run_path(str(script), run_name="__main__")
    assert capsys.readouterr().out
    if check := MORE_OF_EXAMPLES.get(script.stem):
        check(names)


@pytest.mark.usefixtures("folder_of_a_user")
@pytest.mark.parametrize("file", DOCTESTED, ids=lambda file: file.stem)
def test_examples_in_docstrings_give_what_they_say(file):
    parts = file.relative_to(ROOT / "src").with_suffix("").parts
    result = doctest.testmod(importlib.import_module(".".join(parts)))
    assert result.attempted
    assert not result.failed


@pytest.mark.slow
def test_the_python_of_the_readme_has_types(tmp_path):
    assert (ROOT / "src" / "headstart" / "py.typed").is_file(), "else checkers look at no hint"
    (tmp_path / "mypy.ini").write_text(TYPES_OF_A_USER)
    code = [*blocks(ROOT / "README.md", "python"), CODE_OF_A_USER]
    (tmp_path / "user.py").write_text("\n".join(code))
    done = subprocess.run(
        [Path(sys.executable).with_name("mypy"), "--strict", "--cache-dir", "cache", "user.py"],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    (told,) = (line for line in done.stdout.splitlines() if "error" in line and "Found" not in line)
    assert '"Pretrained" has no attribute "fill_mask"' in told, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("folder_of_a_user", "forked")
def test_the_python_of_the_readme_runs(capsys, monkeypatch):
    smallest = {"label_budgets": [10], "seeds": 1, "workers": 1}
    monkeypatch.setattr(study, "compare", partial(study.compare, **smallest))
    (code,) = blocks(ROOT / "README.md", "python")
    exec(compile(code, "README.md", "exec"), {"__name__": "__main__"})  # noqa: S102 - our own page
    assert capsys.readouterr().out


@pytest.mark.parametrize(
    "page", [p for p in PAGES if p.parent.name == "docs"], ids=lambda p: p.stem
)
def test_pages_quote_code_that_runs(page):
    script = ROOT / "examples" / f"{page.stem}.py"
    for code in blocks(page, "python"):
        assert code in script.read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
@pytest.mark.usefixtures("folder_of_a_user")
def test_commands_on_pages_parse(page):
    for line in command_lines(page):
        words = shlex.split(line, comments=True)[1:]
        command = typer.main.get_command(app)
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        command.make_context("headstart", words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_how_to_add_a_model_names_what_is_there():
    """A name in code stands in the file that was named before it."""
    guide = (ROOT / "CONTRIBUTING.md").read_text()
    steps = re.search(r"^3\. What makes it load.*?(?=^5\.)", guide, re.MULTILINE | re.DOTALL)[0]
    code, checked = "", []
    for name in re.findall(r"`([^`\s]+)`", steps):
        if name.endswith((".py", ".css")):
            file = ROOT / "src" / "headstart" / name
            code = "" if "NAME" in name else file.read_text()
        elif code and name.isidentifier():
            assert re.search(rf"\b{name}\b", code), name
            checked.append(name)
    assert {"KINDS", "RUNS", "IN_CONTEXT", "Method"} <= set(checked)


def anchors(page):
    """Return what GitHub calls the headings of a page."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "benchmarks" / "README.md"], ids=str)
def test_links_into_pages_lead_to_a_heading(page):
    for target, anchor in re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", page.read_text()):
        if "://" not in target:
            assert anchor in anchors(page.parent / target if target else page), anchor


def test_the_page_of_pretraining_has_every_setting_of_word_vectors():
    page = (ROOT / "docs" / "05_pretrain.md").read_text()
    for field in (*fields(SkipGram), *fields(GloVe)):
        assert f"`{field.name}`" in page


def test_what_pretraining_takes_by_default_is_said():
    page = (ROOT / "docs" / "05_pretrain.md").read_text()
    said = f"`word2vec` trains for {EPOCHS['word2vec']} epochs, `glove` for {EPOCHS['glove']}"
    assert f"{said}, and CoVe, ELMo, GPT and BERT for {MINUTES:g} minutes" in page
    *most, last = (2 * units for units, _ in cove_pretraining.SIZES.values())
    documented = " ".join(headstart.pretrain.__doc__.split())
    states = f"CoVe has hidden states of {', '.join(map(str, most))} or {last} (default `mini`)"
    assert states in documented


def test_the_page_of_compare_names_the_usual_budgets_and_all_that_results_hold():
    page = (ROOT / "docs" / "10_compare.md").read_text()
    *most, last = BUDGETS
    assert f"those of {', '.join(map(str, most))} and {last:,} that" in page
    for name in (*_ON_CLEAN, *_AGAINST_REFERENCE):
        assert f"`{name}`" in page or (name.endswith("_bound") and "`.._bound`" in page)


def test_every_room_has_a_page_and_an_example():
    expected = [f"{number:02}_{room}" for number, room in enumerate(ROOMS, start=1)]
    assert [page.stem for page in PAGES if page.stem[0].isdigit()] == expected
    assert [script.stem for script in EXAMPLES] == expected


@pytest.mark.parametrize("name", sorted(set(headstart.__all__) - {"__version__"}))
def test_every_public_name_says_what_it_is(name):
    documented = getattr(headstart, name).__doc__ or ""
    assert documented.strip()
    assert any(re.search(rf"[`.]{name}[`(]", page.read_text()) for page in PAGES), (
        f"no page speaks of {name}"
    )


def test_public_names_stay_functions_where_rooms_have_the_same_name():
    code = (
        "import headstart as hs, headstart.compare.study, headstart.hub.store;"
        "print(*(type(getattr(hs, name)).__name__ for name in ('compare', 'pretrain', 'load') * 2))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["function"] * 6


def test_the_package_names_what_it_offers():
    assert set(headstart.__all__) <= set(dir(headstart))
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = headstart.nonsense
