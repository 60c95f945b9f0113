import pytest
import torch
from safetensors.torch import load_file, save_file

from headstart.errors import FormatError, SettingsError
from headstart.hub.foreign import bert
from headstart.models.bert import Bert, BertConfig
from headstart.tokenize.subwords import Specials

SPECIALS = Specials(pad=0, unknown=1, cls=2, sep=3, mask=4, end=None)
ROBERTA_SPECIALS = Specials(pad=1, unknown=3, cls=0, sep=2, mask=4, end=None)
IDS = torch.tensor([[2, 7, 9, 11, 5, 3, 8, 12, 3, 0], [2, 20, 6, 3, 30, 3, 0, 0, 0, 0]])
MASK = torch.tensor([[1] * 9 + [0], [1] * 6 + [0] * 4]).bool()
SEGMENTS = torch.tensor([[0] * 6 + [1] * 3 + [0], [0] * 4 + [1] * 2 + [0] * 4])


def read(model, **settings):
    """Give ours what is in a model of theirs."""
    tensors = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    config = model.config.to_dict() | settings
    return bert.from_transformers(config, tensors, place="model")


def mine(model, ids=IDS, mask=MASK, segments=SEGMENTS):
    with torch.no_grad():
        return model.encode(ids, mask, segments)


def theirs(model, ids=IDS, mask=MASK, segments=SEGMENTS):
    with torch.no_grad():
        return model(
            input_ids=ids,
            attention_mask=mask.long(),
            token_type_ids=segments,
            output_hidden_states=True,
        )


def close(first, second):
    torch.testing.assert_close(first, second, atol=1e-4, rtol=0)


# In


def test_bert_gives_the_logits_of_transformers(tiny):
    model = tiny("BertForPreTraining")
    ours, report = read(model)
    expected, layers = theirs(model), mine(ours)
    for layer, state in zip(layers, expected.hidden_states, strict=True):
        close(layer[MASK], state[MASK])
    close(ours.token_scores(layers[-1][MASK]), expected.prediction_logits[MASK])
    close(ours.nsp(ours.pool(layers[-1][:, 0])), expected.seq_relationship_logits)
    assert report.missing == report.unexpected == ()
    assert report.matched == len(ours.state_dict())


def test_roberta_counts_positions_from_after_the_padding(tiny):
    model = tiny("RobertaForMaskedLM", type_vocab_size=1, pad_token_id=1)
    ours, report = read(model)
    assert ours.config.positions == 18
    ids = torch.where(MASK, IDS, torch.tensor(1))
    segments = torch.zeros_like(ids)
    expected, layers = theirs(model, ids, segments=segments), mine(ours, ids, segments=None)
    close(ours.token_scores(layers[-1][MASK]), expected.logits[MASK])
    assert report.missing == ("pooler.dense.weight", "pooler.dense.bias")


@pytest.mark.parametrize(
    ("name", "parts", "missing", "unexpected"),
    [
        ("BertModel", ("pooler",), 7, 0),
        ("BertForMaskedLM", ("mlm",), 4, 0),
        ("BertForNextSentencePrediction", ("pooler", "nsp"), 5, 0),
        ("BertForSequenceClassification", ("pooler",), 7, 2),
        ("BertForTokenClassification", (), 9, 2),
        ("RobertaModel", ("pooler",), 5, 0),
        ("RobertaForSequenceClassification", (), 7, 4),
    ],
)
def test_a_model_has_the_parts_that_its_file_has(tiny, name, parts, missing, unexpected):
    ours, report = read(tiny(name))
    assert tuple(p for p in ("pooler", "mlm", "nsp") if getattr(ours, p) is not None) == parts
    assert len(report.missing) == missing
    assert len(report.unexpected) == unexpected
    assert all("classifier" in each for each in report.unexpected)
    assert f"{report.matched:,} tensors matched" in str(report)


def test_old_names_and_prefixes_are_understood(tiny):
    model = tiny("BertForPreTraining")
    expected = bert.to_transformers(read(model)[0], specials=SPECIALS)[1]
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): tensor
        for name, tensor in model.state_dict().items()
    }
    old["bert.embeddings.position_ids"] = torch.arange(20)[None]
    bare = {name.removeprefix("bert."): tensor for name, tensor in old.items()}
    for tensors in (old, bare):
        ours, report = bert.from_transformers(model.config.to_dict(), tensors, place="model")
        assert report.unexpected == ()
        again = bert.to_transformers(ours, specials=SPECIALS)[1]
        assert all(torch.equal(again[name], tensor) for name, tensor in expected.items())


def test_half_precision_is_read_as_single(tiny):
    model = tiny("BertModel").to(torch.bfloat16)
    ours, _ = read(model)
    assert {parameter.dtype for parameter in ours.parameters()} == {torch.float32}
    assert not ours.training


def test_layers_that_the_configuration_does_not_count_are_reported(tiny):
    ours, report = read(tiny("BertModel"), num_hidden_layers=1)
    assert len(ours.blocks) == 1
    assert len(report.unexpected) == 16
    assert report.unexpected[0].startswith("encoder.layer.1.")


# What cannot be


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden_size": None}, "config.json: 'hidden_size' is missing"),
        ({"hidden_size": "16"}, "'hidden_size' must be a whole number from 1 to 65,536, got '16'"),
        ({"hidden_size": 10**9}, "'hidden_size' must be a whole number from 1 to 65,536"),
        ({"num_hidden_layers": 10**6}, "'num_hidden_layers' must be .* from 1 to 1,000"),
        ({"num_hidden_layers": True}, "'num_hidden_layers' must be"),
        ({"vocab_size": -1}, "'vocab_size' must be"),
        ({"num_attention_heads": 3}, "config.json: 3 heads do not divide the width 16"),
        ({"hidden_act": "gelu_new"}, "'hidden_act' is 'gelu_new'; .* supports only 'gelu'"),
        ({"position_embedding_type": "relative_key"}, "'position_embedding_type' is"),
        ({"is_decoder": True}, "'is_decoder' is True; headstart's model supports only False"),
        ({"add_cross_attention": True}, "'add_cross_attention'"),
        ({"pruned_heads": {"0": [1]}}, "'pruned_heads'"),
        ({"hidden_dropout_prob": 2}, "'hidden_dropout_prob' must be in \\[0, 1\\), got 2"),
        ({"layer_norm_eps": "small"}, "'layer_norm_eps'"),
    ],
)
def test_a_configuration_that_asks_for_another_model_is_refused(tiny, settings, message):
    config = tiny("BertModel").config.to_dict() | settings
    with pytest.raises(FormatError, match=message):
        bert.read_config(config, place="config.json")


@pytest.mark.parametrize("settings", [{"max_position_embeddings": 2}, {"pad_token_id": "1"}])
def test_a_roberta_without_positions_is_refused(tiny, settings):
    config = tiny("RobertaModel").config.to_dict() | settings
    with pytest.raises(FormatError, match=next(iter(settings))):
        bert.read_config(config, place="config.json")


def damaged(tiny, change, name="BertForPreTraining"):
    model = tiny(name)
    tensors = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    change(tensors)
    return bert.from_transformers(model.config.to_dict(), tensors, place="model")


QUERY = "bert.encoder.layer.1.attention.self.query.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: t.update({QUERY: torch.zeros(16, 15)}),
            f"{QUERY} has shape 16x15, expected 16x16",
        ),
        (
            lambda t: t.update({QUERY: torch.tensor(1.0)}),
            f"{QUERY} has shape a number, expected 16",
        ),
        (lambda t: t[QUERY].fill_(torch.nan), f"{QUERY} contains NaN or infinity"),
        (lambda t: t.update({QUERY: t[QUERY].to(torch.int8)}), f"{QUERY} holds int8, expected fl"),
        (
            lambda t: t.update({QUERY: t[QUERY].to(torch.float8_e5m2)}),
            f"{QUERY} holds float8_e5m2, expected floats; quantized weights are not supported",
        ),
        (lambda t: [t.pop(QUERY), t.pop(QUERY.replace("weight", "bias"))], "2 tensors are missing"),
        (lambda t: t.pop("cls.predictions.transform.dense.bias"), "1 tensors are missing: cls"),
        (
            lambda t: t.update({"cls.predictions.decoder.weight": torch.zeros(64, 16)}),
            "cls.predictions.decoder.weight differs from bert.embeddings.word_embeddings.weight",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_refused(tiny, change, message):
    with pytest.raises(FormatError, match=f"model: .*{message}|model: {message}"):
        damaged(tiny, change)


def test_every_missing_tensor_is_named(tiny):
    with pytest.raises(FormatError) as caught:
        damaged(tiny, lambda t: [t.pop(name) for name in list(t) if "layer.1." in name])
    assert "16 tensors are missing" in str(caught.value)
    assert str(caught.value).count("encoder.layer.1.") == 16


def test_a_file_without_any_tensor_of_the_model_is_no_transfer(tiny):
    config = tiny("BertModel").config.to_dict()
    other = {"encoder.weight": torch.zeros(3), "h.0.mlp.c_fc.weight": torch.zeros(2, 2)}
    for tensors in (other, {}):
        with pytest.raises(FormatError, match=r"none of its .* would start from random weights"):
            bert.from_transformers(config, tensors, place="model")


# Out


def fresh(pooler=True, mlm=True, nsp=True, segments=2):
    config = BertConfig(
        vocabulary_size=40, width=16, layers=2, heads=4, feed_forward=24, positions=12,
        segments=segments, norm_eps=1e-5,
    )  # fmt: skip
    generator = torch.Generator().manual_seed(1)
    model = Bert(config, pooler=pooler, mlm=mlm, nsp=nsp, generator=generator)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return model.eval()


def export(transformers, folder, auto, model, **settings):
    config, tensors = bert.to_transformers(model, **settings)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    class_ = getattr(transformers, config["architectures"][0])
    class_.config_class(**config).save_pretrained(folder)
    loaded, found = getattr(transformers, auto).from_pretrained(folder, output_loading_info=True)
    assert not found["missing_keys"] | found["mismatched_keys"]
    assert type(loaded) is class_ or auto == "AutoModel"
    return loaded.eval(), found["unexpected_keys"]


@pytest.mark.parametrize(
    ("parts", "auto", "architecture"),
    [
        ({}, "AutoModelForPreTraining", "BertForPreTraining"),
        ({"nsp": False, "pooler": False}, "AutoModelForMaskedLM", "BertForMaskedLM"),
        ({"mlm": False}, "AutoModelForNextSentencePrediction", "BertForNextSentencePrediction"),
        ({"mlm": False, "nsp": False}, "AutoModel", "BertModel"),
    ],
)
def test_what_is_exported_gives_the_same_numbers(transformers, tmp_path, parts, auto, architecture):
    ours = fresh(**parts)
    model, unexpected = export(transformers, tmp_path, auto, ours, specials=SPECIALS)
    assert model.config.architectures == [architecture]
    assert not unexpected
    expected, layers = theirs(model), mine(ours)
    close(layers[-1][MASK], expected.hidden_states[-1][MASK])
    logits = expected.get("prediction_logits", expected.get("logits"))
    if ours.mlm is not None:
        close(ours.token_scores(layers[-1][MASK]), logits[MASK])
    if ours.nsp is not None:
        scores = expected["seq_relationship_logits"] if ours.mlm is not None else logits
        close(ours.nsp(ours.pool(layers[-1][:, 0])), scores)
    if auto == "AutoModel":
        close(ours.pool(layers[-1][:, 0]), expected.pooler_output)


def test_roberta_gets_its_first_positions_back(transformers, tmp_path):
    ours = fresh(nsp=False, pooler=False, segments=1)
    settings = {"specials": ROBERTA_SPECIALS, "family": "roberta"}
    model, _ = export(transformers, tmp_path, "AutoModelForMaskedLM", ours, **settings)
    assert model.config.max_position_embeddings == 14
    ids = torch.where(MASK, IDS, torch.tensor(1))
    expected = theirs(model, ids, segments=torch.zeros_like(ids)).logits
    close(ours.token_scores(mine(ours, ids, segments=None)[-1][MASK]), expected[MASK])
    with pytest.raises(SettingsError, match="RoBERTa has no next-sentence head"):
        bert.to_transformers(fresh(), **settings)


@pytest.mark.parametrize("pooler", [True, False])
@pytest.mark.parametrize(
    ("family", "specials"), [("bert", SPECIALS), ("roberta", ROBERTA_SPECIALS)]
)
def test_a_classifier_is_the_same_out_and_in(transformers, tmp_path, family, specials, pooler):
    ours = fresh(pooler=pooler, nsp=False)
    weight, bias = torch.randn(3, 16), torch.randn(3)
    model, unexpected = export(
        transformers, tmp_path, "AutoModelForSequenceClassification", ours,
        specials=specials, family=family, classifier=(weight, bias), classes=["a", "b", "c"],
    )  # fmt: skip
    assert not unexpected
    assert model.config.id2label == {0: "a", 1: "b", 2: "c"}
    ids = torch.where(MASK, IDS.clamp(min=2), torch.tensor(specials.pad))
    expected = theirs(model, ids, segments=torch.zeros_like(ids)).logits
    pooled = ours.pool(mine(ours, ids, segments=None)[-1][:, 0])
    close(pooled @ weight.T + bias, expected)

    config = model.config.to_dict()
    tensors = load_file(tmp_path / "model.safetensors")
    loaded, classifier, report = bert.classifier_from_transformers(config, tensors, place="model")
    assert torch.equal(classifier[0], weight)
    assert torch.equal(classifier[1], bias)
    assert report.unexpected == ()
    expected = {name: t for name, t in ours.state_dict().items() if not name.startswith("mlm")}
    assert loaded.state_dict().keys() == expected.keys()
    assert all(torch.equal(t, expected[name]) for name, t in loaded.state_dict().items())


def test_a_classifier_of_others_is_read(tiny):
    for name in ("BertForSequenceClassification", "RobertaForSequenceClassification"):
        model = tiny(name, num_labels=3)
        config, tensors = model.config.to_dict(), model.state_dict()
        ours, (weight, bias), _ = bert.classifier_from_transformers(config, tensors, place="model")
        ids = torch.where(MASK, IDS.clamp(min=2), torch.tensor(config["pad_token_id"]))
        expected = theirs(model, ids, segments=torch.zeros_like(ids)).logits
        pooled = ours.pool(mine(ours, ids, segments=None)[-1][:, 0])
        close(pooled @ weight.T + bias, expected)


def test_a_model_without_classifier_has_none(tiny):
    model = tiny("BertModel")
    config, tensors = model.config.to_dict(), dict(model.state_dict())
    with pytest.raises(FormatError, match="model: has no classifier"):
        bert.classifier_from_transformers(config, tensors, place="model")
    tensors |= {"classifier.weight": torch.zeros(3, 5), "classifier.bias": torch.zeros(3)}
    with pytest.raises(FormatError, match="classifier has shape 3x5, expected 3x16"):
        bert.classifier_from_transformers(config, tensors, place="model")
