"""What others left in a folder is neither replaced nor found in the way once all is computed."""

import json

import pytest

from headstart.compare.folder import check_that_it_is_ours, check_that_it_is_the_same
from headstart.compare.tasks import CLASSIFICATION
from headstart.data.labelled import Dataset
from headstart.errors import SettingsError

TITLE = "How many labels does pretraining save on train.csv?"
TRAIN = Dataset(["a wave", "a cloud"], ["sea", "sky"])


def _put(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}")


@pytest.mark.parametrize(
    "name",
    ["best/manifest.json", "inspected/scratch/manifest.json", "report.html", "settings.toml",
     "learning_curves.svg", "results.parquet", "best"],
)  # fmt: skip
def test_what_a_comparison_would_replace_is_refused_beside_no_results(tmp_path, name):
    _put(tmp_path, name)
    with pytest.raises(SettingsError, match=f"{name.split('/')[0]}: not written by a comparison"):
        check_that_it_is_ours(tmp_path)


@pytest.mark.parametrize("found", [{"accuracy": 0.9}, {"data": {"classes": [1, 2]}}])
def test_results_of_something_else_are_refused(tmp_path, found):
    (tmp_path / "results.json").write_text(json.dumps(found))
    with pytest.raises(SettingsError, match=r"results\.json: not written by a comparison"):
        check_that_it_is_ours(tmp_path)


def test_a_folder_where_the_winner_cannot_be_kept_is_refused(tmp_path):
    (tmp_path / "results.json").write_text(json.dumps({"title": TITLE}))
    check_that_it_is_ours(tmp_path)
    (tmp_path / "best").mkdir()
    check_that_it_is_ours(tmp_path)
    _put(tmp_path, "best/notes.txt")
    with pytest.raises(SettingsError, match="best: not a model, but a model would be saved there"):
        check_that_it_is_ours(tmp_path)


def test_a_comparison_that_was_stopped_goes_on_wherever_it_was(tmp_path):
    check_that_it_is_ours(tmp_path / "new")
    _put(tmp_path, "cells/0f.json", "states/0f.npy", ".lock", "notes.txt")
    check_that_it_is_ours(tmp_path)
    _put(tmp_path, "best/manifest.json", "inspected/scratch/manifest.json")
    check_that_it_is_ours(tmp_path)


def _check_same(folder, **before):
    (folder / "results.json").write_text(json.dumps({"title": TITLE, **before}))
    check_that_it_is_the_same(folder, TITLE, CLASSIFICATION, TRAIN, "one")


def test_other_rows_of_the_same_name_are_refused(tmp_path):
    _check_same(tmp_path, data_print="one", task="classification")
    with pytest.raises(SettingsError, match=r"on other rows: a file of the same name has changed"):
        _check_same(tmp_path, data_print="two")


def test_results_of_before_are_held_against_what_they_tell(tmp_path):
    _check_same(tmp_path, task="classification", data={"classes": [{"label": "sea", "count": 1}]})
    _check_same(tmp_path, data={"classes": [1, 2]})
    with pytest.raises(SettingsError, match="with other labels or for another task"):
        _check_same(tmp_path, data={"classes": [{"label": "fish", "count": 1}]})
