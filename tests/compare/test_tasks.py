"""Which task is compared, and what a comparison knows of it."""

import pickle

import pytest

from headstart.compare.rows import without_leaks
from headstart.compare.study import compare
from headstart.compare.tasks import CLASSIFICATION, PAIR, SYMMETRIC, TASKS, Columns, choose_task
from headstart.data.labelled import Dataset
from headstart.data.pairs import PairDataset
from headstart.errors import DataError, SettingsError
from headstart.progress import SILENT
from headstart.transfer.methods import Features


def test_a_task_goes_by_its_name_or_that_of_its_demo():
    assert choose_task(None, None, has_data=True) is CLASSIFICATION
    assert choose_task(None, None, has_data=False) is CLASSIFICATION
    assert choose_task("pair", None, has_data=True) is PAIR
    assert choose_task(None, "pair", has_data=False) is PAIR
    assert choose_task("pair", "pair", has_data=False) is PAIR


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            ("pairs", None, True),
            "unknown task 'pairs'; choose from classification, pair, tagging",
        ),
        (
            (None, "news", False),
            "unknown task 'news'; choose from classification, pair, tagging",
        ),
        ((None, "pair", True), "a demo has its own data; give data or a demo, not both"),
        (("classification", "pair", False), "not for the task 'classification'; leave one out"),
    ],
)
def test_what_does_not_go_together_is_said(asked, message):
    task, demo, has_data = asked
    with pytest.raises(SettingsError, match=message):
        choose_task(task, demo, has_data=has_data)


def test_training_rows_that_are_test_rows_are_left_out():
    train = Dataset(["one  row", "b", "c", "d", "e", "f"], ["x", "y"] * 3)
    kept = without_leaks(CLASSIFICATION, train, Dataset(["one row", "new"], ["x", "y"]))
    assert (kept.texts, kept.lines) == (["b", "c", "d", "e", "f"], [2, 3, 4, 5, 6])
    assert kept.notes == ("Training rows removed because they are also test rows: 1.",)
    assert without_leaks(CLASSIFICATION, train, Dataset(["new"], ["x"])) is train
    with pytest.raises(DataError, match="every training row is also a test row"):
        without_leaks(CLASSIFICATION, train, train)
    with pytest.raises(DataError, match="the only example of class 'y'"):
        without_leaks(CLASSIFICATION, train, Dataset(["b", "d"], ["y", "y"]))
    pairs = PairDataset([("a", each) for each in "bcdef"], ["x", "y", "x", "y", "x"])
    assert without_leaks(PAIR, pairs, pairs.select([4])).texts == pairs.texts[:4]
    swapped = PairDataset([("f", "a")], ["x"])
    assert without_leaks(PAIR, pairs, swapped) is pairs
    assert without_leaks(SYMMETRIC, pairs, swapped).texts == pairs.texts[:4]


def test_processes_can_be_given_any_task():
    for task in TASKS.values():
        again = pickle.loads(pickle.dumps(task))  # noqa: S301 - our own
        assert (again.name, again.estimator) == (task.name, task.estimator)
        assert again.texts([("a", "b")]) == task.texts([("a", "b")])


def test_settings_are_filled_in_as_the_estimators_fill_them():
    texts, pairs = (task.defaults(Features(), whole_model=None) for task in (CLASSIFICATION, PAIR))
    assert (texts.learning_rate, pairs.learning_rate) == (2e-2, 8e-3)


def test_examples_read_as_one_text():
    texts = Dataset(["a b", "c"], ["x", "y"])
    assert texts.as_texts() is texts
    pairs = PairDataset([("a b", "c"), ("", "d")], ["x", "y"], "pairs.csv", [2, 5])
    assert PAIR.texts(pairs.texts) == ["a b", "", "c", "d"]
    assert pairs.as_texts() == Dataset(["a b | c", " | d"], ["x", "y"], "pairs.csv", [2, 5])


def test_files_of_pairs_are_not_taken_for_texts(tmp_path):
    file = tmp_path / "pairs.csv"
    file.write_text("text_a,text_b,label\na,b,x\nc,d,y\n")
    with pytest.raises(DataError) as caught:
        compare(file, out=tmp_path / "out")
    assert str(caught.value) == (
        f"{file}: columns 'text_a' and 'text_b' are those of pair data; compare with task='pair' "
        "(--task pair), or name one column with text_column (--text-column)"
    )
    one = CLASSIFICATION.read(file, Columns(text="text_b"), SILENT)
    assert one.texts == ["b", "d"]
    assert PAIR.read(file, Columns(), SILENT).texts == [("a", "b"), ("c", "d")]


def test_columns_and_data_of_another_task_are_refused(tmp_path):
    file = tmp_path / "texts.csv"
    file.write_text("text,label\na,x\nb,y\n")
    with pytest.raises(SettingsError, match=r"pair columns are only for pairs; .*--task pair"):
        compare(file, pair_columns=["a", "b"], out=tmp_path / "out")
    pairs = PairDataset([("a", "b"), ("c", "d")] * 2, ["x", "y"] * 2)
    with pytest.raises(SettingsError, match=r"a PairDataset, .* 'classification'.*task='pair'"):
        compare(pairs, out=tmp_path / "out")
    texts = Dataset(["a", "b"] * 2, ["x", "y"] * 2)
    with pytest.raises(SettingsError, match=r"a Dataset, .* 'pair'.*task='classification'"):
        compare(texts, task="pair", out=tmp_path / "out")
    with pytest.raises(DataError, match="which columns are the two texts of a pair"):
        compare(file, task="pair", out=tmp_path / "out")
