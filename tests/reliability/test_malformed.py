"""Every malformed file of the corpus ends a command with one line, and leaves nothing behind."""

import json
import os
import re

import pytest
from tests.reliability.malformed import all_cases

from headstart.cli.app import main

FEWEST = 200


def tree(folder):
    return sorted(os.path.relpath(file, folder) for file in folder.rglob("*"))


def complaint(case, folder, good, capsys):
    """Run the case's command; return what is wrong with how it ended, or None."""
    folder.mkdir()
    case.write(folder)
    before = tree(folder)
    words = [w.replace("@", str(folder)).replace("$", str(good)) for w in case.words.split()]
    capsys.readouterr()
    code = main(words)
    out, err = capsys.readouterr()
    lines = err.splitlines()
    if code != 2 or out or not lines or not lines[-1].startswith("error: "):
        return f"exit {code}: {out[:200]}{err[-600:]}"
    if sum(line.startswith("error: ") for line in lines) != 1:
        return f"more than a line: {err}"
    if case.file not in lines[-1] or not re.search(case.names, lines[-1]):
        return f"names neither {case.file} nor {case.names}: {lines[-1]}"
    if tree(folder) != before:
        return f"left {set(tree(folder)) - set(before)}"
    return None


def test_every_malformed_file_is_one_line_and_leaves_nothing(good, tmp_path, capsys):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    cases = list(all_cases(good, scratch))
    assert len({case.name for case in cases}) == len(cases) >= FEWEST
    assert len({json.dumps(list(map(repr, case.files.items()))) for case in cases}) >= FEWEST
    wrong = {
        case.name: found
        for number, case in enumerate(cases)
        if (found := complaint(case, tmp_path / str(number), good, capsys))
    }
    assert wrong == {}, "\n".join(f"{name}: {found}" for name, found in wrong.items())


@pytest.mark.parametrize(
    "words",
    [
        "data check $/train.csv",
        "predict $/model $/test.csv --out @/out.csv",
        "fit classification $/train.csv --encoder $/words.vec --transfer probe --out @/out",
        "fit classification $/train.csv --encoder $/bert --transfer probe --out @/out",
        "fit classification $/train.csv --encoder $/elmo --transfer probe --out @/out",
        "pretrain glove --corpus $/articles.txt --epochs 1 --out @/out",
    ],
)
def test_good_files_are_read(good, tmp_path, words):
    """The commands of the corpus do work: no case fails for another reason than its own."""
    words = words.replace("@", str(tmp_path)).replace("$", str(good))
    assert main(words.split()) == 0
