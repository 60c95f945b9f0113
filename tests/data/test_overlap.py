from headstart.data import overlap
from headstart.data.labelled import Dataset
from headstart.data.overlap import (
    Example,
    find_conflicts,
    find_duplicates,
    find_leaks,
    find_repeats,
    first_occurrences,
    numbered,
    text_key,
)

DATA = Dataset(
    ["caf\u00e9 noir", "other", "cafe\u0301  noir ", "caf\u00e9\u2028noir", "other", "Other"],
    ["x", "y", "x", "z", "y", "y"],
    "f.csv",
    [2, 3, 4, 5, 6, 7],
)


def test_composition_and_white_space_make_no_difference():
    assert len({text_key(text) for text in DATA.texts}) == 3


def test_duplicates_are_counted_with_their_lines():
    found = find_duplicates(DATA)
    assert found.num_rows == 3
    assert [example.lines for example in found.examples] == [(2, 4, 5), (3, 6)]
    assert str(found) == (
        "f.csv: rows that repeat an earlier text: 3 (for instance 'café noir' on lines 2, 4, 5)"
    )


def test_conflicts_are_duplicates_with_different_labels():
    found = find_conflicts(DATA)
    assert (found.num_texts, found.num_rows) == (1, 3)
    assert found.examples[0].lines == (2, 4, 5)
    assert str(found).startswith(
        "f.csv: texts with conflicting labels: 1, in 3 rows (for instance "
    )


def test_duplicates_and_conflicts_are_found_with_one_look_at_each_text(monkeypatch):
    expected, looks = (find_duplicates(DATA), find_conflicts(DATA)), []
    monkeypatch.setattr(overlap, "text_key", lambda text: looks.append(text) or text_key(text))
    assert find_repeats(DATA) == expected
    assert looks == DATA.texts


def test_leaks_are_counted_in_the_test_rows_and_named_in_the_training_rows():
    test = Dataset(["new", "other", "other "], ["x", "y", "y"], "test.csv", [2, 3, 4])
    found = find_leaks(DATA, test)
    assert (found.num_test_rows, found.share) == (2, 2 / 3)
    assert (found.test_indices, found.train_indices) == ((1, 2), (1, 4))
    assert str(found) == (
        "test rows that are also training rows: 2, 66.7% (for instance 'other' on line 3)"
    )
    kept = [index for index in range(len(DATA)) if index not in found.train_indices]
    assert find_leaks(DATA.select(kept), test).num_test_rows == 0


def test_clean_data_have_nothing_to_show():
    clean = Dataset(["a", "b"], ["x", "y"], "f.csv")
    assert str(find_duplicates(clean)) == "f.csv: rows that repeat an earlier text: 0"
    assert find_conflicts(clean).examples == ()
    assert find_leaks(clean, Dataset([], [])).share == 0.0


def test_an_example_is_one_short_line():
    shown = str(Example("a\n\x1b[31m" + "long " * 100, tuple(range(1, 100))))
    assert len(shown) < 110
    assert shown.endswith("on lines 1, 2, 3, 4, 5 and 94 more")
    assert shown.isprintable()


def test_the_first_of_each_key_is_kept():
    assert first_occurrences(["a", "b", "a", "c", "b"]) == [0, 1, 3]


def test_the_rows_of_a_key_share_its_number():
    assert numbered(["b", "a", "b", "c", "a"]).tolist() == [0, 1, 0, 2, 1]
    assert numbered([]).tolist() == []


def test_known_repetitions_of_public_data_are_found(shared_data):
    def sentences(part):
        lines = (shared_data / "sst" / f"stsa.binary.{part}").read_text().splitlines()
        return Dataset([line[2:] for line in lines], [line[0] for line in lines], part)

    assert find_leaks(sentences("train"), sentences("test")).num_test_rows == 2
    assert 9 <= find_duplicates(sentences("train")).num_rows <= 10
