"""ELMo's published files: the reference vectors that came with them, and files that are damaged."""

import builtins
import json
import shutil

import numpy as np
import pytest

from headstart.errors import FormatError, MissingExtraError
from headstart.hub.elmo import PretrainedElmo
from headstart.hub.store import load_encoder

h5py = pytest.importorskip("h5py", reason="the extra elmo is not installed")

RELEASES = {
    "bilm_tf": ("bilm_tf/model", "lm_embeddings_sentences.json"),
    "allennlp_elmo": ("allennlp_elmo", "sentences.json"),
}
OPTIONS = {
    "lstm": {
        "dim": 6, "projection_dim": 4, "n_layers": 2, "cell_clip": 3, "proj_clip": 3,
        "use_skip_connections": True,
    },
    "char_cnn": {
        "embedding": {"dim": 3}, "filters": [[1, 2], [2, 3]], "n_highway": 1,
        "n_characters": 262, "max_characters_per_token": 50, "activation": "relu",
    },
}  # fmt: skip


@pytest.fixture(params=RELEASES)
def release(request, shared_data):
    folder, sentences = RELEASES[request.param]
    return shared_data / "fixtures" / folder, sentences


# The published reference


def test_the_top_layer_is_the_published_one(release):
    folder, name = release
    elmo = load_encoder(folder)
    assert isinstance(elmo, PretrainedElmo)
    files = [
        [sentence.split() for sentence in sentences]
        for sentences in json.loads((folder / name).read_text())
    ]
    in_turn = [words for batch in zip(*files, strict=True) for words in batch]
    states = elmo.word_states(in_turn, stateful=True, batch_size=3)
    for number in range(3):
        with h5py.File(folder / f"lm_embeddings_{number}.hdf5") as expected:
            for row in range(10):
                top = states[3 * row + number][-1]
                both = np.concatenate(expected[str(row)][()], -1)
                np.testing.assert_allclose(top, both, atol=1e-5)
    fresh = elmo.word_states(in_turn, batch_size=3)
    assert all(np.allclose(a, b, atol=1e-5) for a, b in zip(states[:3], fresh[:3], strict=True))
    assert max(np.abs(a - b).max() for a, b in zip(states, fresh, strict=True)) > 0.1


def test_the_token_layer_is_the_published_one(shared_data):
    folder = shared_data / "fixtures/allennlp_elmo"
    words = (folder / "vocab_test.txt").read_text().split("\n")[:-1]
    with h5py.File(folder / "elmo_token_embeddings.hdf5") as file:
        expected = file["embedding"][()]
    states = load_encoder(folder).word_states([words])[0]
    ordinary = [n for n, word in enumerate(words) if word not in ("<S>", "</S>")]
    assert len(ordinary) > 400
    np.testing.assert_allclose(states[0, ordinary, :16], expected[ordinary], atol=1e-5)
    np.testing.assert_array_equal(states[0, :, :16], states[0, :, 16:])


def test_what_was_published_can_be_saved_as_ours(release, tmp_path):
    elmo = load_encoder(release[0])
    loaded = load_encoder(elmo.save(tmp_path / "elmo"))
    assert loaded.fingerprint == elmo.fingerprint
    assert loaded.config == json.loads(json.dumps(elmo.config))
    sentence = [["A", "sentence", "."]]
    np.testing.assert_array_equal(loaded.word_states(sentence)[0], elmo.word_states(sentence)[0])


# Files made here


def write(folder, options=OPTIONS):
    """Write a release with random weights."""
    folder.mkdir()
    (folder / "options.json").write_text(json.dumps(options))
    random = np.random.default_rng(0)
    lstm, cnn = OPTIONS["lstm"], OPTIONS["char_cnn"]
    letters, cells, width = cnn["embedding"]["dim"], lstm["dim"], lstm["projection_dim"]
    with h5py.File(folder / "weights.hdf5", "w") as file:

        def put(name, *shape):
            file[name] = np.float32(random.normal(size=shape))

        put("char_embed", 261, letters)
        for at, (window, number) in enumerate(cnn["filters"]):
            put(f"CNN/W_cnn_{at}", 1, window, letters, number)
            put(f"CNN/b_cnn_{at}", number)
        for part in ("carry", "transform"):
            put(f"CNN_high_0/W_{part}", 5, 5)
            put(f"CNN_high_0/b_{part}", 5)
        put("CNN_proj/W_proj", 5, width)
        put("CNN_proj/b_proj", width)
        for direction in range(2):
            for layer in range(2):
                cell = f"RNN_{direction}/RNN/MultiRNNCell/Cell{layer}/LSTMCell"
                put(f"{cell}/W_0", 2 * width, 4 * cells)
                put(f"{cell}/B", 4 * cells)
                put(f"{cell}/W_P_0", cells, width)
    return folder


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "elmo")


def changed(section, **values):
    return {**OPTIONS, section: {**OPTIONS[section], **values}}


def test_options_are_sizes(folder):
    elmo = load_encoder(folder)
    config = elmo.model.config
    assert (config.projection, config.cells, config.layers, config.highways) == (4, 6, 2, 1)
    assert (config.cell_clip, config.projection_clip, config.skip) == (3.0, 3.0, True)
    assert config.filters == ((1, 2), (2, 3))
    assert elmo.lineage["loaded"]["matched"] == 23
    assert elmo.word_states([["x", "y"]])[0].shape == (3, 2, 8)


def test_what_the_model_has_no_place_for_is_told(folder):
    with h5py.File(folder / "weights.hdf5", "a") as file:
        file["softmax/W"] = np.zeros(3, np.float32)
    assert load_encoder(folder).lineage["loaded"]["unexpected"] == ["softmax/W"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (changed("lstm", n_layers=3), "the group RNN_0/RNN/MultiRNNCell/Cell2 is missing, but"),
        (changed("lstm", n_layers=1), "RNN_0/RNN/MultiRNNCell/Cell1/LSTMCell/B is not in options"),
        (changed("lstm", dim=5), "LSTMCell/W_0 has shape 8x24, but options.json requires 8x20"),
        (changed("lstm", dim="6"), "lstm: 'dim' must be a whole number from 1 to .*, got '6'"),
        (changed("lstm", cell_clip="3"), "'cell_clip' must be a number above 0, got '3'"),
        (changed("lstm", proj_clip=-3), "projection_clip must be above 0 or None, got -3"),
        (changed("lstm", use_skip_connections=1), "'use_skip_connections' must be true or false"),
        (changed("char_cnn", filters=[[1, 2]]), "0/W_carry has shape 5x5, but .* requires 2x2"),
        (changed("char_cnn", filters=[[1]]), "'filters' must be pairs of width and number"),
        (changed("char_cnn", n_highway=0), "CNN_high_0/W_carry is not in options.json"),
        (changed("char_cnn", n_highway=2), "the group CNN_high_1 is missing"),
        (changed("char_cnn", n_characters=300), "'n_characters' is 300"),
        (changed("char_cnn", activation="gelu"), "'activation' is 'gelu'"),
        (changed("char_cnn", embedding={}), "char_cnn: embedding: 'dim' is missing"),
        (changed("char_cnn", embedding=None), "char_cnn: 'embedding' is missing"),
        ({"lstm": OPTIONS["lstm"]}, "'char_cnn' is missing"),
    ],
)  # fmt: skip
def test_options_and_weights_that_disagree_are_refused(tmp_path, options, message):
    with pytest.raises(FormatError, match=message) as caught:
        load_encoder(write(tmp_path / "elmo", options))
    assert "\n" not in str(caught.value)


def damage(folder, what):
    path = folder / "weights.hdf5"
    name = "CNN_proj/W_proj"
    if what == "truncated":
        path.write_bytes(path.read_bytes()[:2000])
        return
    if what == "elsewhere":
        shutil.copy(path, folder / "other.h5")
    with h5py.File(path, "a") as file:
        array = file[name][()]
        del file[name]
        if what == "no group":
            del file["CNN_proj"]
        elif what == "a group":
            file.create_group(name)
        elif what == "integers":
            file[name] = array.astype(np.int64)
        elif what == "turned":
            file[name] = array.T
        elif what == "not finite":
            file[name] = np.full_like(array, np.nan)
        elif what == "elsewhere":
            file[name] = h5py.ExternalLink("other.h5", name)
        elif what == "another file's bytes":
            other = [(str(folder / "options.json"), 0, array.nbytes)]
            file.create_dataset(name, array.shape, array.dtype, external=other)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("truncated", "not readable as HDF5"),
        ("no dataset", "CNN_proj/W_proj is missing, but options.json requires it"),
        ("no group", "the group CNN_proj is missing"),
        ("a group", "CNN_proj/W_proj is missing"),
        ("integers", "CNN_proj/W_proj contains int64, expected floats"),
        ("turned", "CNN_proj/W_proj has shape 4x5, but options.json requires 5x4"),
        ("not finite", "CNN_proj/W_proj contains NaN or infinity"),
        ("elsewhere", "CNN_proj/W_proj is missing"),
        ("another file's bytes", "CNN_proj/W_proj is missing"),
    ],
)
def test_damaged_weights_are_refused(folder, what, message):
    damage(folder, what)
    with pytest.raises(FormatError, match=message) as caught:
        load_encoder(folder)
    assert "weights.hdf5" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_without_weights_or_with_two_is_refused(folder):
    shutil.copy(folder / "weights.hdf5", folder / "more_weights.hdf5")
    with pytest.raises(FormatError, match="found 1 and 2"):
        load_encoder(folder)
    for path in folder.glob("*.hdf5"):
        path.unlink()
    with pytest.raises(FormatError, match="found 1 and 0"):
        load_encoder(folder)


def test_the_extra_is_named_where_it_is_absent(folder, monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name == "h5py":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"pip install 'headstart\[elmo\]'"):
        load_encoder(folder)
