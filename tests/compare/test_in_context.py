"""CoVe and ELMo in a comparison: read once, pretrained once, and in the results and the report."""

import json
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace

import pytest

from headstart.compare import cells, encoders, reading, study
from headstart.compare.cells import Terms, run_cell
from headstart.compare.contestants import Contestant
from headstart.compare.reading import Texts, read_texts, reads_frozen, remember, seconds_a_text
from headstart.compare.study import compare
from headstart.errors import InterruptedRunError, SettingsError
from headstart.progress import SILENT
from headstart.transfer.loading import load
from headstart.transfer.methods import FineTune
from headstart.transfer.token_states import TokenMemory, token_states

pytestmark = pytest.mark.usefixtures("forked")
TRANSFERS = ("probe", "frozen", "finetune")
read = partial(read_texts, progress=SILENT)


@pytest.fixture(params=["elmo", "cove"])
def reader(request, elmo, cove):
    """The encoder, which forgets what a test let it remember."""
    one = {"elmo": elmo, "cove": cove}[request.param]
    yield one
    vars(one).pop("memory", None)


def test_all_their_transfers_ask_what_the_frozen_encoder_says(reader, bert):
    for transfer in TRANSFERS:
        assert reads_frozen(Contestant.parse(f"mine=f:{transfer}"), reader)
    assert not reads_frozen(Contestant.parse("mine=f:scratch"), bert)


def test_states_are_read_once_and_looked_up(reader, rows, tmp_path, monkeypatch):
    train, test = rows(12), rows(6, seed=1)
    texts = Texts.of(train, test)
    contestants = [Contestant.parse(f"mine=f:{name}") for name in TRANSFERS]
    expected = token_states(reader, test.texts, max_tokens=reading.MAX_TOKENS)
    files = read(texts, contestants, {"mine": reader}, tmp_path).files
    assert list(files) == ["mine"]
    remember(reader, texts, files["mine"])
    assert isinstance(vars(reader)["memory"], TokenMemory)
    monkeypatch.setattr(reader.model, "encode", None)  # it cannot read any more
    found = token_states(reader, test.texts, max_tokens=reading.MAX_TOKENS)
    assert (found.values == expected.values).all()
    assert read(texts, contestants, {"mine": reader}, tmp_path).files == files


@pytest.mark.parametrize("most", [0, 900, 3000, 10**9])
def test_no_more_is_kept_than_there_is_room_for(most, elmo, rows, tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "MOST_BYTES", most)
    texts = Texts.of(rows(12), rows(6, seed=1))
    one = [Contestant.parse("mine=f:frozen")]
    file = read(texts, one, {"mine": elmo}, tmp_path).files["mine"]
    memory = TokenMemory.load(file, texts.texts, reading.MAX_TOKENS)
    assert memory.states.values.nbytes <= most
    a_text = 2 * 3 * 8 * 7  # bytes a number, layers, numbers, words
    assert len(memory.rows) == min(len(texts.texts), most // a_text)
    assert list(memory.rows) == list(texts.texts[: len(memory.rows)])


def test_the_speed_is_that_of_reading_and_not_of_remembering(reader, rows, tmp_path, monkeypatch):
    train = rows(12)
    texts = Texts.of(train, train)
    one = [Contestant.parse("mine=f:frozen")]
    remember(reader, texts, read(texts, one, {"mine": reader}, tmp_path).files["mine"])
    memory = vars(reader)["memory"]
    monkeypatch.setattr(TokenMemory, "rows", None, raising=False)
    assert seconds_a_text(reader, train.texts) > 0
    assert vars(reader)["memory"] is memory


@pytest.mark.slow
@pytest.mark.parametrize("transfer", TRANSFERS)
def test_a_cell_comes_out_as_without_a_memory(
    reader, rows, tmp_path, transfer, monkeypatch, one_process
):
    train, test = rows(60), rows(45, seed=1)
    one = Contestant.parse(f"mine=f:{transfer}")
    terms = Terms(
        train=train, test=test, data_print="", encoders={}, prints={}, folder=tmp_path,
        widths={"mine": None}, in_context=frozenset(["mine"]),
    )  # fmt: skip
    texts = Texts.of(train, test)
    found = [run_cell(terms, one, reader, labels=12, seed=0)]
    for most in (4000, 10**9):
        monkeypatch.setattr(reading, "MOST_BYTES", most)
        files = read(texts, [one], {"mine": reader}, tmp_path / str(most)).files
        remember(reader, texts, files["mine"])
        remembering = Terms(**{**vars(terms), "states": files})
        found.append(run_cell(remembering, one, reader, labels=12, seed=0))
    for cell in found:
        for measured in ("seconds", "predictions_per_second", "spent"):
            cell.pop(measured)
    assert found[1] == found[0]
    assert found[2] == found[0]


def test_the_cells_know_what_reads_in_context(tmp_path, rows):
    terms = Terms(
        train=rows(12), test=rows(6), data_print="", encoders={}, prints={"mine": "a"},
        folder=tmp_path, widths={"mine": None}, in_context=frozenset(["mine"]),
    )  # fmt: skip
    mine, other = (Contestant.parse(f"{name}=f:finetune") for name in ("mine", "other"))
    assert isinstance(terms.method(mine), FineTune)
    assert terms.method(mine).encoder_rate == 5e-4
    assert terms.method(other).encoder_rate == 4e-3


# From end to end


@pytest.fixture
def few_steps(monkeypatch):
    """Let three steps be enough, so that no test depends on a machine's speed."""
    monkeypatch.setattr(encoders, "pretrain", partial(encoders.pretrain, steps=3))


@pytest.fixture
def one_process(monkeypatch, brief):
    """Run the cells in this process, which need not import anything then, and in brief."""

    def here(self, work, *, at_once=None):
        monkeypatch.setitem(cells._WORKER, "terms", self.terms)
        cells._encoder.cache_clear()
        cells._texts.cache_clear()
        for part in work:
            yield part, cells._do(part)

    monkeypatch.setattr(cells.Processes, "do", here)


METHODS = ["scratch", "glove={}:frozen", "elmo:frozen", "cove:frozen", "elmo:finetune"]


def compare_all(files, pairs, **options):
    settings = {"label_budgets": [12], "seeds": 1, "workers": 1, "pretrain_minutes": 0.1}
    return compare(
        files / "train.csv",
        test=files / "test.csv",
        parallel=pairs,
        methods=[method.format(files / "vectors.txt") for method in METHODS],
        **{"out": files / "out", **settings, **options},
    )


class StopAfter:
    """Progress that is stopped by Ctrl-C after so many cells."""

    def __init__(self, number):
        self.left = number

    @contextmanager
    def stage(self, description, total=None, unit=""):
        def advance(amount):
            if description == "comparing":
                self.left -= amount
                if self.left < 0:
                    raise KeyboardInterrupt

        yield advance

    def note(self, message):
        pass


@pytest.mark.slow
def test_cove_and_elmo_take_part_from_data_to_winner(files, pairs, few_steps, one_process):
    with pytest.raises(InterruptedRunError):
        compare_all(files, pairs, progress=StopAfter(2))
    first = {path: path.read_text() for path in (files / "out" / "cells").iterdir()}
    assert 2 < len(first) + 1 <= 5
    found = compare_all(files, pairs)
    for path, text in first.items():
        assert path.read_text() == text, "a finished cell was run again"
    results = json.loads((files / "out" / "results.json").read_text())
    methods = ["scratch", "glove:frozen", "elmo:frozen", "cove:frozen", "elmo:finetune"]
    assert [row["method"] for row in found.table] == methods
    assert set(results["proofs"]) == set(methods[1:])
    for name, moved in (("elmo:frozen", False), ("cove:frozen", False), ("elmo:finetune", True)):
        assert (results["proofs"][name]["distance"] > 0) == moved
    assert results["proofs"]["elmo:frozen"]["tokens_covered"] == 1.0
    weights = {cell["method"]: cell["chosen"].get("layer_weights") for cell in results["cells"]}
    assert {name for name, shares in weights.items() if shares} == {"elmo:frozen", "elmo:finetune"}
    assert sum(weights["elmo:frozen"]) == pytest.approx(1.0, abs=1e-3)
    settings = results["settings"]
    assert settings["elmo:finetune"]["encoder_rate"] == 5e-4
    shared = settings["glove:frozen, elmo:frozen, cove:frozen"]
    assert shared["layers"] == {
        "word_vectors": True, "layer_norm": False, "l2": 1e-3, "output": False
    }  # fmt: skip
    assert settings["pretrain cove"]["size"] == settings["pretrain elmo"]["size"] == "tiny"
    assert len(list((files / "out" / "states").glob("*.offsets.npy"))) == 2
    assert results["command"] is None, "pairs in memory have no name"
    text = (files / "out" / "report.html").read_text()
    assert all(name in text for name in methods)

    whole = compare_all(files, pairs, out=files / "whole")
    kept = ("method", "labels", "seed", "value", "validation_loss", "correct", "chosen", "proof")
    first, second = (
        [{name: cell[name] for name in kept} for cell in each.results["cells"]]
        for each in (found, whole)
    )
    assert first == second


@pytest.mark.slow
def test_a_winner_that_reads_in_context_is_kept(files, elmo):
    method = f"mine={elmo.save(files / 'elmo')}:frozen"
    found = compare(
        files / "train.csv", test=files / "test.csv", methods=[method], label_budgets=[12],
        seeds=1, workers=1, out=files / "out",
    )  # fmt: skip
    assert found.best["method"] == "mine:frozen"
    model = load(files / "out" / "best")
    assert model.model_.encoder.fingerprint == elmo.fingerprint
    assert model.predict(["wave tide ship", "hill tree stone"]).shape == (2,)


@pytest.mark.parametrize("methods", [["cove:frozen"], ["scratch", "cove:probe"]])
def test_cove_without_translations_is_one_clear_error(files, methods):
    with pytest.raises(SettingsError, match="cove: no translations to learn from") as error:
        compare(files / "train.csv", methods=methods, out=files / "out")
    assert "\n" not in str(error.value)
    assert not (files / "out" / "results.json").exists()


@pytest.mark.parametrize("form", [str, lambda path: path])
@pytest.mark.parametrize("names", [["train.en", "train.de"], ["pairs.tsv"]])
def test_files_of_translations_are_in_the_command(files, pairs, form, names, monkeypatch):
    for side, name in enumerate(("train.en", "train.de")):
        (files / name).write_text("".join(f"{pair[side]}\n" for pair in pairs))
    (files / "pairs.tsv").write_text("".join("\t".join(pair) + "\n" for pair in pairs))
    plans = []
    monkeypatch.setattr(study, "_carry_out", lambda plan, *_: plans.append(plan) or {})
    monkeypatch.setattr(study, "write_comparison", lambda found: None)
    given = [form(files / name) for name in names]
    for parallel in (given, given[0]) if len(given) == 1 else (given,):
        found = compare(files / "train.csv", parallel=parallel, out=files / "out")
        expected = " ".join(f"--parallel {files / name}" for name in names)
        assert expected in found.results["command"]
        assert (
            list(zip(plans[-1].parallel.sources, plans[-1].parallel.targets, strict=True)) == pairs
        )


@pytest.mark.parametrize("given", [None, [("a dog", "ein Hund")]])
@pytest.mark.parametrize("fetched", [None, [("two dogs", "zwei Hunde")]])
def test_the_demo_has_cove_where_there_are_translations(
    given, fetched, rows, monkeypatch, tmp_path
):
    train, test = rows(60), rows(45, seed=1)
    pairs = None if fetched is None else study.as_parallel(fetched)
    demo = SimpleNamespace(
        train=train, test=test, corpus=None, parallel=pairs, glove="g.npy", minilm="m"
    )
    monkeypatch.setattr(study, "fetch_demo", lambda task, progress: demo)
    plans = []

    def carry_out(plan, settings, progress):
        plans.append(plan)
        raise KeyboardInterrupt

    monkeypatch.setattr(study, "_carry_out", carry_out)
    for quick in (False, True):
        with pytest.raises(InterruptedRunError):
            compare(parallel=given, out=tmp_path, quick=quick)
    names, quick_names = ([one.name for one in plan.contestants] for plan in plans)
    assert not any(name.startswith(("cove", "elmo")) for name in quick_names)
    assert ("cove:frozen" in names) == (given is not None or fetched is not None)
    assert {"elmo:frozen", "elmo:finetune"} <= set(names)
    expected = given or fetched
    assert (plans[0].parallel and plans[0].parallel.sources[0]) == (expected and expected[0][0])
