import re
from types import SimpleNamespace

import pytest

from headstart.compare.contestants import Contestant, parse_all
from headstart.errors import SettingsError
from headstart.hub.wrapped_models import PretrainedTransformer
from headstart.transfer.methods import TfIdf


def test_methods_as_a_user_writes_them():
    assert Contestant.parse("scratch") == Contestant("scratch", "", "", "scratch")
    assert Contestant.parse(" word2vec:frozen ").encoder == "word2vec"
    loaded = Contestant.parse("glove=data/glove.6B.50d.txt:finetune")
    assert (loaded.name, loaded.source) == ("glove:finetune", "data/glove.6B.50d.txt")
    windows = Contestant.parse(r"mine=C:\vectors.txt:probe")
    assert (windows.source, windows.transfer) == (r"C:\vectors.txt", "probe")


@pytest.mark.parametrize("transfer", ["probe", "frozen", "finetune", "gradual", "lora", "scratch"])
def test_whole_models_have_every_transfer(transfer):
    for name in ("bert", "gpt"):
        assert Contestant.parse(f"{name}:{transfer}").transfer == transfer
    assert Contestant.parse(f"mine=runs/bert:{transfer}").source == "runs/bert"


def test_an_encoder_that_is_adapted_is_another_encoder():
    here = Contestant.parse("bert+adapt:finetune")
    assert (here.name, here.encoder, here.base) == ("bert+adapt:finetune", "bert+adapt", "bert")
    loaded = Contestant.parse("minilm+adapt=models/a+b:lora")
    assert (loaded.name, loaded.source) == ("minilm+adapt:lora", "models/a+b")
    assert loaded.is_adapted
    assert not Contestant.parse("bert:finetune").is_adapted


@pytest.mark.parametrize("transfer", ["probe", "frozen", "finetune"])
def test_what_reads_words_in_context_has_the_transfers_of_word_vectors(transfer):
    for name in ("cove", "elmo"):
        here = Contestant.parse(f"{name}:{transfer}")
        assert (here.name, here.encoder, here.source) == (f"{name}:{transfer}", name, "")
        assert here.trains_encoder == (transfer == "finetune")
    loaded = Contestant.parse(f"mine=models/elmo:{transfer}")
    assert (loaded.encoder, loaded.source) == ("mine", "models/elmo")


def test_which_methods_train_an_encoder():
    trained = ["bert:finetune", "bert:scratch", "bert:lora", "glove=g:finetune", "elmo:finetune"]
    for text in trained:
        assert Contestant.parse(text).trains_encoder
    for text in ("scratch", "tfidf", "bert:probe", "bert:frozen", "cove:frozen"):
        assert not Contestant.parse(text).trains_encoder


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "invalid method ''; write majority"),
        ("frozen", "invalid method 'frozen'; write majority"),
        ("word2vec", "invalid method 'word2vec': the transfer is missing"),
        ("word2vec:magic", "invalid method 'word2vec:magic': unknown transfer"),
        ("scratch:frozen", "cannot be pretrained"),
        ("minilm:frozen", "write minilm=FILE:frozen"),
        ("minilm+adapt:frozen", r"write minilm\+adapt=FILE:frozen"),
        ("glove=:frozen", "the source is missing; write NAME:TRANSFER or NAME=SOURCE:TRANSFER"),
        ("=file:frozen", "the source is missing; write NAME:TRANSFER or NAME=SOURCE:TRANSFER"),
        ("+adapt:frozen", "the source is missing; write NAME:TRANSFER or NAME=SOURCE:TRANSFER"),
        ("bert+more:frozen", r"only \+adapt can follow .* as in bert\+adapt:frozen"),
        ("bert+adapt+adapt:frozen", r"\+adapt"),
        ("word2vec:scratch", "to train the pipeline without an encoder, use the method scratch"),
        ("word2vec:lora", "use one of probe, frozen, finetune"),
        ("word2vec:gradual", "replaces only the embedding layer, .* replace the whole model"),
        ("glove+adapt:finetune", "glove provides word vectors, but only BERT and GPT can be adap"),
        ("elmo:lora", "elmo encodes words in context and .* one of probe, frozen, finetune"),
        ("cove:gradual", "'gradual' is for encoders that replace the whole model, such as bert"),
        ("cove:scratch", "to train the pipeline without an encoder, use the method scratch"),
        ("elmo+adapt:frozen", r"elmo encodes words in context, but only BERT .* remove \+adapt"),
        ("elmo", "invalid method 'elmo': the transfer is missing"),
        ("cove=:frozen", "the source is missing; write NAME:TRANSFER or NAME=SOURCE:TRANSFER"),
    ],
)
def test_what_is_no_method(text, reason):
    with pytest.raises(SettingsError, match=reason):
        Contestant.parse(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "word2vec:finetuned",
            "'word2vec:finetuned': unknown transfer 'finetuned'; did you mean 'fi",
        ),
        ("glove=a.txt:magic", "unknown transfer 'magic'; choose from finetune, frozen, gradual, l"),
        ("wrod2vec", "invalid method 'wrod2vec'; did you mean 'word2vec:finetune'?"),
        ("BERT", "did you mean 'bert:finetune'?"),
        (
            "tfidf scratch",
            "'tfidf scratch'; a method has no spaces (in a command, separate methods with commas)",
        ),
        ("tf-idf", "did you mean 'tfidf'?"),
        ("bert", "transfer is missing; write bert:finetune, or one of probe, frozen, finetune, "),
        ("elmo", "write elmo:finetune, or one of probe, frozen, finetune"),
        ("mine=a.txt", "write mine=a.txt:finetune, or one of"),
        ("mine=C:\\a.txt", "the transfer is missing; write mine=C:\\a.txt:finetune, or one of"),
        ("bert+adapt", "write bert+adapt:finetune, or one of"),
        (
            "roberta-large",
            "write majority, tfidf, scratch, or an encoder (word2vec, glove, ",
        ),
        (
            "wrod2vec:frozen",
            "gpt, bert can; did you mean 'word2vec'?)",
        ),
        (TfIdf(), "must be a string such as 'glove:finetune', got a value of type TfIdf"),
    ],
)
def test_the_part_that_is_wrong_is_named(text, told):
    with pytest.raises(SettingsError, match=re.escape(told)):
        parse_all(["scratch", text])


def test_what_only_the_loaded_encoder_shows(vectors, bert, elmo, cove):
    for text in ("mine=f:scratch", "mine=f:lora", "mine+adapt=f:probe"):
        with pytest.raises(SettingsError, match="word vectors"):
            Contestant.parse(text).check(vectors)
        Contestant.parse(text).check(bert)
        for reader in (elmo, cove):
            with pytest.raises(SettingsError, match="mine encodes words in context"):
                Contestant.parse(text).check(reader)
    for transfer in ("probe", "frozen", "finetune"):
        Contestant.parse(f"mine=f:{transfer}").check(elmo)
    other = object.__new__(PretrainedTransformer)
    other.kind, other.model = "hf", SimpleNamespace(width=8, state_dict=dict)
    other.tokenizer = SimpleNamespace(vocabulary=[], lowercase=True)
    Contestant.parse("mine=f:scratch").check(other)
    with pytest.raises(SettingsError, match="only BERT and GPT can be adapted"):
        Contestant.parse("mine+adapt=f:probe").check(other)


def test_methods_together():
    with pytest.raises(SettingsError, match="at least one"):
        parse_all([])
    with pytest.raises(SettingsError, match="twice"):
        parse_all(["tfidf", "tfidf"])
    with pytest.raises(SettingsError, match="two sources"):
        parse_all(["a=x.txt:probe", "a=y.txt:frozen"])
    with pytest.raises(SettingsError, match="'bert' has two sources"):
        parse_all(["bert:finetune", "bert+adapt=runs/bert:finetune"])
    assert len(parse_all(["bert:finetune", "bert+adapt:finetune"])) == 2
