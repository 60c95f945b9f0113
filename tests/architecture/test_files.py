"""What is in the repository: nothing of one machine, no registry's address, nothing big."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MOST_BYTES = 1_000_000
# Written with brackets, so that this file is not an example of what it forbids.
FORBIDDEN = {
    "a registry's address": re.compile(
        r"pypi[.]org|pythonhosted[.]org|download[.]pytorch[.]org|conda[.]anaconda|registry[.]npmjs"
    ),
    "a path of one machine": re.compile(
        r"(?<![\w.])/(?:root|home/\w+|Users/\w+|work|tmp/w)[/\s\"']"
    ),
}


def repository_files():
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.splitlines()
    if not names:
        pytest.skip("not a git repository, so which files belong to it is unknown")
    return [ROOT / name for name in names if (ROOT / name).is_file()]


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_holds(what):
    found = [
        f"{file.relative_to(ROOT)} line {number}: {line.strip()[:100]}"
        for file in repository_files()
        for number, line in enumerate(file.read_text(errors="replace").split("\n"), start=1)
        if FORBIDDEN[what].search(line)
    ]
    assert found == []


def test_no_file_is_big():
    assert [file for file in repository_files() if file.stat().st_size > MOST_BYTES] == []


def test_names_are_plain():
    names = [str(file.relative_to(ROOT)) for file in repository_files()]
    assert [name for name in names if not re.fullmatch(r"[\w./-]+", name, re.ASCII)] == []


def test_the_lock_pins_what_the_project_needs():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lock = dict(
        line.lower().replace("_", "-").split("==")
        for line in (ROOT / "requirements.lock").read_text().splitlines()
        if not line.startswith("#")
    )
    needs = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    names = [re.match(r"[\w-]+", need)[0].lower() for need in needs]
    assert [name for name in names if name not in lock] == []
    assert lock["torch"] == "2.13.0"
