"""A1 to A5: what was killed, or damaged, goes on as if nothing had happened.

H2: defects that are built in on purpose, each of which these checks must notice.
"""

import contextlib
import itertools
import random
import shutil

import pytest
import tiny_run
import torch
from benchmarks import soak
from tiny_run import Killed, Notes, digest, start

from headstart.errors import FormatError, StorageError
from headstart.storage import MANIFEST, file_sha256, read_json, write_json
from headstart.training import checkpoints, runs
from headstart.training.optimizers import adamw, state_tensors


def kill():
    raise Killed


def train_tiny(folder):
    """Train for four steps, saving after two of them and pruning, and return what that left."""
    model, *_ = start(folder, budget=tiny_run.Budget(steps=4), validate_every=4, keep=1)
    return digest(model, folder)


def test_A1_the_same_run_twice_is_the_same_and_another_seed_is_not(tmp_path):
    runs = {
        "one": {},
        "two": {},
        "validated_more_often": {"validate_every": 2},
        "with_tensorboard": {"track": tmp_path / "track"},
        "another_seed": {"seed": 6},
    }
    found = {name: digest(start(tmp_path / name, **how)[0], tmp_path / name)
             for name, how in runs.items()}  # fmt: skip
    training = {
        name: (weights, [line for line in log if line["kind"] == "training"])
        for name, (weights, log) in found.items()
    }
    assert found["one"] == found["two"]
    assert training["one"] == training["validated_more_often"] == training["with_tensorboard"]
    assert training["one"] != training["another_seed"]


def survives(folder, expected, number):
    """Kill a run at its so many-th touch of the disk and say whether it went on as if nothing was.

    Returns:
        Whether it did, and whether it had been killed at all.
    """
    killed = soak.kill_at_touch(train_tiny, folder, number)
    try:
        same = train_tiny(folder) == expected
    except FormatError:  # no checkpoint is whole: the run is lost
        same = False
    left = [path for path in folder.glob(".*") if "lock" not in path.name]
    return same and not left and not list(folder.glob("*.corrupt")), killed


@pytest.mark.slow
def test_A2_exhaustive_kill_matrix(tmp_path):
    expected = train_tiny(tmp_path / "whole")
    number, killed = 0, True
    while killed:
        number += 1
        folder = tmp_path / f"run{number}"
        survived, killed = survives(folder, expected, number)
        assert survived, number
        shutil.rmtree(folder)
    assert number > 40  # touches of the disk


@pytest.mark.slow
@pytest.mark.parametrize("objective", soak.OBJECTIVES)
def test_A3_random_kills_of_every_objective_cost_only_time(objective, tmp_path, monkeypatch):
    monkeypatch.setattr(soak.skip_gram, "_CHUNK", soak.skip_gram._CHUNK)
    monkeypatch.setattr(soak.glove, "_CHUNK", soak.glove._CHUNK)
    counts = soak.soak(objective, 5, tmp_path, seed=1)
    assert counts["kills"] == counts["kills_resumed"] == 5
    assert counts["resumed_exactly"] == counts["runs"]


POSITIONS = {
    "the first step": 1,
    "the middle of an epoch": 4,
    "the last batch of an epoch": 8,
    "the first of the second": 9,
    "the first of the third": 17,
}


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("part", [0, 3])
def test_A4_no_sample_is_lost_or_seen_twice(position, part, tmp_path):
    how = {"budget": tiny_run.Budget(steps=18), "save_every": 3, "validate_every": 6}
    whole, objective, _ = start(tmp_path / "whole", **how)
    parts = []

    def kill_at_part():
        parts.append(0)
        if len(parts) > part:  # inside of what is added up over four micro-batches
            kill()

    with pytest.raises(Killed):
        start(tmp_path / "run", at_step=POSITIONS[position], act=kill_at_part, **how)
    model, again, report = start(tmp_path / "run", **how)
    at = report["resumed_at"]
    assert POSITIONS[position] - 1 - at < 3  # no more is lost than was not saved
    assert again.seen == objective.seen[at:]
    assert digest(model, tmp_path / "run") == digest(whole, tmp_path / "whole")


@pytest.mark.parametrize("when", ["during a validation", "after it, before its weights are kept"])
def test_A4_a_kill_around_a_validation(when, tmp_path, monkeypatch):
    whole, *_ = start(tmp_path / "whole")
    owner, name = {
        "during a validation": (tiny_run.TinyObjective, "validate"),
        "after it, before its weights are kept": (checkpoints, "save_checkpoint"),
    }[when]
    real, calls = getattr(owner, name), []

    def killing(*args, **kwargs):
        calls.append(0)
        if len(calls) == 2:
            kill()
        return real(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, killing)
        with pytest.raises(Killed):
            start(tmp_path / "run")
    model, *_ = start(tmp_path / "run")
    assert digest(model, tmp_path / "run") == digest(whole, tmp_path / "whole")


def damages(content):
    """Every damage of the matrix, by name."""
    found = {
        "empty": b"",
        "one byte": content[:1],
        "half": content[: len(content) // 2],
        "cut by one": content[:-1],
        "longer by one": content + b"x",
        "gone": None,
    }
    draw = random.Random(0)
    for _ in range(20):
        place, bit = draw.randrange(len(content)), draw.randrange(8)
        flipped = bytearray(content)
        flipped[place] ^= 1 << bit
        found[f"bit {bit} of byte {place}"] = bytes(flipped)
    return found


def two_checkpoints(folder):
    model = tiny_run.TinyModel()
    optimizer = adamw(model, learning_rate=0.1)
    model(torch.zeros(1, 3, dtype=torch.long)).sum().backward()
    optimizer.step()
    for step in (1, 2):
        files = {
            checkpoints.WEIGHTS: checkpoints.model_tensors(model),
            checkpoints.OPTIMIZER: state_tensors(optimizer),
        }
        checkpoints.save_checkpoint(folder, step, files=files, state={})


@pytest.mark.parametrize(
    "name", ["model.safetensors", "optimizer.safetensors", "state.json", "manifest.json"]
)
def test_A5_corruption_matrix(name, tmp_path):
    two_checkpoints(tmp_path / "good")
    content = (tmp_path / "good" / "step-00000002" / name).read_bytes()
    for number, (damage, bad) in enumerate(damages(content).items()):
        folder = tmp_path / str(number)
        shutil.copytree(tmp_path / "good", folder)
        file = folder / "step-00000002" / name
        file.unlink() if bad is None else file.write_bytes(bad)
        progress = Notes()
        if name == MANIFEST and bad is not None and bad.strip() == content.strip():
            continue  # the line's end says nothing
        assert checkpoints.newest_checkpoint(folder, progress).step == 1, damage
        assert (folder / "step-00000002.corrupt").is_dir()
        assert "step-00000002/" in progress.notes[0]


def test_A5_with_no_whole_checkpoint_nothing_starts_from_zero(tmp_path):
    start(tmp_path)
    for file in tmp_path.glob("step-*/model.safetensors"):
        file.write_bytes(b"")
    for _ in range(2):
        with pytest.raises(FormatError, match=r"none of its \d+ checkpoints is intact") as error:
            start(tmp_path)
        assert error.value.exit_code == 2


# H2


@contextlib.contextmanager
def written_where_it_stays(target, **_):
    target.mkdir(parents=True)
    yield target
    sums = {file.name: file_sha256(file) for file in target.iterdir()}
    write_json(target / MANIFEST, {"sha256": sums})


@contextlib.contextmanager
def named_before_it_is_written(target, **_):
    hidden = target.with_name(f".{target.name}.new")
    hidden.mkdir(parents=True)
    hidden.rename(target)
    yield target
    sums = {file.name: file_sha256(file) for file in target.iterdir()}
    write_json(target / MANIFEST, {"sha256": sums})


def order_of_a_global_stream(self, first_step):
    for step in itertools.count(first_step):
        rows = torch.randperm(tiny_run.ROWS)[: self.batch_size]
        self.seen.append((step, rows.tolist()))
        yield [self.rows_RT[pair] for pair in rows.split(2)]


KILLED_BY = {
    "written where it stays": (checkpoints, "new_folder", written_where_it_stays),
    "named before it is written": (checkpoints, "new_folder", named_before_it_is_written),
    "order of a global stream": (tiny_run.TinyObjective, "batches", order_of_a_global_stream),
    "optimizer's state not saved": (runs, "state_tensors", lambda optimizer: {}),
}


@pytest.mark.slow
@pytest.mark.parametrize("defect", [None, *KILLED_BY])
def test_H2_kills_find_defects(defect, tmp_path, monkeypatch):
    if defect is not None:
        monkeypatch.setattr(*KILLED_BY[defect])
    expected = train_tiny(tmp_path / "whole")
    found = [survives(tmp_path / f"run{n}", expected, n)[0] for n in range(10, 60, 4)]
    assert all(found) is (defect is None)


def test_H2_corruption_finds_a_missing_checksum(tmp_path, monkeypatch):
    unchecked = lambda folder: read_json(folder / MANIFEST)  # noqa: E731 - a defect
    monkeypatch.setattr(checkpoints, "check_manifest", unchecked)
    with pytest.raises(AssertionError):
        test_A5_corruption_matrix("model.safetensors", tmp_path)


def test_H2_a_full_disk_finds_pruning_before_the_new_one_is_verified(tmp_path, monkeypatch):
    real = checkpoints.save_checkpoint

    def pruned_first(folder, step, **what):
        checkpoints.prune_checkpoints(folder, keep=1, best=None)
        for path in folder.glob("step-*"):
            shutil.rmtree(path)  # what `keep=1` leaves none of, once the new one stands
        if step == 4:
            raise StorageError("full")
        real(folder, step, **what)

    monkeypatch.setattr(checkpoints, "save_checkpoint", pruned_first)
    with pytest.raises(StorageError):
        start(tmp_path, keep=1)
    assert checkpoints.newest_checkpoint(tmp_path, Notes()) is None  # as A6 never finds it
