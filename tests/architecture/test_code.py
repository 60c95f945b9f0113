"""The rules of the code that matter are tests: layers, sizes, inheritance, silence on import."""

import importlib
import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "headstart"
FILES = sorted(PACKAGE.rglob("*.py"))
MODULES = [
    ".".join(file.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")
    for file in FILES
]
MOST_LINES = 600
BANNED_NAMES = {"utils", "util", "common", "core", "misc", "base", "helpers"}

# Imports everything its arguments name, the others' modules before ours; prints what ours changed.
IMPORT_ALL = """
import importlib, json, logging, os, random, signal, sys, warnings

def state():
    import numpy, torch
    return {
        "environment": dict(os.environ),
        "warning filters": [str(each) for each in warnings.filters],
        "logging": {name: [str(each.handlers), each.level] for name, each in
                    [("root", logging.root), *logging.root.manager.loggerDict.items()]
                    if isinstance(each, logging.Logger) and not name.startswith("headstart")},
        "random": hash(random.getstate()),
        "numpy": hash(numpy.random.get_state()[1].tobytes()),
        "torch": hash(torch.get_rng_state().numpy().tobytes()),
        "torch settings": [torch.get_num_threads(), str(torch.get_default_dtype())],
        "hooks": [str(sys.excepthook), str(sys.displayhook)],
        "signals": [str(signal.getsignal(each)) for each in sorted(signal.valid_signals())],
        "folder": os.getcwd(),
        "path": sys.path,
    }

ours, others = json.load(sys.stdin)
for name in others:
    try:
        importlib.import_module(name)
    except ImportError:
        pass
before = state()
for name in ours:
    importlib.import_module(name)
after = state()
print(json.dumps([
    [key for key in before if before[key] != after[key]],
    [name for name in sys.modules if not name.startswith(("headstart", "__m"))],
]))
"""


def import_all(ours, others):
    given = json.dumps([ours, others])
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL], input=given, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    *printed, result = done.stdout.splitlines()
    assert printed == []
    return json.loads(result)


def classes_of_ours():
    modules = map(importlib.import_module, MODULES)
    members = (member for module in modules for member in vars(module).values())
    return {each for each in members if inspect.isclass(each) and is_ours(each)}


def is_ours(class_):
    return class_.__module__.partition(".")[0] == "headstart"


def test_layers():
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", FILES, ids=MODULES)
def test_a_file_can_be_read_at_one_sitting(file):
    assert len(file.read_text().splitlines()) < MOST_LINES


@pytest.mark.parametrize("file", FILES, ids=MODULES)
def test_a_file_starts_with_its_story(file):
    assert file.read_text().startswith('"""')


def test_no_module_is_a_drawer():
    assert not {file.stem for file in FILES} & BANNED_NAMES


def test_no_class_has_a_grandparent_of_ours():
    chains = [
        (grandparent.__name__, parent.__name__, child.__name__)
        for child in classes_of_ours()
        for parent in child.__bases__
        for grandparent in parent.__bases__
        if is_ours(parent) and is_ours(grandparent)
    ]
    assert chains == []


@pytest.mark.slow
def test_importing_changes_nothing():
    _, others = import_all(MODULES, [])
    changed, _ = import_all(MODULES, others)
    assert changed == []


def test_importing_headstart_imports_nothing_heavy():
    code = "import sys, headstart; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "numpy", "pyarrow", "numba", "sklearn"} & set(done.stdout.split())


def test_asserts_and_prints_stay_out_of_the_library():
    for file in FILES:
        code = file.read_text()
        assert "    assert " not in code, file
        if file.parent.name != "cli":
            assert "    print(" not in code, file
