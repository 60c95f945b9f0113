"""The commands keep their promises: no new flag by accident, quick help, an example that parses."""

import resource
import shlex
import subprocess
import sys

import pytest
import typer

from headstart.cli.app import app

# Adding, renaming or removing a flag is a decision: make it here too, and in CHANGELOG.md.
FLAGS = {
    "compare": (
        "data --test --corpus --parallel --methods --labels --seeds --minutes --pretrain-minutes "
        "--pretrain-size --task --demo --symmetric --scheme --repair --drop-leaks --quick "
        "--text-column --pair-columns --label-column --max-bad-rows --unseen-labels --workers "
        "--max-memory --out --config --json --debug"
    ),
    "rank": (
        "data --encoders --labels --task --scheme --repair --text-column --pair-columns "
        "--label-column --max-bad-rows --seed --config --json --debug"
    ),
    "plan": (
        "method --corpus --parallel --size --tokens --epochs --minutes --set --text-column "
        "--threads --device --config --json --debug"
    ),
    "pretrain": (
        "method --corpus --parallel --vectors --out --size --epochs --minutes --tokens --steps "
        "--cbow --tokenizer --min-count --set --text-column --seed --threads --device "
        "--save-minutes --skip-bad-batches --allow-drift --track --config --json --debug"
    ),
    "adapt": (
        "encoder --corpus --out --epochs --minutes --tokens --steps --set --text-column --seed "
        "--threads --device --save-minutes --skip-bad-batches --allow-drift --track --config "
        "--json --debug"
    ),
    "fill-mask": "encoder text --top --config --json --debug",
    "generate": (
        "encoder text --max-new-tokens --temperature --top-k --top-p --stop --seed --config --json "
        "--debug"
    ),
    "predict": (
        "model source --text --text-b --out --text-column --pair-columns --keep --label-separator "
        "--batch-size --bf16 --device --config --json --debug"
    ),
    "evaluate": (
        "model data --text-column --pair-columns --label-column --label-separator --max-bad-rows "
        "--unseen-labels --bf16 --device --config --json --debug"
    ),
    "inspect": (
        "model --data --encoder --similarity --analogies --corpus --word --beside --out "
        "--text-column --label-column --config --json --debug"
    ),
    "neighbors": "encoder words --minus --top --config --json --debug",
    "fit classification": (
        "data --out --encoder --transfer --text-column --label-column --label-separator "
        "--max-bad-rows --calibrate --seed --device --config --json --debug"
    ),
    "fit regression": (
        "data --out --encoder --transfer --text-column --label-column --max-bad-rows --seed "
        "--device --config --json --debug"
    ),
    "fit pair": (
        "data --out --encoder --transfer --symmetric --numbers --pair-columns --label-column "
        "--max-bad-rows --calibrate --seed --device --config --json --debug"
    ),
    "fit tagging": (
        "data --out --encoder --transfer --scheme --repair --linear --text-column --label-column "
        "--max-bad-rows --seed --device --config --json "
        "--debug"
    ),
    "data list": "--json --debug",
    "data get": "--json --debug",
    "data check": (
        "data --test --corpus --task --text-column --pair-columns --label-column "
        "--label-separator --max-bad-rows --config --json --debug"
    ),
}


def walk(command, name=""):
    if not hasattr(command, "commands"):
        yield name, command
    for part, each in getattr(command, "commands", {}).items():
        yield from walk(each, f"{name} {part}".strip())


COMMANDS = dict(walk(typer.main.get_command(app)))


def flags(command):
    return [
        (each.opts[0] if each.opts[0].startswith("-") else each.name) for each in command.params
    ]


def examples(command):
    lines = [line.strip() for line in (command.help or "").splitlines()]
    return [shlex.split(line) for line in lines if line.startswith("headstart ")]


def test_no_flag_was_added_renamed_or_removed():
    assert {name: " ".join(flags(command)) for name, command in COMMANDS.items()} == FLAGS


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_speaks_to_machines_and_shows_tracebacks_on_demand(name):
    assert {"--json", "--debug"} <= set(flags(COMMANDS[name]))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_with_settings_takes_them_from_a_file(name):
    settings = set(flags(COMMANDS[name])) - {"--json", "--debug"}
    assert not settings or "--config" in settings


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_is(name):
    assert [each.name for each in COMMANDS[name].params if not each.help] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_the_column_of_texts_is_said_to_be_in_a_corpus_where_there_is_one(name):
    command = COMMANDS[name]
    told = [each.help for each in command.params if each.name == "text_column"]
    assert all(("corpus" in text) == ("--corpus" in flags(command)) for text in told)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_has_an_example_that_parses(name):
    found = examples(COMMANDS[name])
    assert found
    for program, *words in found:
        assert program == "headstart"
        arguments = words[len(name.split()) :]
        assert words[: len(name.split())] == name.split()
        COMMANDS[name].make_context(name, arguments)


def test_help_is_quick_and_imports_nothing_heavy():
    code = "import sys; from headstart.cli.app import main; main(['--help']); print(*sys.modules)"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    heavy = {"torch", "numpy", "pyarrow", "numba", "sklearn", "rich", "plotly"}
    assert not heavy & set(done.stdout.split())
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5
