"""A file stands for options: the same names, the same checks, and what is typed wins."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import pytest
import typer

from headstart.cli.options import Config, Debug, Json, comma_list, save_settings
from headstart.errors import SettingsError

app = typer.Typer()


@app.command()
def study(
    context: typer.Context,
    data: Annotated[Path | None, typer.Argument()] = None,
    *,
    corpus: Annotated[list[Path] | None, typer.Option()] = None,
    labels: Annotated[Sequence[int] | None, typer.Option(parser=comma_list(int))] = None,
    methods: Annotated[Sequence[str] | None, typer.Option(parser=comma_list(str))] = None,
    separator: str | None = None,
    seeds: Annotated[int, typer.Option(min=1)] = 5,
    quick: Annotated[bool, typer.Option("--quick")] = False,
    out: Path = Path("runs/x"),
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
):
    save_settings(context, out)


def run(*words):
    command = typer.main.get_command(app)
    with command.make_context("headstart study", [str(word) for word in words]) as context:
        command.invoke(context)
        return context.params


def run_with(tmp_path, text, *words):
    (tmp_path / "run.toml").write_text(text)
    return run("--out", tmp_path, "--config", tmp_path / "run.toml", *words)


def test_a_file_sets_every_kind_of_option(tmp_path):
    text = "data = 'a.csv'\ncorpus = ['b', 'c']\nlabels = [50, 200]\nseeds = 3\nquick = true\n"
    values = run_with(tmp_path, text)
    assert values["data"] == Path("a.csv")
    assert values["corpus"] == [Path("b"), Path("c")]
    assert values["labels"] == [50, 200]
    assert (values["seeds"], values["quick"]) == (3, True)


def test_one_value_may_stand_for_a_list(tmp_path):
    values = run_with(tmp_path, "corpus = 'b'\nlabels = 50\n")
    assert (values["corpus"], values["labels"]) == ([Path("b")], [50])


def test_a_list_may_be_written_as_one_text_as_on_the_command_line(tmp_path):
    values = run_with(tmp_path, "labels = '4,6'\nmethods = 'tfidf,majority'\n")
    assert (values["labels"], values["methods"]) == ([4, 6], ["tfidf", "majority"])


@pytest.mark.parametrize("text", [",", '"', "", "a,b", 'say "a, b"', " a ", "it's"])
def test_a_text_of_the_settings_is_read_as_it_is(tmp_path, text):
    words = [f"{text}.csv", "--corpus", f"{text}.txt", "--separator", text]
    column = '"' + text.replace('"', '""') + '!"'  # of a list, where commas part columns
    first = run(*words, "--methods", column, "--out", tmp_path / "one")
    assert (first["data"], first["separator"]) == (Path(f"{text}.csv"), text)
    assert first["methods"] == [f"{text}!".strip()]
    again = run("--config", tmp_path / "one" / "settings.toml", "--out", tmp_path / "two")
    assert {name for name in first if first[name] != again[name]} == {"config", "out"}


def test_an_option_has_the_name_that_is_typed_and_its_own(tmp_path):
    told, one = [], typer.Typer()

    @one.command()
    def study(
        more: Annotated[list[str] | None, typer.Option("--set")] = None, config: Config = None
    ):
        told.append(more)

    file = tmp_path / "run.toml"
    for name in ("set", "more"):
        file.write_text(f"{name} = ['window=3', 'a=b']\n")
        command = typer.main.get_command(one)
        with command.make_context("headstart", ["--config", str(file)]) as context:
            command.invoke(context)
    assert told == [["window=3", "a=b"]] * 2


@pytest.mark.parametrize(("written", "words"), [("'king'", ["king"]), ("['a', 'b']", ["a", "b"])])
def test_an_argument_may_stand_for_a_list(tmp_path, written, words):
    one = typer.Typer()

    @one.command()
    def study(words: Annotated[list[str], typer.Argument()], config: Config = None):
        pass

    (tmp_path / "run.toml").write_text(f"words = {written}\n")
    command = typer.main.get_command(one)
    with command.make_context("headstart", ["--config", str(tmp_path / "run.toml")]) as context:
        assert context.params["words"] == words


def test_an_empty_list_is_no_argument(tmp_path):
    one = typer.Typer()

    @one.command()
    def study(words: Annotated[list[str], typer.Argument()], config: Config = None):
        pass

    (tmp_path / "run.toml").write_text("words = []\n")
    with pytest.raises(SettingsError, match="line 1: 'words': needs a value"):
        typer.main.get_command(one).make_context(
            "headstart", ["--config", str(tmp_path / "run.toml")]
        )


def test_what_is_typed_wins(tmp_path):
    values = run_with(tmp_path, "data = 'a.csv'\nlabels = [50]\nseeds = 3\n", "b.csv", "--seeds", 1)
    assert (values["data"], values["labels"], values["seeds"]) == (Path("b.csv"), [50], 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seeds = 0\n", "run.toml line 1: 'seeds': Input should be greater than or equal to 1"),
        ("\n\nseeds = 'five'\n", "run.toml line 3: 'seeds': Input should be a valid integer"),
        ("seeds = 2.5\n", "line 1: 'seeds': Input should be a valid integer"),
        ("seeds = true\n", "line 1: 'seeds': True is not valid for this option"),
        ("quick = 'yes'\n", "line 1: 'quick': 'yes' is not valid for this option"),
        ("labels = [50, 'many']\n", "line 1: 'labels': '50,many' is not a list such as"),
        ("label = [50]\n", "line 1: unknown setting 'label'; did you mean 'labels'?"),
        ("config = 'other.toml'\n", "line 1: unknown setting 'config'"),
    ],
)
def test_what_is_wrong_is_named_with_file_line_and_key(tmp_path, text, message):
    with pytest.raises(SettingsError) as caught:
        run_with(tmp_path, text)
    assert message in str(caught.value)


def test_the_settings_are_saved_and_give_the_same_run_again(tmp_path):
    first = run(
        *("it's.csv", "--corpus", "a b.txt", "--corpus", "c", "--labels", "5,10", "--quick"),
        *("--out", tmp_path / "one"),
    )
    saved = tmp_path / "one" / "settings.toml"
    assert tomllib.loads(saved.read_text()) == {
        "data": "it's.csv",
        "corpus": ["a b.txt", "c"],
        "labels": [5, 10],
        "seeds": 5,
        "quick": True,
    }
    again = run("--config", saved, "--out", tmp_path / "two")
    different = {name for name in first if first[name] != again[name]}
    assert different == {"config", "out"}


def test_a_list_with_an_odd_item_is_refused():
    with pytest.raises(typer.BadParameter, match="'5,x' is not a list such as 50,200,1000"):
        comma_list(int)("5,x")
    assert comma_list(str)("scratch, glove:frozen,") == ["scratch", "glove:frozen"]
