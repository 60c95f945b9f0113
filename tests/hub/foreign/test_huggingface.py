import hashlib
import http.server
import json
import os
import re
import shutil
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import platformdirs
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.hub.conftest import WORD_PIECES
from tokenizers import BertWordPieceTokenizer
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.processors import TemplateProcessing

from headstart.errors import (
    FormatError,
    MissingExtraError,
    NetworkError,
    SettingsError,
)
from headstart.hub.foreign import bert, openai_gpt
from headstart.hub.foreign.huggingface import (
    download,
    is_hub_id,
    read_config,
    read_weights,
)
from headstart.hub.foreign.published_tokenizers import read_published
from headstart.hub.language_models import PretrainedBert, PretrainedGpt
from headstart.hub.store import load_encoder
from headstart.hub.wrapped_models import PretrainedTransformer
from headstart.transfer.estimators import TextClassifier
from headstart.transfer.loading import load
from headstart.transfer.methods import Probe

pytestmark = pytest.mark.usefixtures("forked_trials")
TEXT = "the cat sat on the mat."
# The cache is read before the tests get one of their own.
PUBLISHED = Path(platformdirs.user_cache_dir("headstart"), "published", "all-MiniLM-L6-v2")


class Told:
    """Progress that keeps what it is told."""

    def __init__(self):
        self.notes, self.stages, self.amount = [], [], 0.0

    @contextmanager
    def stage(self, description, total=None, unit=""):
        self.stages.append(description)
        yield self.advance

    def advance(self, amount):
        self.amount += amount

    def note(self, message):
        self.notes.append(message)


def states(encoder, text=TEXT):
    ids = torch.from_numpy(encoder.inputs([text], 99)[0].ids).long()[None]
    with torch.no_grad():
        return encoder.model.encode(ids, torch.ones_like(ids).bool())


def their_states(model, encoder, text=TEXT):
    ids = torch.from_numpy(encoder.inputs([text], 99)[0].ids).long()[None]
    with torch.no_grad():
        return model(ids, output_hidden_states=True).hidden_states


def close(first, second):
    for one, other in zip(first, second, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=0)


# Folders of BERT and GPT


def test_a_folder_of_bert_is_an_encoder_of_ours(tiny, saved):
    model, told = tiny("BertForMaskedLM"), Told()
    encoder = load_encoder(saved(model), progress=told)
    assert type(encoder) is PretrainedBert
    assert encoder.lineage["source"] == "model"
    assert encoder.lineage["format"] == "transformers bert"
    assert encoder.lineage["loaded"]["matched"] == len(encoder.model.state_dict())
    assert "pooler.dense.weight" in encoder.lineage["loaded"]["missing"]
    assert encoder.lineage["loaded"]["unexpected"] == []
    assert json.loads(json.dumps(encoder.lineage)) == encoder.lineage
    assert len(told.notes) == 1
    assert told.notes[0].startswith("model: 42 tensors matched; 4 missing: pooler.dense.weight, ")
    close(states(encoder), their_states(model, encoder))
    assert encoder.tokenizer.words("The cat!") == ["the", "cat", "!"]


def test_what_is_whole_needs_no_note(tiny, saved):
    told = Told()
    load_encoder(saved(tiny("BertForPreTraining")), progress=told)
    assert told.notes == []


def test_weights_may_lie_in_several_files(tiny, tmp_path, saved):
    model = tiny("BertForPreTraining")
    folder = saved(model)
    whole = load_encoder(folder)
    model.save_pretrained(tmp_path / "parts", max_shard_size="4KB")
    shutil.copy(folder / "vocab.txt", tmp_path / "parts")
    assert len(list((tmp_path / "parts").glob("*.safetensors"))) > 2
    assert load_encoder(tmp_path / "parts").fingerprint == whole.fingerprint


def test_a_pickle_of_tensors_alone_is_read(tiny, saved):
    folder = saved(tiny("BertForPreTraining"))
    whole = load_encoder(folder)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    os.remove(folder / "model.safetensors")
    assert load_encoder(folder).fingerprint == whole.fingerprint


def test_a_pickle_that_runs_code_does_not(tiny, saved, tmp_path):
    class Harm:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "harm"),)

    folder = saved(tiny("BertModel"))
    os.remove(folder / "model.safetensors")
    for content, message in ((Harm(), "could run code"), ([1], "dictionary of tensors by name")):
        torch.save(content, folder / "pytorch_model.bin")
        with pytest.raises(FormatError, match=rf"pytorch_model\.bin: .*{message}"):
            load_encoder(folder)
    assert not (tmp_path / "harm").exists()


def test_code_that_comes_with_a_model_of_ours_is_not_looked_at(tiny, saved, edit):
    folder = saved(tiny("BertModel"))
    edit(folder / "config.json", auto_map={"AutoModel": "harm.Model"})
    (folder / "harm.py").write_text("raise SystemExit")
    assert type(load_encoder(folder)) is PretrainedBert


def test_a_sentence_encoder_says_how_it_pools(tiny, saved):
    folder = saved(tiny("BertModel"))
    assert load_encoder(folder).config["pooling"] == "cls"
    (folder / "1_Pooling").mkdir()
    pooling = folder / "1_Pooling" / "config.json"
    for config, expected in [
        ({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, "mean"),
        ({"pooling_mode_cls_token": True}, "cls"),
        ({"pooling_mode": "mean"}, "mean"),
        ({"pooling_mode_mean_tokens": False, "pooling_mode_lasttoken": True}, "last"),
        ({"pooling_mode": "lasttoken"}, "last"),
    ]:
        pooling.write_text(json.dumps(config))
        assert load_encoder(folder).config["pooling"] == expected
    pooling.write_text(json.dumps({"pooling_mode_max_tokens": True}))
    with pytest.raises(FormatError, match="unsupported pooling: pooling_mode_m"):
        load_encoder(folder)


def sentence_folder(folder, inside="", **modules):
    """Make a folder of `sentence-transformers` of one of a transformer, with more modules."""
    kinds = {inside: "Transformer", "7_Pooling": "Pooling", **modules}
    listed = [{"path": path, "type": f"a.models.{kind}"} for path, kind in kinds.items()]
    (folder / "modules.json").write_text(json.dumps(listed))
    (folder / "7_Pooling").mkdir()
    (folder / "7_Pooling" / "config.json").write_text(json.dumps({"pooling_mode": "mean"}))
    settings = {"max_seq_length": 16, "do_lower_case": False}
    (folder / inside / "sentence_bert_config.json").write_text(json.dumps(settings))


LEFT_OUT = "its module 8_Dense (Dense) is ignored: text vectors are those after pooling"
READS_LESS = (
    "sentence-transformers truncates texts to 16 tokens, and headstart to max_tokens; "
    "set max_tokens=16 for the same texts"
)


def test_what_a_sentence_encoder_does_besides_is_told(tiny, saved, edit, tmp_path):
    folder, told = saved(tiny("BertForPreTraining")), Told()
    sentence_folder(folder, **{"8_Dense": "Dense", "9_Normalize": "Normalize"})
    encoder = load_encoder(folder, progress=told)
    assert encoder.pooling == "mean"
    assert encoder.lineage["notes"] == [LEFT_OUT, READS_LESS]
    assert told.notes == [f"model: {LEFT_OUT}", f"model: {READS_LESS}"]
    again = load_encoder(encoder.save(tmp_path / "again"), progress=told)
    assert (again.pooling, again.lineage) == ("mean", encoder.lineage)
    assert len(told.notes) == 2
    edit(folder / "sentence_bert_config.json", max_seq_length=20)
    assert load_encoder(folder).lineage["notes"] == [LEFT_OUT]


def test_a_transformer_in_a_folder_of_its_own_is_read_as_its_modules_say(tiny, saved, tmp_path):
    folder, inside = tmp_path / "old", "0_Transformer"
    model = tiny("BertModel")
    saved(model, f"old/{inside}")
    sentence_folder(folder, inside)
    for source in (folder, folder / inside):
        encoder = load_encoder(source)
        assert encoder.pooling == "mean"
        assert encoder.lineage["notes"] == [READS_LESS]
        assert encoder.lineage["source"] == source.name
        close(states(encoder), their_states(model, encoder))


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ("{}", None),
        ("[", "not a list of modules with 'type' and 'path'"),
        ('{"a": 1}', "not a list of modules with 'type' and 'path'"),
        ('[{"type": "Pooling"}]', "not a list of modules with 'type' and 'path'"),
        ('[{"type": "Pooling", "path": "../x"}]', "names a module outside its folder: '../x'"),
        ('[{"type": "Pooling", "path": ".."}]', "names a module outside its folder: '..'"),
        (json.dumps([{"type": "Pooling", "path": "x" * 9999}]), None),
        (json.dumps([{"type": "Pooling", "path": "\0\ud800"}]), None),
    ],
)
def test_a_list_of_modules_that_is_damaged_is_refused(tiny, saved, modules, message):
    folder = saved(tiny("BertModel"))
    (folder / "modules.json").write_text(modules)
    if message is None:
        assert load_encoder(folder).pooling == "cls"
        return
    with pytest.raises(FormatError, match=rf"modules\.json: {re.escape(message)}"):
        load_encoder(folder)


def truncate(folder):
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])


def no_weights(folder):
    os.remove(folder / "model.safetensors")


def only_tensorflow(folder):
    (folder / "model.safetensors").rename(folder / "tf_model.h5")


def nothing_known(folder):
    save_file({"x": torch.zeros(2)}, folder / "model.safetensors")


def index(weight_map):
    def damage(folder):
        (folder / "model.safetensors").rename(folder / "part.safetensors")
        content = json.dumps({"weight_map": weight_map})
        (folder / "model.safetensors.index.json").write_text(content)

    return damage


def more_pieces(folder):
    with (folder / "vocab.txt").open("a") as file:
        file.write("dog\n")


def pieces(text):
    return lambda folder: (folder / "vocab.txt").write_text(text)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, r"model\.safetensors: not readable: "),
        (no_weights, r"has no weights; looked for model\.safetensors, .*pytorch_model\.bin"),
        (only_tensorflow, r"tf_model\.h5 is for another library, save it as safetensors"),
        (index({}), r"has no tokenizer|none of its 0 tensors"),
        (index(3), r"index\.json: 'weight_map' is missing"),
        (index({"x": "../part.safetensors"}), "names a file outside its folder"),
        (index({"x": "other.safetensors"}), r"other\.safetensors: missing, although model"),
        (index({"x": "part.safetensors"}), "lists 'x', which no file contains"),
        (
            lambda f: os.remove(f / "vocab.txt"),
            r"has no tokenizer; looked for tokenizer\.json",
        ),
        (more_pieces, r"vocab\.txt: 65 tokens, but the model has only 64 token embeddings; use"),
        (pieces("a\nb\n"), r"vocab\.txt: has no \[UNK\]"),
        (pieces("[UNK]\n[CLS]\n[SEP]\na\na\n"), r"vocab\.txt: a token occurs twice"),
        (pieces("[UNK]\na\n"), r"model: the tokenizer of a BERT needs \[CLS\] and \[SEP\]"),
        (lambda f: (f / "tokenizer.json").write_text("{"), r"not a readable tokenizer\.json"),
        (lambda f: (f / "config.json").write_text("{"), "not valid JSON"),
    ],
)
def test_a_folder_that_is_not_whole_is_refused(tiny, saved, damage, message):
    folder = saved(tiny("BertModel"))
    damage(folder)
    with pytest.raises(FormatError, match=message):
        load_encoder(folder)


def test_an_encoder_that_would_start_from_random_weights_is_refused(tiny, saved):
    folder = saved(tiny("BertModel"))
    nothing_known(folder)
    with pytest.raises(FormatError, match="model: none of its 1 tensors belongs to the model"):
        load_encoder(folder)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"hidden_size": 1, "type_vocab_size": 2}, "bert"),
        ({"n_embd": 1}, "gpt2"),
        ({"n_embd": 1, "afn": "gelu"}, "openai-gpt"),
        ({"architectures": ["RobertaForMaskedLM"], "hidden_size": 1}, "roberta"),
        ({"architectures": ["OpenAIGPTLMHeadModel"], "n_embd": 1}, "openai-gpt"),
        ({"architectures": ["BertModel"], "model_type": "mine"}, "mine"),
    ],
)
def test_the_kind_of_model_is_known_without_its_name(tmp_path, config, expected):
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert read_config(tmp_path)["model_type"] == expected


def test_a_configuration_of_nothing_known_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["Strange"]}))
    with pytest.raises(FormatError, match="'model_type' is missing"):
        load_encoder(tmp_path)


# Tokenizers


TEXTS = [
    "I decided to rent a movie when friends came over last night.",
    "Ünïcödé, naïve CAFÉS & déjà-vu: 中文字 \t tabs\u00a0and\u200b\x07 1,234.5!?",
    "don't you'll <b>HTML</b> http://a.b/c?d=e  two  spaces\nand lines \N{GRINNING FACE}",
    "",
]


def same_ids(theirs, ours):
    read = theirs(TEXTS, add_special_tokens=False)["input_ids"]
    encoded = ours.encode_batch(TEXTS)
    assert [encoded[row].tolist() for row in range(len(TEXTS))] == read


def tokenizer_folder(tmp_path, shared_data, files, **config):
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    for source, name in files.items():
        shutil.copyfile(shared_data / "fixtures" / source, folder / name)
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("settings", [{}, {"do_lower_case": False}, {"strip_accents": False}])
def test_word_pieces_are_those_of_transformers(transformers, tmp_path, shared_data, settings):
    files = {"bert/bert-base-uncased-vocab.txt": "vocab.txt"}
    folder = tokenizer_folder(tmp_path, shared_data, files, **settings)
    ours = read_published(folder, "bert", rows=30522)
    same_ids(transformers.BertTokenizer.from_pretrained(folder), ours)
    assert ours.lowercase == settings.get("do_lower_case", True)
    assert ours.specials.mask == 103


BERT, GPT2 = "BertTokenizer", "GPT2Tokenizer"
NEW_TOKEN = {
    "content": "covid19", "special": False, "normalized": False, "lstrip": False, "rstrip": False,
    "single_word": False,
}  # fmt: skip


@pytest.mark.parametrize(
    ("class_", "settings", "text", "expected"),
    [
        (BERT, {}, "Café 中", ["cafe", "中"]),
        (BERT, {"do_lower_case": False, "strip_accents": None}, "Café", ["[UNK]"]),
        ("BertTokenizerFast", {"do_lower_case": False}, "Café", ["[UNK]"]),
        (None, {"do_lower_case": False}, "Café", ["[UNK]"]),
        (BERT, {"strip_accents": False}, "Café", ["[UNK]"]),
        (BERT, {"tokenize_chinese_chars": False}, "cafe中", ["cafe", "##中"]),
        (BERT, {"added_tokens_decoder": {"30522": NEW_TOKEN}}, "acovid19", ["a", "covid19"]),
        (
            "PreTrainedTokenizerFast",
            {"do_lower_case": False, "strip_accents": False},
            "Café",
            ["cafe"],
        ),
    ],
)
def test_settings_beside_a_file_of_word_pieces_are_those_of_transformers(
    transformers, tmp_path, shared_data, edit, class_, settings, text, expected
):
    files = {"bert/bert-base-uncased-vocab.txt": "vocab.txt"}
    folder = tokenizer_folder(tmp_path, shared_data, files)
    read_published(folder, "bert", rows=30522).save(folder / "tokenizer.json")
    (folder / "vocab.txt").unlink()
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))
    edit(folder / "tokenizer_config.json", tokenizer_class=class_ or ..., **settings)
    ours = read_published(folder, "bert", rows=30523)
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    assert ours.words(text) == theirs.tokenize(text) == expected


@pytest.mark.parametrize(
    ("class_", "settings", "expected"),
    [
        (GPT2, {}, ["the", "\u0120cat"]),
        (GPT2, {"add_prefix_space": True}, ["\u0120the", "\u0120cat"]),
        ("RobertaTokenizerFast", {"add_prefix_space": True}, ["\u0120the", "\u0120cat"]),
        ("PreTrainedTokenizerFast", {"add_prefix_space": True}, ["the", "\u0120cat"]),
    ],
)
def test_settings_beside_a_file_of_byte_pairs_are_those_of_transformers(
    transformers, tmp_path, shared_data, edit, class_, settings, expected
):
    files = {"gpt2_bpe/encoder.json": "encoder.json", "gpt2_bpe/vocab.bpe": "vocab.bpe"}
    folder = tokenizer_folder(tmp_path, shared_data, files)
    read_published(folder, "gpt2", rows=50257).save(folder / "tokenizer.json")
    (folder / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    edit(folder / "tokenizer_config.json", tokenizer_class=class_, **settings)
    ours = read_published(folder, "gpt2", rows=50257)
    assert ours.words("the cat") == expected
    if class_ != "RobertaTokenizerFast":  # which needs its own special tokens
        theirs = transformers.AutoTokenizer.from_pretrained(folder)
        assert theirs.tokenize("the cat") == expected


def test_tokens_of_a_list_beside_a_file_are_added_in_their_places(tmp_path, shared_data):
    folder = added_to_bert(tmp_path, shared_data, **{"added_tokens.json": {}})
    read_published(folder, "bert", rows=30522).save(folder / "tokenizer.json")
    added = folder / "added_tokens.json"
    added.write_text(json.dumps({"covid19": 30522, "[MASK]": 103}))
    ours = read_published(folder, "bert", rows=30523)
    assert ours.words("Covid19 is") == ["covid19", "is"]
    assert ours.vocabulary[30522:] == ["covid19"]
    with pytest.raises(FormatError, match="30,523 tokens, but the model has only 30,522 token"):
        read_published(folder, "bert", rows=30522)
    added.write_text(json.dumps({"covid19": 30530}))
    with pytest.raises(FormatError, match="'covid19' should have id 30530, but would get id 30"):
        read_published(folder, "bert", rows=30531)


def added_to_bert(tmp_path, shared_data, **files):
    files = {"added_tokens.json": {"covid19": 30522, "[E1]": 30523}, **files}
    folder = tokenizer_folder(
        tmp_path, shared_data, {"bert/bert-base-uncased-vocab.txt": "vocab.txt"}
    )
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    return folder


def test_tokens_added_to_a_list_of_pieces_are_those_of_transformers(
    transformers, tmp_path, shared_data
):
    special = {"additional_special_tokens": ["[E1]"], "mask_token": {"content": "[MASK]"}}
    folder = added_to_bert(tmp_path, shared_data, **{"special_tokens_map.json": special})
    ours = read_published(folder, "bert", rows=30524)
    theirs = transformers.BertTokenizer.from_pretrained(folder)
    same_ids(theirs, ours)
    assert ours.words("Covid19 is bad") == ["covid19", "is", "bad"]
    assert ours.vocabulary[30522:] == ["covid19", "[E1]"]
    assert "[E1]" not in ours.words("[E1] x"), "a special token in a text is text"
    assert ours.specials.mask == 103
    with pytest.raises(FormatError, match="30,524 tokens, but the model has only 30,522 token"):
        read_published(folder, "bert", rows=30522)


def test_added_tokens_that_their_settings_describe_are_read(transformers, tmp_path, shared_data):
    about = {"lstrip": False, "rstrip": False, "single_word": True, "normalized": False}
    decoder = {
        "103": {"content": "[MASK]", **about, "special": True},
        "30522": {"content": "covid19", **about, "special": False},
    }
    settings = {"added_tokens_decoder": decoder, "tokenizer_class": "BertTokenizer"}
    folder = added_to_bert(tmp_path, shared_data, **{"tokenizer_config.json": settings})
    ours = read_published(folder, "bert", rows=30524)
    same_ids(transformers.BertTokenizer.from_pretrained(folder), ours)
    assert ours.words("covid19 covid19s")[:2] == ["covid19", "co"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("added_tokens.json", {"x1": 30523}, "'x1' should have id 30523, but would get id 3"),
        ("added_tokens.json", {"the": 30522}, "'the' should have id 30522, but would get id 19"),
        ("added_tokens.json", {"x1": "7"}, r"added_tokens\.json: 'x1' is not a token with an id"),
        (
            "tokenizer_config.json", {"added_tokens_decoder": {"30522": "x1"}},
            r"tokenizer_config\.json: '30522' in 'added_tokens_decoder' is not a token",
        ),
    ],
)  # fmt: skip
def test_added_tokens_that_do_not_follow_on_are_refused(
    tmp_path, shared_data, name, content, message
):
    with pytest.raises(FormatError, match=message):
        read_published(added_to_bert(tmp_path, shared_data, **{name: content}), "bert", rows=40000)


def test_byte_pairs_are_those_of_transformers(transformers, tmp_path, shared_data):
    files = {"gpt2_bpe/encoder.json": "vocab.json", "gpt2_bpe/vocab.bpe": "merges.txt"}
    folder = tokenizer_folder(tmp_path, shared_data, files)
    ours = read_published(folder, "gpt2", rows=50257)
    same_ids(transformers.GPT2Tokenizer.from_pretrained(folder), ours)
    assert ours.specials.end == 50256
    for text in TEXTS:
        assert ours.decode(ours.encode_batch([text]).ids.tolist()) == text
    (folder / "vocab.json").rename(folder / "encoder.json")
    (folder / "merges.txt").rename(folder / "vocab.bpe")
    assert read_published(folder, "gpt2", rows=50257).vocabulary == ours.vocabulary


def test_the_pieces_of_gpt_1_are_those_of_transformers_and_allennlp(
    transformers, tmp_path, shared_data
):
    files = {"gpt1/encoder_bpe_40000.json": "vocab.json", "gpt1/vocab_40000.bpe": "merges.txt"}
    folder = tokenizer_folder(tmp_path, shared_data, files)
    ours = read_published(folder, "openai-gpt", rows=40478)
    same_ids(transformers.OpenAIGPTTokenizer.from_pretrained(folder), ours)
    allennlp = shared_data / "fixtures/allennlp_openai_transformer"
    expected = json.loads((allennlp / "indexed_text.json").read_text())
    lines = (allennlp / "text.txt").read_text().splitlines()
    assert ours.encode_batch(lines[:1])[0].tolist() == expected[0]
    ids = ours.encode_batch(lines[1:])[0].tolist()
    assert ids[:6] == expected[1][:6]  # then comes "hasn't", which spaCy cuts in its own way
    assert ids[10:17] == expected[1][8:15]
    assert ours.decode(expected[0]) == lines[0].lower().replace(".", " .")


def test_the_cases_of_the_authors_of_bert(tmp_path, shared_data):
    cases = json.loads((shared_data / "fixtures/bert/tokenization_cases.json").read_text())
    case = cases["full_tokenizer"]
    for lowercase, examples in ((True, case["cases"]), (True, cases["wordpiece"]["cases"])):
        (tmp_path / "vocab.txt").write_text("\n".join(case["vocab"]) + "\n")
        settings = {"do_lower_case": lowercase}
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
        tokenizer = read_published(tmp_path, "bert", rows=11)
        for example in examples:
            if "X" not in example["text"]:  # that one is cut without lower-casing first
                assert tokenizer.words(example["text"]) == example["tokens"]
    shutil.copyfile(
        shared_data / "fixtures/bert/bert-base-uncased-vocab.txt", tmp_path / "vocab.txt"
    )
    tokenizer = read_published(tmp_path, "bert", rows=30522)
    alignment = cases["readme_alignment"]
    assert tokenizer.words(" ".join(alignment["orig_tokens"])) == alignment["bert_tokens"][1:-1]
    for example in (*cases["basic_lower"], *cases["basic_chinese"]):
        assert tokenizer.words(example["text"])[0].startswith(example["tokens"][0][:2])


def test_a_cased_vocabulary_is_seen_by_its_words(tmp_path):
    for extra, lowercase in (("cat", True), ("Cat", False)):
        (tmp_path / "vocab.txt").write_text(f"[UNK]\n[CLS]\n[SEP]\n[unused1]\n{extra}\n")
        assert read_published(tmp_path, "bert", rows=9).lowercase is lowercase


def test_special_tokens_in_a_text_are_text(tmp_path):
    (tmp_path / "vocab.txt").write_text("[UNK]\n[CLS]\n[SEP]\n[\n]\ncls\n")
    assert read_published(tmp_path, "bert", rows=9).words("[CLS]") == ["[", "cls", "]"]


def test_damaged_merges_are_refused(tmp_path):
    (tmp_path / "vocab.json").write_text('{"a": 0, "b": 1, "ab": 2}')
    for merges, message in (
        ("a b c\n", r"merges\.txt: a merge must be two tokens, got 'a b c'"),
        ("a x\n", r"vocab\.json: not a readable vocabulary: .*out of vocabulary"),
    ):
        (tmp_path / "merges.txt").write_text(merges)
        with pytest.raises(FormatError, match=message):
            read_published(tmp_path, "gpt2", rows=9)
    (tmp_path / "merges.txt").write_text("#version: 0.2\na b\n")
    assert read_published(tmp_path, "gpt2", rows=9).words("ab") == ["ab"]
    (tmp_path / "vocab.json").write_text('{"a": 0, "b": 1, "ab": 7}')
    with pytest.raises(FormatError, match="ids have gaps"):
        read_published(tmp_path, "gpt2", rows=9)


@pytest.mark.parametrize("name", ["tokenizer_config.json", "config.json"])
def test_lists_of_pieces_of_another_class_of_tokenizers_are_refused(tmp_path, name):
    (tmp_path / "vocab.txt").write_text("[UNK]\n[CLS]\n[SEP]\na\n")
    for class_ in ("BertTokenizer", "DistilBertTokenizerFast", None):
        (tmp_path / name).write_text(json.dumps({"tokenizer_class": class_}))
        assert read_published(tmp_path, "bert", rows=9).words("a") == ["a"]
    (tmp_path / name).write_text(json.dumps({"tokenizer_class": "BertJapaneseTokenizer"}))
    with pytest.raises(FormatError, match=rf"{name}: the tokenizer is a BertJapaneseTokenizer"):
        read_published(tmp_path, "bert", rows=9)


def test_byte_pairs_of_whole_words_are_no_byte_level_ones(tmp_path):
    (tmp_path / "vocab.json").write_text('{"<unk>": 0, "a": 1, "b</w>": 2, "ab</w>": 3}')
    (tmp_path / "merges.txt").write_text("#version: 0.2\na b</w>\n")
    with pytest.raises(FormatError, match=r"merges\.txt: words end in </w>"):
        read_published(tmp_path, "bert", rows=9)
    assert read_published(tmp_path, "openai-gpt", rows=9).words("ab") == ["ab</w>"]
    spaced = '{"a": 1, "b</w>": 2, "ab</w>": 3, "\u0120": 0}'
    (tmp_path / "vocab.json").write_text(spaced)
    assert read_published(tmp_path, "bert", rows=9).vocabulary_size == 4


# Published files


def test_small_published_folders_are_read(tmp_path, shared_data):
    for name, kind in (("fastnlp/small_bert", "bert"), ("bert_xsmall_dummy", "bert")):
        folder = copy_fixture(shared_data / "fixtures" / name, tmp_path)
        encoder = load_encoder(folder)
        assert encoder.kind == kind
        npz = next((shared_data / "fixtures" / name).glob("*.npz"))
        known = {hashlib.sha256(array.tobytes()).hexdigest() for array in np.load(npz).values()}
        for tensor in encoder.model.state_dict().values():
            assert hashlib.sha256(tensor.numpy().tobytes()).hexdigest() in known
        encoder.inputs(["this is a small bert model"], 9)


def test_small_published_weights_are_read(transformers, tmp_path, shared_data):
    for name, module, class_ in (
        ("small_gpt2", openai_gpt, "GPT2LMHeadModel"),
        ("small_roberta", bert, "RobertaForMaskedLM"),
    ):
        folder = copy_fixture(shared_data / "fixtures/fastnlp" / name, tmp_path)
        config, tensors = read_config(folder), read_weights(folder)
        ours, report = module.from_transformers(config, tensors, place=name)
        assert report.unexpected == ()
        made = getattr(transformers, class_)
        settings = made.config_class(**config)
        theirs = made.from_pretrained(None, config=settings, state_dict=tensors).eval()
        ids = torch.arange(3, 12)[None]
        with torch.no_grad():
            expected = theirs.base_model(ids).last_hidden_state
            close([ours.encode(ids, torch.ones_like(ids).bool())[-1]], [expected])
        with pytest.raises(FormatError, match="out of vocabulary"):
            load_encoder(folder)  # their merges make pieces that their vocabulary lacks


def copy_fixture(source, tmp_path):
    folder = tmp_path / source.name
    folder.mkdir()
    for file in source.iterdir():
        shutil.copyfile(file, folder / file.name.replace("small_pytorch", "pytorch"))
    return folder


def test_the_published_minilm_gives_the_states_of_transformers(transformers):
    if not PUBLISHED.is_dir():
        pytest.skip(f"the published MiniLM is not in {PUBLISHED}")
    encoder = load_encoder(PUBLISHED)
    assert encoder.config["pooling"] == "mean"
    assert encoder.lineage["loaded"]["matched"] == 103
    model = transformers.AutoModel.from_pretrained(PUBLISHED).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(PUBLISHED)
    for text in TEXTS:
        assert encoder.inputs([text], 512)[0].ids.tolist() == tokenizer(text)["input_ids"]
        close(states(encoder, text), their_states(model, encoder, text))


# The hub


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("google-bert/bert-base-uncased", True),
        ("sentence-transformers/all-MiniLM-L6-v2", True),
        ("bert-base-uncased", False),
        ("runs/encoder.bin", False),
        ("glove/glove.6B.100d.txt", False),
        ("a/b/c", False),
        ("a/" + "b" * 94, True),
        ("a/" + "b" * 95, False),
        ("/absolute/path", False),
        ("../folder", False),
        (Path("google-bert/bert-base-uncased"), False),
    ],
)
def test_an_id_is_told_from_a_path(source, expected):
    assert is_hub_id(source) is expected


def test_what_lies_here_is_no_id(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert is_hub_id("runs/bert")
    (tmp_path / "runs").mkdir()
    assert not is_hub_id("runs/bert")
    with pytest.raises(FormatError, match=r"no such file or folder$"):
        load_encoder("runs/bert")
    with pytest.raises(FormatError, match="a Hub id has the form owner/name"):
        load_encoder("bert")
    with pytest.raises(SettingsError, match="not a Hub id; remove revision 'main'"):
        load_encoder("bert", revision="main")


def test_some_words_of_a_folder_cannot_be_asked_for(tiny, saved):
    with pytest.raises(SettingsError, match="a folder is always loaded whole"):
        load_encoder(saved(tiny("BertModel")), vocabulary=["cat"])


COMMIT = "c0ffee" * 6 + "c0ff"


class Hub(http.server.BaseHTTPRequestHandler):
    """Answers as the hub does for one model, whose files lie in `server.folder`."""

    def do_GET(self):
        path = self.path.partition("?")[0]
        names = [str(f.relative_to(self.server.folder)) for f in self.server.files()]
        if path == "/api/models/me/tiny/revision/main":
            siblings = [{"rfilename": name} for name in names]
            self.answer(json.dumps({"id": "me/tiny", "sha": COMMIT, "siblings": siblings}))
        elif path == f"/api/models/me/tiny/tree/{COMMIT}":
            self.answer(
                json.dumps(
                    [
                        {
                            "type": "file",
                            "path": name,
                            "oid": "0" * 40,
                            "size": (self.server.folder / name).stat().st_size,
                        }
                        for name in names
                    ]
                )
            )
        elif path.startswith(f"/me/tiny/resolve/{COMMIT}/"):
            name = path.removeprefix(f"/me/tiny/resolve/{COMMIT}/")
            self.server.fetched.add(name)
            body = (self.server.folder / name).read_bytes()
            tag = hashlib.sha1(body, usedforsecurity=False).hexdigest()
            self.answer(body, ETag=f'"{tag}"', **{"X-Repo-Commit": COMMIT})
        elif "/revision/" in path and "/tiny/" in path:
            self.answer("{}", 404, **{"X-Error-Code": "RevisionNotFound"})
        else:
            self.answer("{}", 404, **{"X-Error-Code": "RepoNotFound"})

    do_HEAD = do_GET

    def answer(self, body, status=200, **headers):
        body = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub of our own, with a cache of its own."""
    constants = pytest.importorskip("huggingface_hub").constants
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.folder, server.fetched = tmp_path / "model", set()
    server.files = lambda: sorted(f for f in server.folder.rglob("*") if f.is_file())
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    address = f"{constants.ENDPOINT}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_model_of_the_hub_is_fetched_once(tiny, saved, hub):
    folder = saved(tiny("BertForPreTraining"))
    for name in ("pytorch_model.bin", "tf_model.h5", "onnx.bin", "code.py"):
        (folder / name).write_bytes(b"much")
    told = Told()
    encoder = load_encoder("me/tiny", progress=told)
    assert encoder.fingerprint == load_encoder(folder).fingerprint
    assert encoder.lineage["source"] == "me/tiny"
    assert encoder.lineage["revision"] == COMMIT
    assert hub.fetched == {"config.json", "model.safetensors", "vocab.txt"}
    assert "downloading me/tiny" in told.stages
    assert told.amount == sum((folder / name).stat().st_size for name in hub.fetched)
    again = load_encoder("me/tiny", local_files_only=True, revision=COMMIT)
    assert again.fingerprint == encoder.fingerprint


def test_pickled_weights_are_fetched_where_there_are_no_others(tiny, saved, hub):
    folder = saved(tiny("BertModel"))
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    os.remove(folder / "model.safetensors")
    assert load_encoder("me/tiny").fingerprint == load_encoder(folder).fingerprint


def test_a_transformer_in_a_folder_of_its_own_comes_from_the_hub(tiny, saved, hub):
    inside = saved(tiny("BertModel"), "model/0_Transformer")
    sentence_folder(hub.folder, "0_Transformer")
    encoder = load_encoder("me/tiny")
    assert (encoder.lineage["source"], encoder.lineage["revision"]) == ("me/tiny", COMMIT)
    assert encoder.fingerprint == load_encoder(inside).fingerprint
    assert encoder.pooling == "mean"


def test_a_folder_of_ours_comes_back_from_the_hub(tiny, saved, hub, tmp_path):
    ours = load_encoder(saved(tiny("BertModel"), "first"))
    ours.save(tmp_path / "model")
    encoder = load_encoder("me/tiny")
    assert (encoder.fingerprint, encoder.lineage) == (ours.fingerprint, ours.lineage)


def test_a_fitted_model_comes_back_from_the_hub_with_its_encoder(tiny, saved, hub):
    encoder = load_encoder(saved(tiny("BertModel"), "first"))
    fitted = TextClassifier(encoder, Probe()).fit(["the cat", "a mat"] * 9, [0, 1] * 9)
    fitted.save(hub.folder)
    model = load("me/tiny")
    assert "encoder/model.safetensors" in hub.fetched
    assert np.array_equal(model.predict_proba(["the mat"]), fitted.predict_proba(["the mat"]))
    hub.fetched.clear()
    assert load("me/tiny", local_files_only=True).classes_.tolist() == [0, 1]
    assert not hub.fetched


def test_an_encoder_of_the_hub_knows_where_it_came_from(tiny, saved, hub):
    saved(tiny("BertModel"))
    encoder, other = load("me/tiny"), load_encoder("me/tiny")
    assert (encoder.fingerprint, encoder.lineage) == (other.fingerprint, other.lineage)
    assert (encoder.lineage["source"], encoder.lineage["revision"]) == ("me/tiny", COMMIT)


def test_all_files_that_a_tokenizer_may_need_are_fetched(tiny, saved, hub):
    folder = saved(tiny("BertModel"))
    files = {"spm.model", "spiece.model", "sentencepiece.bpe.model", "bpe.codes"}
    for name in files:
        (folder / name).write_bytes(b"pieces")
    download("me/tiny")
    assert hub.fetched == {*files, "config.json", "model.safetensors", "vocab.txt"}


def test_what_the_hub_does_not_have_is_told(hub):
    for source, settings, message in (
        ("me/nothing", {}, "no such file or folder, and no such model on the Hub"),
        ("me/tiny", {"revision": "v9"}, "me/tiny: the Hub has no revision 'v9'"),
        ("me/tiny", {"local_files_only": True}, "not in the local Hub cache, and network access"),
    ):
        with pytest.raises(NetworkError, match=message):
            load_encoder(source, **settings)


def test_a_hub_out_of_reach_is_told(hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(
        NetworkError, match="the Hub cannot be reached, and the local cache has no copy"
    ):
        load_encoder("me/tiny")


# Encoders of transformers


WRAPPED = {
    "DistilBertForMaskedLM": {
        "dim": 8, "n_layers": 2, "n_heads": 2, "hidden_dim": 16, "max_position_embeddings": 20,
    },
    "ElectraForPreTraining": {
        "embedding_size": 6, "hidden_size": 8, "num_hidden_layers": 3, "num_attention_heads": 2,
        "intermediate_size": 16, "max_position_embeddings": 20,
    },
    "XLMRobertaModel": {
        "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 16, "max_position_embeddings": 22, "pad_token_id": 1,
    },
    "BloomModel": {"hidden_size": 8, "n_layer": 2, "n_head": 2},
}  # fmt: skip


@pytest.fixture
def wrapped(transformers, saved):
    def make(name):
        class_ = getattr(transformers, name)
        torch.manual_seed(0)
        model = class_(class_.config_class(vocab_size=64, **WRAPPED[name])).eval()
        folder = saved(model)
        if name == "XLMRobertaModel":  # its class reads no vocab.txt
            tokenizer = BertWordPieceTokenizer({piece: n for n, piece in enumerate(WORD_PIECES)})
            tokenizer.save(str(folder / "tokenizer.json"))
        return model, folder

    return make


@pytest.mark.parametrize("name", WRAPPED)
def test_any_encoder_is_used_like_ours(transformers, wrapped, name, tmp_path):
    model, folder = wrapped(name)
    encoder = load_encoder(folder)
    assert type(encoder) is PretrainedTransformer
    assert encoder.kind == "hf"
    assert encoder.model.width == 8
    assert encoder.config["positions"] == (None if name == "BloomModel" else 20)
    close(states(encoder), their_states(model.base_model, encoder))
    groups = encoder.model.layer_groups()
    assert len(groups) == encoder.config["layers"] + 1
    inside = [id(parameter) for group in groups for parameter in group.parameters()]
    assert sorted(inside) == sorted(id(parameter) for parameter in encoder.model.parameters())

    loaded = load_encoder(encoder.save(tmp_path / "again"))
    assert loaded.fingerprint == encoder.fingerprint
    assert (loaded.config, loaded.lineage) == (encoder.config, encoder.lineage)
    close(states(loaded), states(encoder))
    again = transformers.AutoModel.from_pretrained(tmp_path / "again").eval()
    close(their_states(again, encoder), states(encoder))
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "again")
    assert tokenizer(TEXT)["input_ids"] == encoder.inputs([TEXT], 99)[0].ids.tolist()
    assert not list((tmp_path / "again").glob("*.bin"))


def test_padding_and_segments_of_any_encoder(wrapped):
    _, folder = wrapped("ElectraForPreTraining")
    encoder = load_encoder(folder)
    encoded, cut = encoder.inputs([TEXT, TEXT * 9, ""], 12)
    assert cut == 1
    assert encoded.lengths.tolist() == [9, 12, 2]
    assert encoder.inputs([TEXT * 9], 99)[0].lengths.tolist() == [20]
    with pytest.raises(SettingsError, match="max_tokens must be above 2, got 2"):
        encoder.inputs([TEXT], 2)
    short = torch.from_numpy(encoded[0]).long()[None]
    padded = torch.cat([short, torch.zeros(1, 3).long()], 1)
    with torch.no_grad():
        close(
            [layer[:, :9] for layer in encoder.model.encode(padded, padded > 0)],
            encoder.model.encode(short, short > 0),
        )
        other = encoder.model.encode(short, short > 0, torch.ones_like(short))
    assert not torch.equal(other[0], encoder.model.encode(short, short > 0)[0])


def test_without_the_extra_its_name_is_told(wrapped, monkeypatch, tiny, saved):
    _, folder = wrapped("DistilBertForMaskedLM")
    ours = saved(tiny("BertModel"), "bert")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"'distilbert' needs .* install 'headstart\[hf\]'"):
        load_encoder(folder)
    load_encoder(ours)


def test_what_is_no_encoder_is_refused(wrapped, edit):
    _, folder = wrapped("DistilBertForMaskedLM")
    edit(folder / "config.json", is_encoder_decoder=True)
    with pytest.raises(FormatError, match="a 'distilbert' is an encoder-decoder model"):
        load_encoder(folder)
    edit(folder / "config.json", is_encoder_decoder=False, model_type="mine")
    with pytest.raises(FormatError, match=r"no model of kind 'mine'$"):
        load_encoder(folder)
    edit(folder / "config.json", auto_map={"AutoModel": "harm.Model"})
    with pytest.raises(FormatError, match="never runs code that comes with weights"):
        load_encoder(folder)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"transformer.layer.0.ffn.lin1.bias": None}, FormatError, "1 tensors are missing: trans"),
        (
            {"embeddings.word_embeddings.weight": torch.zeros(64, 7)},
            FormatError,
            r"embeddings\.word_embeddings\.weight has shape 64x7, expected 64x8",
        ),
        (None, FormatError, "none of its tensors belongs to the model"),
    ],
)
def test_weights_of_any_encoder_that_do_not_fit_are_refused(wrapped, change, error, message):
    _, folder = wrapped("DistilBertForMaskedLM")
    tensors = load_file(folder / "model.safetensors")
    if change is None:
        tensors = {"x": torch.zeros(3)}
    else:
        change = {f"distilbert.{name}": tensor for name, tensor in change.items()}
        tensors = {k: v for k, v in (tensors | change).items() if v is not None}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(error, match=message):
        load_encoder(folder)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.full((16,), float("nan")), r"lin1\.bias contains NaN or infinity"),
        (torch.zeros(16, dtype=torch.int8), r"lin1\.bias holds int8, expected floats"),
        (
            torch.zeros(16).to(torch.float8_e4m3fn),
            "holds float8_e4m3fn, expected floats; quantized",
        ),
    ],
)
def test_weights_of_any_encoder_that_are_no_finite_floats_are_refused(wrapped, value, message):
    _, folder = wrapped("DistilBertForMaskedLM")
    tensors = load_file(folder / "model.safetensors")
    tensors["distilbert.embeddings.position_ids"] = torch.arange(20)[None]  # of older files
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    load_encoder(folder)
    tensors["distilbert.transformer.layer.0.ffn.lin1.bias"] = value
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(FormatError, match=message):
        load_encoder(folder)


def test_a_folder_without_pieces_is_refused(wrapped, transformers, monkeypatch):
    _, folder = wrapped("DistilBertForMaskedLM")
    os.remove(folder / "vocab.txt")
    with pytest.raises(
        FormatError,
        match=r"model: the tokenizer has only special tokens; a BertTokenizer needs "
        r"tokenizer\.json or vocab\.txt in the folder",
    ):
        load_encoder(folder)

    def fail(*_, **__):
        raise ValueError("You need it.\nmore")

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", fail)
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    (folder / "spm.model").write_bytes(b"pieces")
    with pytest.raises(
        FormatError,
        match=r"has no tokenizer; .*; transformers: You need it; spm\.model needs sentencepiece: "
        "pip install sentencepiece",
    ):
        load_encoder(folder)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("AlbertModel", "model: headstart cannot find the 2 layers of its AlbertModel"),
        ("IBertModel", "model: its IBertModel has its embeddings in a QuantEmbedding, which"),
        (
            "CanineModel",
            "its CanineModel does not accept texts as headstart's encoders do: `get_inp",
        ),
        (
            "XmodModel",
            "its XmodModel does not accept texts as headstart's encoders do: Input langu",
        ),
        ("ConvBertModel", "model: the states of its ConvBertModel change with padding: a text's"),
        ("FNetModel", "model: the states of its FNetModel change with padding: a text's states"),
        ("YosoModel", "model: the states of its YosoModel change with padding: a text's states"),
    ],
)
def test_an_encoder_that_is_built_in_another_way_is_refused(tiny, saved, name, message):
    with pytest.raises(FormatError, match=message):
        load_encoder(saved(tiny(name, embedding_size=16)))


def test_layers_of_several_widths_are_refused(tiny, saved):
    model = tiny("OPTModel", ffn_dim=24, word_embed_proj_dim=8, pad_token_id=0)
    message = "its OPTModel has states of width 8 after layer 2, but 'hidden_size' is 16"
    with pytest.raises(FormatError, match=message):
        load_encoder(saved(model))


def test_attention_to_blocks_is_full_attention_whatever_was_read_before(
    transformers, tiny, saved, tmp_path
):
    model = tiny("BigBirdModel", block_size=2, num_random_blocks=1, sep_token_id=3)
    folder, told = saved(model, vocabulary=None), Told()
    pieces = BertWordPieceTokenizer({piece: n for n, piece in enumerate(WORD_PIECES)})
    pieces.save(str(folder / "tokenizer.json"))
    encoder = load_encoder(folder, progress=told)
    assert told.notes == ["model: " + note for note in encoder.lineage["notes"]]
    assert encoder.lineage["notes"] == [
        "attends to all tokens, although its configuration says block_sparse"
    ]
    model.set_attention_type("original_full")
    close(states(encoder, TEXT * 2), their_states(model, encoder, TEXT * 2))
    again = transformers.AutoModel.from_pretrained(encoder.save(tmp_path / "again")).eval()
    close(states(encoder, TEXT * 2), their_states(again, encoder, TEXT * 2))


def test_a_configuration_that_asks_for_tuples_gets_layers_all_the_same(wrapped, edit):
    model, folder = wrapped("ElectraForPreTraining")
    edit(folder / "config.json", return_dict=False)
    encoder = load_encoder(folder)
    close(states(encoder), their_states(model.base_model, encoder))


def test_what_reads_from_left_to_right_is_found_out_and_pools_its_last_token(tiny, saved):
    folder = saved(tiny("LlamaModel", num_key_value_heads=4))
    begin = BertWordPieceTokenizer({piece: n for n, piece in enumerate(WORD_PIECES)})
    begin.post_processor = TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 2)])
    begin.save(str(folder / "tokenizer.json"))
    encoder = load_encoder(folder)
    assert encoder.config["before"] == [2]
    assert encoder.model.is_causal
    assert encoder.pooling == "last"


def test_what_reads_in_both_directions_pools_its_first_token(wrapped):
    encoder = load_encoder(wrapped("ElectraForPreTraining")[1])
    assert not encoder.model.is_causal
    assert encoder.pooling == "cls"


def test_a_pooler_that_a_file_lacks_is_the_same_each_time_and_takes_no_chance(tiny, saved):
    folder = saved(tiny("XLMRobertaForMaskedLM", pad_token_id=0), vocabulary=None)
    pieces = BertWordPieceTokenizer({piece: n for n, piece in enumerate(WORD_PIECES)})
    pieces.save(str(folder / "tokenizer.json"))
    torch.manual_seed(1)
    before = torch.get_rng_state()
    encoder = load_encoder(folder)
    assert torch.equal(torch.get_rng_state(), before)
    assert not encoder.tensors()["transformer.pooler.dense.weight"].any()
    torch.manual_seed(2)
    assert load_encoder(folder).identity == encoder.identity


def test_kernels_that_a_configuration_names_are_not_asked_for(wrapped, edit):
    _, folder = wrapped("ElectraForPreTraining")
    asked = {"attn_implementation": "harm/kernel", "_experts_implementation": "harm/kernel"}
    edit(
        folder / "config.json", _attn_implementation="harm/kernel", **asked,
        parts={"text": [{**asked, "auto_map": {"AutoModel": "harm.Model"}}]},
    )  # fmt: skip
    config = load_encoder(folder).model.transformer.config
    assert config._attn_implementation in {"sdpa", "eager"}
    assert config.parts == {"text": [{}]}


def test_loading_is_silent_and_leaves_the_library_as_it_was(transformers, wrapped, capfd):
    _, folder = wrapped("ElectraForPreTraining")
    logging = transformers.utils.logging
    before = (logging.get_verbosity(), logging.is_progress_bar_enabled())
    capfd.readouterr()
    load_encoder(folder)
    assert "".join(capfd.readouterr()) == ""
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


def test_gpt_is_loaded_from_a_folder(tiny, saved):
    folder = saved(tiny("GPT2LMHeadModel", vocab_size=262), vocabulary=None)
    alphabet = sorted(set(ByteLevel.alphabet()))
    (folder / "vocab.json").write_text(
        json.dumps({piece: n for n, piece in enumerate([*alphabet, "<|endoftext|>", "th"])})
    )
    (folder / "merges.txt").write_text("#version: 0.2\nt h\n")
    encoder = load_encoder(folder)
    assert type(encoder) is PretrainedGpt
    assert encoder.inputs(["the"], 9)[0].ids.tolist()[0] == 256
    assert len(encoder.generate("the", max_new_tokens=5)) > 0
