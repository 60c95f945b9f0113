import copy
import json
import os
import resource

import numpy as np
import pytest
import torch

from headstart.errors import DataError, ExistsError, FormatError, SettingsError, StorageError
from headstart.hub.bundle import Pretrained, PretrainedWordVectors, read_folder, write_folder
from headstart.hub.store import load_encoder
from headstart.models.word_vectors import WordVectors
from headstart.tokenize.subwords import SubwordTokenizer
from headstart.tokenize.words import WordTokenizer

WORDS = ["up", "high", "low", "down"]
MATRIX = np.float32([[0, 2], [1, 9], [1, -9], [0, -3]])


def make(words=WORDS, matrix=MATRIX, **settings):
    about = {"config": {"width": 2}, "lineage": {"source": "vectors.txt", "notes": []}}
    return PretrainedWordVectors.from_words("glove", words, matrix, **about, **settings)


def test_words_have_their_vectors_padding_zeros_and_unknown_words_the_mean_of_the_rarest():
    words = [f"w{n}" for n in range(150)]
    matrix = np.random.default_rng(0).normal(size=(150, 3)).astype(np.float32)
    encoder = make(words, matrix)
    weight = encoder.tensors()["embedding.weight"].numpy()
    assert encoder.words == words
    assert np.array_equal(encoder.matrix.numpy(), matrix)
    assert not weight[0].any()
    assert weight[1] == pytest.approx(matrix[50:].mean(0))
    assert encoder.tokenizer.encode_batch(["w7 strange W9"]).ids.tolist() == [9, 1, 11]


@pytest.mark.parametrize("number", [1, 5, (1 << 14) + 3])
def test_consumed_vectors_are_the_same(number):
    view = np.arange(number * 2, dtype=np.float32).reshape(-1, 2)
    words = [str(n) for n in range(number)]
    expected = make(words, view).tensors()["embedding.weight"]
    for matrix in (view.copy(), view):
        made = make(words, matrix, consume=True).tensors()["embedding.weight"]
        assert torch.equal(made, expected)


def test_texts_are_lower_cased_if_all_words_are():
    assert make().tokenizer.lowercase
    assert not make(["Up", "high", "low", "down"]).tokenizer.lowercase


def test_of_byte_pairs_words_are_the_pieces_that_begin_with_a_space():
    tokenizer = SubwordTokenizer.train(["the café of the mother "] * 9, kind="bpe")
    matrix = np.random.default_rng(0).normal(size=(tokenizer.vocabulary_size, 4))
    matrix[[0, 1, tokenizer.ids["Ġof"]]] = 0.0  # the last was never met
    model = WordVectors.from_matrix(matrix.astype(np.float32))
    vectors = PretrainedWordVectors("word2vec", model, tokenizer, config={}, lineage={})
    assert {"the", "Ġthe", "Ġcafé".replace("é", "Ã©")} <= set(vectors.words)
    assert {"the", "café", "mother"} <= set(vectors.space.words)
    assert not {"Ġthe", "of", ""} & set(vectors.space.words)
    cosine = np.dot(*(matrix[tokenizer.ids[each]] for each in ("Ġthe", "Ġmother")))
    cosine /= np.prod([np.linalg.norm(matrix[tokenizer.ids[w]]) for w in ("Ġthe", "Ġmother")])
    assert vectors.similarity("the", "mother") == pytest.approx(cosine, abs=1e-5)
    assert vectors.most_similar("the")[0][0] in vectors.space


def test_the_verbs_of_word_vectors():
    encoder = make()
    assert [word for word, _ in encoder.most_similar("up", top=np.int64(2))] == ["high", "low"]
    assert encoder.analogy("up", "down", "high", top=1)[0][0] == "low"
    assert encoder.similarity("up", "down") == pytest.approx(-1)
    with pytest.raises(SettingsError, match="'sideways' has no vector"):
        encoder.most_similar("sideways")


def test_the_name_tells_vectors_apart():
    changed = MATRIX.copy()
    changed[0, 0] = 1e-30
    assert make().name == make().name == f"glove 2d {make().fingerprint}"
    assert make(matrix=changed).fingerprint != make().fingerprint


def test_an_encoder_trained_in_place_gets_a_new_fingerprint(tmp_path):
    encoder = make()
    before, nearest = encoder.fingerprint, encoder.most_similar("up", top=1)[0][0]
    optimizer = torch.optim.SGD(encoder.model.parameters(), lr=0.1)
    encoder.model.encode(torch.tensor([[2, 3, 4, 5]]), None)[-1].square().sum().backward()
    optimizer.step()
    assert encoder.fingerprint != before
    assert encoder.fingerprint in encoder.name
    assert load_encoder(encoder.save(tmp_path / "own")).fingerprint == encoder.fingerprint
    with torch.no_grad():
        encoder.matrix[:] = encoder.matrix[[0, 2, 1, 3]]
    assert encoder.most_similar("up", top=1)[0][0] != nearest


def test_weights_that_are_replaced_give_a_new_fingerprint_wherever_they_lie():
    for _ in range(10):  # a new tensor often lies where the one before it lay
        encoder = make()
        weight = encoder.model.embedding.weight
        seen = {encoder.fingerprint}
        for _ in range(3):
            weight.data = weight.data * 0.5
            seen.add(encoder.fingerprint)
        assert len(seen) == 4
        assert encoder.space.words == make().space.words


def test_copies_do_not_keep_the_weights_of_the_original():
    encoder = make()
    assert encoder.fingerprint
    assert encoder.space
    copied = copy.deepcopy(encoder)
    assert not {"_hashed", "_placed"} & set(vars(copied))
    assert copied.fingerprint == encoder.fingerprint


def test_one_string_is_not_a_list_of_texts():
    for read in (make().ids, lambda text: make().inputs(text, 9)):
        with pytest.raises(DataError, match=r"expected a list of texts, got one string"):
            read("up")


def test_the_identity_tells_settings_apart_and_survives_the_disk(tmp_path):
    encoder, other = make(), make()
    other.config["pooling"] = "max"
    assert other.fingerprint == encoder.fingerprint
    assert other.identity != encoder.identity
    other.config["filters"] = ((1, 32), (2, 64))
    other.save(tmp_path / "encoder")
    assert load_encoder(tmp_path / "encoder").identity == other.identity
    assert repr(make()) == f"<PretrainedWordVectors {make().name}, 6 ids>"


def test_the_identity_tells_tokenizers_apart():
    tokenizers = [WordTokenizer.from_vocabulary(WORDS, lowercase=True, split=split)
                  for split in ("words", "whitespace")]  # fmt: skip
    encoder = make()
    first, second = (encoder.with_model(encoder.model, tokenizer) for tokenizer in tokenizers)
    assert first.fingerprint == second.fingerprint
    assert first.identity != second.identity


def test_a_saved_encoder_is_the_same_bit_for_bit(tmp_path):
    matrix = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32)
    matrix[0] = [-0.0, np.float32(1e-42)]  # a signed zero and a denormal number
    encoder = make(matrix=matrix)
    assert encoder.save(tmp_path / "encoder") == tmp_path / "encoder"
    loaded = load_encoder(tmp_path / "encoder")
    assert type(loaded) is PretrainedWordVectors
    assert loaded.fingerprint == encoder.fingerprint
    assert loaded.matrix.numpy().tobytes() == matrix.tobytes()
    assert loaded.tokenizer.vocabulary == encoder.tokenizer.vocabulary
    assert (loaded.kind, loaded.config, loaded.lineage) == (
        "glove",
        encoder.config,
        encoder.lineage,
    )
    assert loaded.tokenizer.encode_batch(["Up, low"]).ids.tolist() == [2, 1, 4]
    files = ["README.md", "config.json", "manifest.json", "model.safetensors", "tokenizer.json"]
    assert sorted(os.listdir(tmp_path / "encoder")) == files
    assert "| source | vectors.txt |" in (tmp_path / "encoder" / "README.md").read_text()


def test_an_encoder_of_word_pieces_is_saved(tmp_path):
    tokenizer = SubwordTokenizer.train(["some text to cut up"] * 9, vocabulary_size=300)
    vectors = WordVectors(len(tokenizer.vocabulary), 4)
    encoder = PretrainedWordVectors("word2vec", vectors, tokenizer, config={}, lineage={})
    loaded = load_encoder(encoder.save(tmp_path / "encoder"))
    assert isinstance(loaded.tokenizer, SubwordTokenizer)
    assert loaded.fingerprint == encoder.fingerprint


def test_an_existing_folder_is_refused_unless_told(tmp_path):
    make().save(tmp_path / "encoder")
    with pytest.raises(ExistsError, match="already exists"):
        make().save(tmp_path / "encoder")
    other = make(matrix=MATRIX + 1)
    other.save(tmp_path / "encoder", overwrite=True)
    assert load_encoder(tmp_path / "encoder").fingerprint == other.fingerprint


@pytest.mark.parametrize("limit", [100, 1000])
def test_a_full_disk_leaves_nothing(tmp_path, limit):
    words = [f"word{n}" for n in range(100)]  # the first limit stops the weights, the other words
    encoder = make(words, np.ones((100, 2), np.float32))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(StorageError, match="encoder: cannot write: File too large"):
            encoder.save(tmp_path / "encoder")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(tmp_path) == []


def test_an_error_that_is_not_the_disks_stays_as_it_is(tmp_path):
    class Broken:
        def save(self, path):
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        write_folder(
            tmp_path / "new", tensors={}, tokenizer=Broken(), config={}, readme="", overwrite=False
        )
    assert os.listdir(tmp_path) == []


def test_a_folder_of_another_format_is_refused(tmp_path):
    def folder(name, config):
        settings = {"tensors": {}, "tokenizer": None, "readme": "", "overwrite": False}
        return write_folder(tmp_path / name, config=config, **settings)

    with pytest.raises(FormatError, match=r"config\.json: format 2, expected 1"):
        read_folder(folder("newer", {"format": 2, "kind": "glove"}))
    with pytest.raises(FormatError, match=r"config\.json: 'kind' is missing"):
        read_folder(folder("nameless", {}))
    with pytest.raises(FormatError, match=r"manifest\.json: no such file"):
        read_folder(tmp_path)


def test_weights_that_are_no_floats_to_compute_with_are_refused(tmp_path):
    weights = {"weight": torch.zeros(2).to(torch.float8_e4m3fn)}
    config = {"kind": "glove"}
    folder = write_folder(
        tmp_path / "new", tensors=weights, tokenizer=None, config=config, readme="", overwrite=False
    )
    with pytest.raises(FormatError, match="weight holds float8_e4m3fn, expected floats"):
        read_folder(folder)


def test_nothing_that_is_saved_is_a_pickle(tmp_path):
    folder = make().save(tmp_path / "encoder")
    for name in ("config.json", "tokenizer.json", "manifest.json"):
        json.loads((folder / name).read_text())
    header = (folder / "model.safetensors").read_bytes()
    assert json.loads(header[8 : 8 + int.from_bytes(header[:8], "little")])


def test_an_encoder_is_a_value_to_scikit_learn():
    encoder = Pretrained("glove", make().model, make().tokenizer, config={}, lineage={})
    assert encoder.__sklearn_clone__() is encoder


@pytest.mark.parametrize("kind", ["mine", "bert"])
def test_an_encoder_that_could_not_be_loaded_is_not_saved(kind, tmp_path):
    encoder = Pretrained(kind, make().model, make().tokenizer, config={}, lineage={})
    with pytest.raises(SettingsError, match=f"a Pretrained of kind '{kind}'; keep it.* pickle"):
        encoder.save(tmp_path / "encoder")
    assert not list(tmp_path.iterdir())
