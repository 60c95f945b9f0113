import json
import os

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from headstart.errors import FormatError, SettingsError
from headstart.hub.bundle import PretrainedWordVectors
from headstart.hub.store import load_encoder
from headstart.storage import file_sha256
from headstart.transfer.estimators import TextClassifier
from headstart.transfer.loading import load
from headstart.transfer.methods import Features, Majority, Probe, Scratch, TfIdf


@pytest.fixture(scope="module")
def fitted(encoder, task, brief):
    """A fitted classifier of each form."""
    methods = {
        "constant": Majority(),
        "tf-idf": TfIdf(),
        "encoder": Probe(),
        "pipeline": Features(training=brief),
        "scratch": Scratch(width=8, training=brief),
    }
    return {name: TextClassifier(encoder, method).fit(*task) for name, method in methods.items()}


@pytest.fixture(params=["constant", "tf-idf", "encoder", "pipeline", "scratch"])
def folder(request, fitted, tmp_path):
    """The folder of a classifier of each form."""
    return fitted[request.param].save(tmp_path / "model")


def sign(folder):
    """Write a manifest that fits the folder's files, as one who tampers with them would."""
    names = [file.name for file in folder.iterdir() if file.name != "manifest.json"]
    sums = {name: file_sha256(folder / name) for name in names}
    (folder / "manifest.json").write_text(json.dumps({"sha256": sums}))


def change_config(folder, change):
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))
    sign(folder)


def change_tensors(folder, change):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")
    sign(folder)


def truncate(file):
    file.write_bytes(file.read_bytes()[:-7])


def flip(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("damage", [truncate, flip, os.remove])
def test_damage_to_any_file_is_named(folder, damage):
    for name in sorted(os.listdir(folder)):
        whole = (folder / name).read_bytes()
        damage(folder / name)
        with pytest.raises(FormatError) as told:
            load(folder)
        if name != "manifest.json" or damage is not flip:  # a flipped sum accuses its file
            assert name in str(told.value)
        (folder / name).write_bytes(whole)
    load(folder)


@pytest.mark.parametrize("damage", [truncate, os.remove])
def test_damage_that_the_manifest_hides_is_named(folder, damage):
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        if not (folder / name).exists():
            continue
        whole = (folder / name).read_bytes()
        damage(folder / name)
        sign(folder)
        with pytest.raises(FormatError) as told:
            load(folder)
        assert str(folder) in str(told.value)
        (folder / name).write_bytes(whole)
    sign(folder)
    load(folder)


def test_every_tensor_is_needed(folder):
    for name in load_file(folder / "model.safetensors"):
        whole = (folder / "model.safetensors").read_bytes()
        change_tensors(folder, lambda tensors, name=name: tensors.pop(name))
        with pytest.raises(FormatError, match=name):
            load(folder)
        (folder / "model.safetensors").write_bytes(whole)
    sign(folder)
    load(folder)


CONFIGS = {
    "another form": lambda config: config["model"].update(form="quantum"),
    "no form": lambda config: config["model"].pop("form"),
    "no model": lambda config: config.pop("model"),
    "a model that is a list": lambda config: config.update(model=[1]),
    "no classes": lambda config: config.pop("classes"),
    "one class too many": lambda config: config["classes"].append("zebra"),
    "another type of labels": lambda config: config.update(dtype="<M8[ns]"),
    "an unknown type of labels": lambda config: config.update(dtype="magic"),
    "another method": lambda config: config["method"].update(name="magic"),
    "a method that is a list": lambda config: config.update(method=["frozen"]),
    "an impossible setting": lambda config: config["method"].update(training={"hidden": -1}),
    "an unknown parameter": lambda config: config["parameters"].update(colour="red"),
    "parameters that are no table": lambda config: config.update(parameters=3),
    "a proof of something else": lambda config: config.update(proof={"unknown": []}),
    "another format": lambda config: config.update(format=99),
}


@pytest.mark.parametrize("change", CONFIGS.values(), ids=CONFIGS)
def test_a_config_that_does_not_fit_is_refused(folder, change):
    change_config(folder, change)
    with pytest.raises(FormatError, match="model"):
        load(folder)


def test_an_unknown_kind_is_refused(folder):
    change_config(folder, lambda config: config.update(kind="sculpture"))
    with pytest.raises(FormatError, match="'sculpture', which is not an encoder"):
        load(folder)


def test_sizes_that_do_not_fit_are_refused(fitted, tmp_path):
    folder = fitted["pipeline"].save(tmp_path / "model")
    change_config(folder, lambda config: config["model"].update(hidden=10**6))
    with pytest.raises(FormatError, match="size mismatch"):
        load(folder)
    folder = fitted["encoder"].save(tmp_path / "probe")
    name = "encoder.embedding.weight"
    change_tensors(folder, lambda tensors: tensors.update({name: tensors[name][:50].clone()}))
    with pytest.raises(FormatError, match="102 words but 50 vectors"):
        load(folder)


def test_what_is_not_there_is_named(tmp_path, fitted):
    with pytest.raises(FormatError, match=r"nowhere: no such file or folder"):
        load(tmp_path / "nowhere")
    with pytest.raises(FormatError, match=r"manifest\.json: no such file"):
        load(tmp_path)
    fitted["pipeline"].save(tmp_path / "best")
    with pytest.raises(FormatError, match=r"is not a saved model; did you mean .*best\?$"):
        load(tmp_path)


@pytest.mark.parametrize("source", [None, 3, "", b"glove.txt"])
def test_what_is_no_path_is_refused(source):
    for place in (load, load_encoder):
        with pytest.raises(SettingsError, match=r"^expected the path or Hub id of a model, got "):
            place(source)


def test_loading_runs_nobodys_code(tmp_path, fitted):
    """A pickle in the place of the weights is refused, not executed."""
    folder = fitted["pipeline"].save(tmp_path / "model")
    torch.save({"weight": torch.zeros(2)}, folder / "model.safetensors")
    sign(folder)
    with pytest.raises(FormatError, match=r"model\.safetensors: not readable"):
        load(folder)


@pytest.mark.parametrize("header", ["", "2 3\n"], ids=["GloVe", "word2vec"])
def test_published_text_files_are_loaded(tmp_path, header):
    file = tmp_path / "vectors.txt"
    file.write_text(header + "cat 0.5 -1 2\ndog 0.25 3 1\n")
    loaded = load(str(file))
    assert isinstance(loaded, PretrainedWordVectors)
    assert loaded.words == ["cat", "dog"]
    assert loaded.matrix.tolist() == [[0.5, -1, 2], [0.25, 3, 1]]
    classifier = TextClassifier(file, Probe()).fit(["cat cat", "dog"], ["c", "d"])
    assert classifier.predict(["cat", "dog"]).tolist() == ["c", "d"]


def test_an_encoders_folder_is_loaded(tmp_path, encoder, task):
    loaded = load(encoder.save(tmp_path / "encoder"))
    assert isinstance(loaded, PretrainedWordVectors)
    predicted = [TextClassifier(each, Probe()).fit(*task) for each in (encoder, loaded)]
    assert np.array_equal(*(classifier.predict_proba(task[0]) for classifier in predicted))
