import json

import pytest
import safetensors
import torch
from safetensors.torch import load_file

from headstart.errors import FormatError, SettingsError, StorageError
from headstart.training import checkpoints
from headstart.training.optimizers import adamw, state_tensors


class Notes:
    def __init__(self):
        self.notes = []

    def note(self, message):
        self.notes.append(message)


@pytest.fixture
def model(tiny):
    return tiny.TinyModel()


def _save(folder, model, *steps):
    optimizer = adamw(model, learning_rate=0.1)
    model(torch.zeros(1, 3, dtype=torch.long)).sum().backward()
    optimizer.step()
    for step in steps:
        files = {
            checkpoints.WEIGHTS: checkpoints.model_tensors(model),
            checkpoints.OPTIMIZER: state_tensors(optimizer),
        }
        checkpoints.save_checkpoint(folder, step, files=files, state={"at": step})
    return optimizer


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_there_and_back(tmp_path, tiny, model):
    optimizer = _save(tmp_path, model, 7)
    found = checkpoints.newest_checkpoint(tmp_path, Notes())
    assert (found.step, found.state["at"]) == (7, 7)
    other = tiny.TinyModel()
    fresh = adamw(other, learning_rate=0.1)
    checkpoints.load_checkpoint(found, checkpoints.model_tensors(other), fresh)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name])
    saved = optimizer.state[model.tokens.weight]
    assert torch.equal(fresh.state[other.tokens.weight]["exp_avg"], saved["exp_avg"])
    assert other.out.weight is other.tokens.weight


def test_shared_weights_stand_once(tmp_path, model):
    _save(tmp_path, model, 1)
    names = set(load_file(tmp_path / "step-00000001" / "model.safetensors"))
    assert names == {"tokens.weight", "mix.weight", "mix.bias", "norm.weight", "norm.bias"}


def test_the_newest_and_the_best_stay(tmp_path, model):
    _save(tmp_path, model, 1, 2, 3, 4, 5)
    checkpoints.prune_checkpoints(tmp_path, keep=2, best=2)
    assert _names(tmp_path) == ["step-00000002", "step-00000004", "step-00000005"]
    checkpoints.prune_checkpoints(tmp_path, keep=1, best=None)
    assert _names(tmp_path) == ["step-00000005"]


def _truncate(file):
    file.write_bytes(file.read_bytes()[:-1])


def _flip(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


DAMAGES = {
    "truncated": _truncate,
    "flipped": _flip,
    "empty": lambda file: file.write_bytes(b""),
    "longer": lambda file: file.write_bytes(file.read_bytes() + b"x"),
    "gone": lambda file: file.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json"])
def test_a_damaged_one_is_set_aside_and_the_one_before_is_used(tmp_path, model, name, damage):
    _save(tmp_path, model, 1, 2)
    DAMAGES[damage](tmp_path / "step-00000002" / name)
    notes = Notes()
    assert checkpoints.newest_checkpoint(tmp_path, notes).step == 1
    assert _names(tmp_path) == ["step-00000001", "step-00000002.corrupt"]
    assert str(tmp_path / "step-00000002" / name) in notes.notes[0]
    _save(tmp_path, model, 2)
    DAMAGES[damage](tmp_path / "step-00000002" / name)
    assert checkpoints.newest_checkpoint(tmp_path, notes).step == 1
    assert _names(tmp_path)[1:] == ["step-00000002.corrupt", "step-00000002.corrupt2"]


def test_a_damaged_manifest_counts_too(tmp_path, model):
    _save(tmp_path, model, 1, 2)
    (tmp_path / "step-00000002" / "manifest.json").write_text('{"sha256": {}}')
    assert checkpoints.newest_checkpoint(tmp_path, Notes()).step == 1


def test_none_whole_is_an_error_again_and_again(tmp_path, model):
    _save(tmp_path, model, 1, 2)
    for step in (1, 2):
        _truncate(tmp_path / f"step-0000000{step}" / "model.safetensors")
    for _ in range(2):
        with pytest.raises(FormatError, match="none of its 2 checkpoints is intact"):
            checkpoints.newest_checkpoint(tmp_path, Notes())


def test_no_checkpoint_is_no_error(tmp_path):
    assert checkpoints.newest_checkpoint(tmp_path, Notes()) is None
    assert checkpoints.checkpoint_at(tmp_path, 3, Notes()) is None


@pytest.mark.parametrize("width", [4, 16])
def test_other_shapes_name_the_tensor(tmp_path, tiny, model, width):
    _save(tmp_path, model, 1)
    found = checkpoints.newest_checkpoint(tmp_path, Notes())
    message = rf"model.safetensors: tensor 'tokens.weight' is .* \[11, 8\], .* \[11, {width}\]"
    with pytest.raises(FormatError, match=message):
        checkpoints.load_checkpoint(found, checkpoints.model_tensors(tiny.TinyModel(width=width)))


def test_other_names_and_types_name_the_tensor(tmp_path, tiny, model):
    _save(tmp_path, model, 1)
    found = checkpoints.newest_checkpoint(tmp_path, Notes())
    before = model.tokens.weight.detach().clone()
    model.mix.to(torch.float64)
    with pytest.raises(FormatError, match=r"'mix.(weight|bias)' is torch.float32"):
        checkpoints.load_checkpoint(found, checkpoints.model_tensors(model))
    model.norm = None
    model.mix.to(torch.float32)
    with pytest.raises(FormatError, match=r"'norm.(weight|bias)' is unknown"):
        checkpoints.load_checkpoint(found, checkpoints.model_tensors(model))
    model.norm = torch.nn.LayerNorm(8)
    model.more = torch.nn.Linear(1, 1)
    with pytest.raises(FormatError, match=r"'more.weight' is missing"):
        checkpoints.load_checkpoint(found, checkpoints.model_tensors(model))
    assert torch.equal(model.tokens.weight, before)


def test_a_full_disk_leaves_the_others(tmp_path, model, monkeypatch):
    _save(tmp_path, model, 1)

    def full(tensors, path, metadata):
        path.write_bytes(b"half of it")
        raise safetensors.SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("headstart.weights.save_file", full)
    with pytest.raises(StorageError, match="No space left"):
        _save(tmp_path, model, 2)
    assert _names(tmp_path) == ["step-00000001"]


def test_another_run_is_refused_and_each_difference_named(tmp_path):
    description = {"identity": {"model": {"width": 8}, "corpus": "a"}, "settings": {"seed": 0}}
    checkpoints.open_run(tmp_path, description)
    checkpoints.open_run(tmp_path, description)
    other = {"identity": {"model": {"width": 16}, "more": 1}, "settings": {"seed": 0}}
    with pytest.raises(SettingsError) as error:
        checkpoints.open_run(tmp_path, other)
    told = str(error.value)
    assert 'model.width: 8 -> 16; corpus: "a" -> absent; more: absent -> 1;' in told
    assert "seed" not in told


def test_what_a_killed_process_left_is_cleared(tmp_path, model):
    _save(tmp_path, model, 1)
    checkpoints_only = {"identity": {}, "settings": {}}
    with pytest.raises(FormatError, match=r"run.json: missing next to checkpoints"):
        checkpoints.open_run(tmp_path, checkpoints_only)
    (tmp_path / "run.json").write_text(json.dumps({"format": 1}))
    (tmp_path / ".step-00000002.abc").mkdir()
    (tmp_path / ".run.json.abc").mkdir()
    checkpoints.open_run(tmp_path, checkpoints_only)
    assert _names(tmp_path) == ["run.json", "step-00000001"]
