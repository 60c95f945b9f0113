import copy
import json
import math
import os

import numpy as np
import pytest
import torch
from tokenizers import AddedToken, Tokenizer, decoders
from tokenizers.models import BPE, WordPiece
from tokenizers.pre_tokenizers import ByteLevel, Whitespace
from tokenizers.processors import TemplateProcessing

from headstart.errors import DataError, FormatError, SettingsError
from headstart.hub.language_models import (
    PretrainedBert,
    PretrainedGpt,
    classifier_from_transformers,
    portable_tokenizer,
    to_transformers,
)
from headstart.hub.store import load_encoder
from headstart.models.bert import Bert, BertConfig
from headstart.models.gpt import Gpt, GptConfig
from headstart.tokenize.subwords import SubwordTokenizer

TEXTS = ["The cat sat on the mat.", "A dog ate my homework!", "", "cats and dogs " * 20]
SIZES = {"width": 16, "layers": 2, "heads": 4, "feed_forward": 64, "positions": 24}


@pytest.fixture(scope="module")
def tokenizers():
    settings = {"vocabulary_size": 300, "min_count": 1}
    return {
        kind: SubwordTokenizer.train(TEXTS, kind=kind, **settings) for kind in ("wordpiece", "bpe")
    }


@pytest.fixture(scope="module")
def bert(tokenizers):
    tokenizer = tokenizers["wordpiece"]
    config = BertConfig(vocabulary_size=len(tokenizer.vocabulary), **SIZES)
    model = shaken(Bert(config, generator=torch.Generator().manual_seed(0)))
    return PretrainedBert.of(
        model, tokenizer, lineage={"corpus": "texts"}, settings={"size": "tiny"}
    )


@pytest.fixture(scope="module")
def gpt(tokenizers):
    tokenizer = tokenizers["bpe"]
    config = GptConfig(vocabulary_size=len(tokenizer.vocabulary), **SIZES)
    model = shaken(Gpt(config, generator=torch.Generator().manual_seed(0)))
    return PretrainedGpt.of(model, tokenizer, lineage={"corpus": "texts"})


def shaken(model):
    """Let no weight be zero or one by chance."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def encode(encoder, text):
    ids = torch.from_numpy(encoder.inputs([text], 99)[0].ids).long()[None]
    with torch.no_grad():
        return encoder.model.encode(ids, torch.ones_like(ids).bool())[-1]


def close(first, second):
    torch.testing.assert_close(first, second, atol=1e-4, rtol=0)


# What they read


def test_bert_reads_a_text_between_its_special_tokens(bert):
    encoded, cut = bert.inputs(TEXTS, 10)
    bare = bert.tokenizer.encode_batch(TEXTS)
    cls, sep = bert.tokenizer.specials.cls, bert.tokenizer.specials.sep
    assert cut == 1 + (bare.lengths > 8)[:2].sum()
    for row in range(len(TEXTS)):
        assert encoded[row].tolist() == [cls, *bare[row][:8].tolist(), sep]


def test_no_text_is_longer_than_the_positions(bert, gpt):
    for encoder in (bert, gpt):
        encoded, cut = encoder.inputs(TEXTS, 10_000)
        assert cut == 1
        assert encoded.lengths.max() == 24
        encode(encoder, TEXTS[3])


def test_gpt_reads_a_text_after_the_end_of_another(gpt):
    encoded, cut = gpt.inputs(TEXTS, 6)
    bare = gpt.tokenizer.encode_batch(TEXTS)
    assert cut == (bare.lengths > 5).sum()
    assert encoded[0].tolist() == [gpt.tokenizer.specials.end, *bare[0][:5].tolist()]
    assert encoded[2].tolist() == [gpt.tokenizer.specials.end]


def test_what_has_no_room_is_refused(bert, gpt):
    with pytest.raises(SettingsError, match="max_tokens must be above 2, got 2"):
        bert.inputs(TEXTS, 2)
    with pytest.raises(SettingsError, match="max_tokens must be above 1, got 1"):
        gpt.inputs(TEXTS, 1)


def test_a_tokenizer_that_does_not_frame_texts_is_none_for_bert(bert, gpt):
    with pytest.raises(FormatError, match=r"needs \[CLS\] and \[SEP\]"):
        PretrainedBert.of(bert.model, gpt.tokenizer, lineage={})


def test_configurations_hold_the_sizes(bert, gpt):
    assert bert.config["pooling"] == "cls"
    assert bert.config["family"] == "bert"
    assert bert.config["size"] == "tiny"
    assert gpt.config["pooling"] == "last"
    assert bert.config["layers"] == gpt.config["layers"] == 2


# What they say


def test_the_mask_is_filled_with_what_is_likeliest(bert):
    guesses = bert.fill_mask("The [MASK] sat on the mat.", top=7)
    assert len(guesses) == 7
    chances = [chance for _, chance in guesses]
    assert chances == sorted(chances, reverse=True)
    assert 0 < sum(chances) < 1
    everything = bert.fill_mask("[MASK]", top=np.int64(10_000))
    assert len(everything) == len(bert.tokenizer.vocabulary)
    assert math.isclose(sum(chance for _, chance in everything), 1, rel_tol=1e-5)


def test_the_mask_is_filled_as_transformers_does(transformers, bert, tmp_path):
    model = transformers.AutoModelForMaskedLM.from_pretrained(bert.save(tmp_path / "bert"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "bert")
    text = "The [MASK] sat on the mat."
    inputs = tokenizer(text, return_tensors="pt")
    place = inputs["input_ids"][0].tolist().index(tokenizer.mask_token_id)
    with torch.no_grad():
        best = model(**inputs).logits[0, place].softmax(-1).topk(5)
    guesses = bert.fill_mask(text)
    assert [bert.tokenizer.ids.get(piece) for piece, _ in guesses] == best.indices.tolist()
    assert [chance for _, chance in guesses] == pytest.approx(best.values.tolist(), abs=1e-4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no mask", "with one .MASK.; this text has 0"),
        ("[MASK] and [MASK]", "this text has 2"),
        ("cat " * 50 + "[MASK]", "a text of 53 tokens is longer than the model's 24 positions"),
    ],
)
def test_a_text_without_one_mask_is_refused(bert, text, message):
    with pytest.raises(SettingsError, match=message):
        bert.fill_mask(text)


def test_what_is_no_text_or_no_list_of_texts_is_refused(bert, gpt):
    with pytest.raises(DataError, match="the text is of type list, not a string"):
        bert.fill_mask(["a [MASK]"])
    with pytest.raises(DataError, match="expected a list of texts, got one string"):
        gpt.perplexity("the cat")
    with pytest.raises(DataError, match="text 1 is of type float, not a string"):
        gpt.perplexity(["the cat", math.nan])


def test_an_encoder_without_its_head_fills_no_mask(bert, gpt):
    model = Bert(bert.model.config, mlm=False)
    headless = PretrainedBert.of(model, bert.tokenizer, lineage={})
    with pytest.raises(SettingsError, match="no head for masked tokens"):
        headless.fill_mask("a [MASK]")
    for top, got in ((1.5, "1.5"), ("3", "'3'"), (True, "True"), (None, "None")):
        with pytest.raises(SettingsError, match=f"top must be a whole number, got {got}"):
            bert.fill_mask("the [MASK]", top)
    with pytest.raises(SettingsError, match="top must be 1 or more, got 0"):
        bert.fill_mask("a [MASK]", top=0)
    with pytest.raises(SettingsError, match="has no mask token"):
        PretrainedBert("bert", bert.model, gpt.tokenizer, config={}, lineage={}).fill_mask("[MASK]")


def test_gpt_goes_on_the_same_way_with_the_same_seed(gpt):
    first = gpt.generate("The cat", max_new_tokens=12, seed=3)
    assert first == gpt.generate("The cat", max_new_tokens=12, seed=3)
    assert first != gpt.generate("The cat", max_new_tokens=12, seed=4)
    numpy = {"max_new_tokens": np.int64(12), "temperature": np.float32(1), "seed": np.int32(3)}
    assert gpt.generate("The cat", **numpy) == first
    large = gpt.generate("The cat", max_new_tokens=12, seed=2**64 + 3)
    assert large == first  # of any size
    safest = gpt.generate("The cat", max_new_tokens=12, temperature=0)
    assert safest == gpt.generate("The cat", max_new_tokens=12, top_k=1, seed=9)
    several = gpt.generate(["The cat", "A dog ate my"], max_new_tokens=12, temperature=0)
    assert several == [safest, gpt.generate("A dog ate my", max_new_tokens=12, temperature=0)]


def test_gpt_goes_on_as_transformers_does(transformers, gpt, tmp_path):
    model = transformers.AutoModelForCausalLM.from_pretrained(gpt.save(tmp_path / "gpt"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "gpt")
    inputs = tokenizer("The cat", return_tensors="pt")
    ids = model.generate(**inputs, do_sample=False, max_new_tokens=12, eos_token_id=None)
    expected = tokenizer.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    assert gpt.generate("The cat", max_new_tokens=12, temperature=0) == expected


def test_a_text_ends_where_one_says(gpt):
    whole = gpt.generate("The cat", max_new_tokens=12, temperature=0)
    stop = whole[3:5]
    assert (
        gpt.generate("The cat", max_new_tokens=12, temperature=0, stop=stop)
        == (whole[: whole.index(stop)])
    )
    stops = ["not in it", stop]
    both = gpt.generate(["The cat"] * 2, max_new_tokens=12, temperature=0, stop=stops)
    assert both == [whole[: whole.index(stop)]] * 2


def test_a_text_ends_where_the_model_ends_it(gpt, monkeypatch):
    end, piece = gpt.tokenizer.specials.end, gpt.tokenizer.ids["a"]
    steps = [[piece, piece], [end, piece], [piece, end], [piece, piece]]
    drawn = iter(torch.tensor(step) for step in steps)
    monkeypatch.setattr("headstart.hub.language_models.generate", lambda *_, **__: drawn)
    assert gpt.generate(["one", "two"]) == ["a", "aa"]
    assert next(drawn).tolist() == steps[3]  # nobody asked for it


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"prompt": ""}, "a prompt is empty"),
        ({"prompt": ["a", ""]}, "a prompt is empty"),
        ({"prompt": []}, "a prompt is empty"),
        ({"max_new_tokens": 0}, "max_new_tokens must be a whole number above 0, got 0"),
        ({"max_new_tokens": 99}, "exceed the model's 24 positions"),
        ({"temperature": -1}, "temperature must be 0 or more"),
        ({"top_p": 2}, "top_p must be"),
        ({"stop": ["x", ""]}, "an empty stop"),
        ({"temperature": "high"}, "temperature must be 0 or more, got 'high'"),
        ({"top_p": "most"}, "top_p must be above 0 and at most 1, got 'most'"),
        ({"seed": 1.5}, "seed must be a whole number, got 1.5"),
        ({"prompt": 5}, "prompt must be a string, or a list of them"),
        ({"prompt": ["a", None]}, "prompt must be a string, or a list of them"),
        ({"stop": 5}, "stop must be a string, or a list of them"),
        ({"prompt": "The \ud800"}, "prompt contains an unpaired surrogate"),
    ],
)
def test_impossible_wishes_are_refused(gpt, settings, message):
    with pytest.raises(SettingsError, match=message):
        gpt.generate(**{"prompt": "The cat", "max_new_tokens": 3, **settings})


def test_perplexity_is_that_of_the_next_token(gpt):
    total, count = 0.0, 0
    for text in TEXTS:
        ids = torch.from_numpy(gpt.inputs([text], 99)[0].ids).long()
        with torch.no_grad():
            chances = gpt.model.token_scores(encode(gpt, text))[0].log_softmax(-1)
        total -= float(chances[:-1].gather(1, ids[1:, None]).sum())
        count += len(ids) - 1
    assert gpt.perplexity(TEXTS) == pytest.approx(math.exp(total / count), rel=1e-4)
    with pytest.raises(SettingsError, match="contain no token"):
        gpt.perplexity(["", ""])


# RoBERTa and GPT-1, whose tokenizers are others


@pytest.fixture
def roberta(tiny, saved):
    """A RoBERTa of transformers, and its folder with pieces of bytes."""
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    pieces = [*specials, *sorted(ByteLevel.alphabet()), "th", "the", "\u0120c", "at"]
    model = tiny(
        "RobertaForMaskedLM", vocab_size=len(pieces), type_vocab_size=1, pad_token_id=1,
        bos_token_id=0, eos_token_id=2,
    )  # fmt: skip
    folder = saved(model, vocabulary=None)
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\nt h\nth e\n\u0120 c\na t\n")
    return model, folder


def published_roberta_tokenizer(transformers, folder):
    """Return the tokenizer whose mask takes the space before it, as the published one says."""
    mask = AddedToken("<mask>", lstrip=True, special=True)
    return transformers.RobertaTokenizer.from_pretrained(folder, mask_token=mask)


def test_a_roberta_is_read_and_saved_as_one(transformers, roberta, tmp_path):
    _, folder = roberta
    encoder = load_encoder(folder)
    assert encoder.config["family"] == "roberta"
    loaded = load_encoder(encoder.save(tmp_path / "again"))
    assert (loaded.config, loaded.fingerprint) == (encoder.config, encoder.fingerprint)
    theirs = published_roberta_tokenizer(transformers, folder)
    ours = transformers.AutoTokenizer.from_pretrained(tmp_path / "again")
    for text in (("the cat",), ("the cat", "a mat"), ("the <mask> cat",)):
        assert ours(*text) == theirs(*text)
    assert encoder.inputs(["the cat"], 9)[0].ids.tolist() == theirs("the cat")["input_ids"]
    model = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "again")
    assert type(model) is transformers.RobertaForMaskedLM
    ids = torch.tensor([theirs("the cat")["input_ids"]])
    with torch.no_grad():
        states = encode(encoder, "the cat")
        close(encoder.model.token_scores(states), model(ids).logits)


def framing_tokenizer(specials, pair):
    """Return word pieces of a library's tokenizer that joins pairs in this way."""
    pieces = {piece: number for number, piece in enumerate([*specials, "cat", "mat"])}
    tokenizer = Tokenizer(WordPiece(pieces, unk_token=specials[3]))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.add_special_tokens(specials)
    begin, end = specials[0], specials[2]
    tokenizer.post_processor = TemplateProcessing(
        single=f"{begin} $A {end}", pair=pair, special_tokens=[(begin, 0), (end, 2)]
    )
    return tokenizer


OTHER_PAIRS = {  # as in multilingual MiniLM, and in KLUE's RoBERTa
    "BertModel": (
        ["<s>", "<pad>", "</s>", "<unk>", "<mask>"], "<s> $A </s> </s> $B </s>",
        {"between": [2, 2], "pair_segments": False},
    ),
    "RobertaModel": (
        ["[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]"], "[CLS] $A [SEP] $B [SEP]",
        {"between": [2], "pair_segments": False},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHER_PAIRS)
def test_pairs_are_read_as_the_tokenizer_says_whatever_its_family(
    transformers, tiny, saved, tmp_path, name
):
    specials, pair, told = OTHER_PAIRS[name]
    model = tiny(name, vocab_size=7, type_vocab_size=2, pad_token_id=1)
    folder = saved(model, vocabulary=None)
    theirs = framing_tokenizer(specials, pair)
    theirs.save(str(folder / "tokenizer.json"))
    encoder = load_encoder(folder)
    assert {name: encoder.config[name] for name in told} == told
    pairs, _ = encoder.pair_inputs(["cat", "mat"], 20, both_orders=False)
    expected = theirs.encode("cat", "mat")
    assert pairs[0].tolist() == expected.ids
    assert pairs.seconds is None
    loaded = load_encoder(encoder.save(tmp_path / "again"))
    assert (loaded.config, loaded.identity) == (encoder.config, encoder.identity)
    again = transformers.AutoTokenizer.from_pretrained(tmp_path / "again")
    assert again("cat", "mat")["input_ids"] == expected.ids
    (tmp_path / "again" / "manifest.json").unlink()  # which makes it anybody's
    assert load_encoder(tmp_path / "again").config == encoder.config


def test_a_tokenizer_that_reads_pairs_as_its_family_does_is_not_told_of(tiny, saved):
    folder = saved(tiny("BertModel", vocab_size=7), vocabulary=None)
    specials = ["[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]"]
    usual = framing_tokenizer(specials, "[CLS] $A [SEP] $B:1 [SEP]:1")
    usual.save(str(folder / "tokenizer.json"))
    encoder = load_encoder(folder)
    assert not {"between", "pair_segments"} & set(encoder.config)
    pairs, _ = encoder.pair_inputs(["cat", "mat"], 20, both_orders=False)
    assert pairs.seconds.tolist() == [3]


@pytest.mark.parametrize("mask", ["[MASK]", "<mask>"])
def test_the_mask_of_roberta_brings_its_own_space(transformers, roberta, mask):
    model, folder = roberta
    tokenizer = published_roberta_tokenizer(transformers, folder)
    inputs = tokenizer("the <mask> cat", return_tensors="pt")
    place = inputs["input_ids"][0].tolist().index(tokenizer.mask_token_id)
    with torch.no_grad():
        best = model(**inputs).logits[0, place].softmax(-1).topk(3)
    guesses = load_encoder(folder).fill_mask(f"the {mask} cat", top=3)
    assert [chance for _, chance in guesses] == pytest.approx(best.values.tolist(), abs=1e-5)


@pytest.fixture
def russian_gpt(tiny, saved):
    """The folder of a GPT-2 whose texts end in `</s>`, as those of ruGPT-3."""

    def make(**settings):
        specials = ["<pad>", "<s>", "</s>", "<unk>", "<mask>"]
        pieces = {piece: n for n, piece in enumerate([*specials, *sorted(ByteLevel.alphabet())])}
        tokenizer = Tokenizer(BPE(pieces, []))
        tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        tokenizer.add_special_tokens(specials)
        folder = saved(tiny("GPT2LMHeadModel", vocab_size=len(pieces), **settings), vocabulary=None)
        tokenizer.save(str(folder / "tokenizer.json"))
        return folder

    return make


@pytest.mark.parametrize("end", [2, [2, 0]])
def test_a_text_ends_where_the_configuration_of_its_model_says(
    russian_gpt, edit, monkeypatch, tmp_path, end
):
    folder = russian_gpt(bos_token_id=1, eos_token_id=2)
    edit(folder / "config.json", eos_token_id=end)
    encoder = load_encoder(folder)
    loaded = load_encoder(encoder.save(tmp_path / "again"))
    assert json.loads((tmp_path / "again" / "config.json").read_text())["eos_token_id"] == 2
    for each in (encoder, loaded, copy.deepcopy(encoder)):
        ids = each.tokenizer.ids
        assert each.tokenizer.with_tokens(["[new]"]).specials.end == ids["</s>"]
        assert each.inputs(["a"], 9)[0].ids.tolist() == [ids["</s>"], ids["a"]]
        drawn = iter(torch.tensor([ids[piece]]) for piece in ("b", "</s>", "c"))
        monkeypatch.setattr(
            "headstart.hub.language_models.generate", lambda *_, drawn=drawn, **__: drawn
        )
        assert each.generate("a") == "b"


@pytest.mark.parametrize("end", [50256, 9, None, "</s>"])
def test_an_end_that_is_no_special_token_of_the_vocabulary_is_none(russian_gpt, edit, end):
    folder = russian_gpt()
    edit(folder / "config.json", eos_token_id=end)
    assert load_encoder(folder).tokenizer.specials.end is None


def test_a_gpt_with_word_pieces_is_told_what_to_do(tiny, saved):
    with pytest.raises(
        FormatError, match=r"vocab\.txt: a 'gpt2' with WordPiece cannot be loaded from"
    ):
        load_encoder(saved(tiny("GPT2LMHeadModel")))


@pytest.fixture
def first_gpt(tiny, saved):
    """The folder of a GPT-1 with pieces that end in `</w>` where a word does."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    pieces = ["<unk>", *letters, *(f"{letter}</w>" for letter in letters), "th", "the</w>"]
    folder = saved(tiny("OpenAIGPTLMHeadModel", vocab_size=len(pieces)), vocabulary=None)
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\nt h\nth e</w>\n")
    return folder


def test_gpt_1_has_nothing_to_begin_with(first_gpt, tmp_path):
    encoder = load_encoder(first_gpt)
    ids = encoder.tokenizer.ids
    encoded, cut = encoder.inputs(["The cat", "", "a"], 3)
    assert cut == 1
    assert [encoded[row].tolist() for row in range(3)] == [
        [ids["the</w>"], ids["c"], ids["a"]], [ids["<unk>"]], [ids["a</w>"]],
    ]  # fmt: skip
    assert encoder.perplexity(["the cat", "a"]) > 1
    loaded = load_encoder(encoder.save(tmp_path / "again"))
    assert (loaded.config, loaded.fingerprint) == (encoder.config, encoder.fingerprint)


def test_what_gpt_1_adds_begins_with_its_space(first_gpt, monkeypatch):
    encoder = load_encoder(first_gpt)
    ids = encoder.tokenizer.ids
    steps = [[ids["the</w>"]], [ids["a"]], [ids["t</w>"]]]
    drawn = iter(torch.tensor(step) for step in steps)
    monkeypatch.setattr("headstart.hub.language_models.generate", lambda *_, **__: drawn)
    assert encoder.generate("The") == " the at"


# Folders


def test_a_saved_encoder_is_the_same(bert, gpt, tmp_path):
    for encoder in (bert, gpt):
        loaded = load_encoder(encoder.save(tmp_path / encoder.kind))
        assert type(loaded) is type(encoder)
        assert loaded.fingerprint == encoder.fingerprint
        assert loaded.config == encoder.config
        assert loaded.lineage == encoder.lineage
        assert torch.equal(encode(loaded, TEXTS[0]), encode(encoder, TEXTS[0]))
        assert sorted(os.listdir(tmp_path / encoder.kind)) == [
            "README.md", "config.json", "manifest.json", "model.safetensors",
            "tokenizer.json", "tokenizer_config.json",
        ]  # fmt: skip
        assert load_encoder(loaded.save(tmp_path / "again", overwrite=True)).lineage == (
            encoder.lineage
        )


@pytest.mark.parametrize(
    "parts", [{}, {"nsp": False}, {"mlm": False}, {"mlm": False, "nsp": False}]
)
def test_heads_are_saved_as_they_are(bert, tmp_path, parts):
    model = shaken(Bert(bert.model.config, **parts))
    encoder = PretrainedBert.of(model, bert.tokenizer, lineage={}, pooling="mean")
    loaded = load_encoder(encoder.save(tmp_path / "bert"))
    assert loaded.fingerprint == encoder.fingerprint
    assert loaded.config["pooling"] == "mean"


def test_transformers_reads_the_same_ids(transformers, bert, gpt, tmp_path):
    for encoder in (bert, gpt):
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            encoder.save(tmp_path / encoder.kind)
        )
        read = tokenizer(TEXTS, truncation=True, padding=True)
        encoded, _ = encoder.inputs(TEXTS, 24)
        for row, ids in enumerate(read["input_ids"]):
            length = int(encoded.lengths[row])
            assert ids[:length] == encoded[row].tolist()
            assert set(ids[length:]) <= {tokenizer.pad_token_id}
        assert ("token_type_ids" in read) == (encoder is bert)
    pair = transformers.AutoTokenizer.from_pretrained(tmp_path / "bert")("a cat", "a dog")
    assert sorted(set(pair["token_type_ids"])) == [0, 1]


def test_transformers_reads_the_same_model(transformers, bert, gpt, tmp_path):
    model = transformers.AutoModelForPreTraining.from_pretrained(bert.save(tmp_path / "bert"))
    ids = torch.from_numpy(bert.inputs(TEXTS[:1], 24)[0].ids).long()[None]
    with torch.no_grad():
        read = model(ids)
        states = encode(bert, TEXTS[0])
        close(bert.model.token_scores(states), read.prediction_logits)
        close(bert.model.nsp(bert.model.pool(states[:, 0])), read.seq_relationship_logits)
    model = transformers.AutoModelForCausalLM.from_pretrained(gpt.save(tmp_path / "gpt"))
    ids = torch.from_numpy(gpt.inputs(TEXTS[:1], 24)[0].ids).long()[None]
    with torch.no_grad():
        close(gpt.model.token_scores(encode(gpt, TEXTS[0])), model(ids).logits)


def test_what_transformers_saves_again_is_read_as_anybodys(transformers, bert, tmp_path):
    folder = bert.save(tmp_path / "bert")
    model = transformers.AutoModelForPreTraining.from_pretrained(folder)
    model.save_pretrained(tmp_path / "theirs")
    transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path / "theirs")
    loaded = load_encoder(tmp_path / "theirs")
    assert loaded.lineage["source"] == "theirs"
    assert loaded.lineage["loaded"]["matched"] == len(bert.model.state_dict())
    assert loaded.tokenizer.words("The cat") == bert.tokenizer.words("The cat")
    assert torch.equal(encode(loaded, TEXTS[0]), encode(bert, TEXTS[0]))


def test_a_folder_of_ours_that_was_changed_is_refused(bert, tmp_path, edit):
    folder = bert.save(tmp_path / "bert")
    edit(folder / "config.json", hidden_dropout_prob=0.2)
    with pytest.raises(FormatError, match=r"config\.json: corrupted: sha256"):
        load_encoder(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "format 2, expected 1"),
        (
            {"kind": "classifier"},
            r"contains a 'classifier', which is not an encoder; .* headstart\.load",
        ),
        ({"kind": "glove"}, "contains a 'glove', which is not an encoder"),
        ({"lineage": None}, "'lineage' is missing"),
    ],
)
def test_a_folder_of_ours_that_says_something_else_is_refused(bert, tmp_path, change, message):
    folder = bert.save(tmp_path / "bert")
    config = json.loads((folder / "config.json").read_text())
    config["headstart"] |= change
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "manifest.json").write_text('{"sha256": {}}')
    with pytest.raises(FormatError, match=message):
        load_encoder(folder)


def test_a_classifier_comes_back_as_it_was(bert, gpt, tokenizers):
    for encoder, bias in ((bert, torch.randn(2)), (gpt, None)):
        weight = torch.randn(2, 16)
        config, tensors = to_transformers(
            encoder.model, encoder.tokenizer, classifier=(weight, bias), classes=["no", "yes"]
        )
        model, (read, read_bias) = classifier_from_transformers(config, tensors, place="model")
        assert torch.equal(read, weight)
        assert torch.equal(read_bias, torch.zeros(2) if bias is None else bias)
        assert type(model) is type(encoder.model)
        assert config["id2label"] == {"0": "no", "1": "yes"}
    with pytest.raises(FormatError, match="'t5' is neither BERT nor GPT"):
        classifier_from_transformers({"model_type": "t5"}, {}, place="model")


@pytest.mark.parametrize("name", ["bert", "gpt"])
def test_the_identity_survives_the_disk(name, request, tmp_path):
    encoder = request.getfixturevalue(name)
    loaded = load_encoder(encoder.save(tmp_path / "first"))
    assert loaded.identity == encoder.identity
    assert load_encoder(loaded.save(tmp_path / "second")).identity == encoder.identity


def test_the_identity_of_a_gpt_tells_tokenizers_apart(gpt):
    backend = Tokenizer.from_str(gpt.tokenizer.as_json())
    backend.pre_tokenizer.add_prefix_space = True
    other = gpt.with_model(gpt.model, SubwordTokenizer(backend))
    assert other.fingerprint == gpt.fingerprint
    assert other.identity != gpt.identity


def test_a_portable_tokenizer_knows_the_model(bert, gpt):
    for encoder, role, piece in ((bert, "cls_token", "[CLS]"), (gpt, "eos_token", "<|endoftext|>")):
        _, files = portable_tokenizer(encoder.model, encoder.tokenizer)
        settings = files["tokenizer_config.json"]
        assert settings["model_max_length"] == 24
        assert settings[role] == piece
        assert settings.get("strip_accents", ...) is (False if encoder is bert else ...)


def test_nothing_is_dropped_of_a_model_that_was_left_in_training(bert, gpt):
    def said():
        return [
            bert.fill_mask("The [MASK] sat."),
            gpt.perplexity(TEXTS),
            gpt.generate("The cat", max_new_tokens=5, temperature=0),
        ]

    expected = said()
    bert.model.train()
    gpt.model.train()
    try:
        assert said() == expected
        assert bert.model.training
        assert gpt.model.training
    finally:
        bert.model.eval()
        gpt.model.eval()
