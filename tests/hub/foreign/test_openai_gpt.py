import pytest
import torch
from safetensors.torch import load_file, save_file

from headstart.errors import FormatError, SettingsError
from headstart.hub.foreign import openai_gpt
from headstart.models.gpt import Gpt, GptConfig, Sampling, generate
from headstart.tokenize.subwords import Specials

SPECIALS = Specials(pad=0, unknown=1, cls=None, sep=None, mask=None, end=2)
IDS = torch.tensor([[2, 7, 9, 11, 5, 3, 8], [2, 20, 6, 3, 0, 0, 0]])
MASK = torch.tensor([[1] * 7, [1] * 4 + [0] * 3]).bool()
NAMES = ("GPT2LMHeadModel", "OpenAIGPTLMHeadModel")


def read(model, **settings):
    """Give ours what is in a model of theirs."""
    tensors = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    config = model.config.to_dict() | settings
    return openai_gpt.from_transformers(config, tensors, place="model")


def scores(model):
    with torch.no_grad():
        return model.token_scores(model.encode(IDS, MASK)[-1])[MASK]


def close(first, second):
    torch.testing.assert_close(first, second, atol=1e-4, rtol=0)


# In


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("GPT2LMHeadModel", {}),
        ("GPT2LMHeadModel", {"activation_function": "gelu", "n_inner": 24}),
        ("OpenAIGPTLMHeadModel", {}),
    ],
)
def test_it_gives_the_logits_of_transformers_at_every_position(tiny, name, settings):
    model = tiny(name, **settings)
    ours, report = read(model)
    with torch.no_grad():
        expected = model(IDS, attention_mask=MASK.long()).logits
    close(scores(ours), expected[MASK])
    assert report.missing == report.unexpected == ()
    assert report.matched == len(ours.state_dict())


@pytest.mark.parametrize("name", NAMES)
def test_it_goes_on_as_transformers_does(tiny, name):
    model = tiny(name)
    prompt = [5, 9, 2, 30]
    settings = {"do_sample": False, "max_new_tokens": 10, "pad_token_id": 0, "eos_token_id": None}
    expected = model.generate(torch.tensor([prompt]), **settings)
    likeliest = {"sampling": Sampling(temperature=0), "generator": torch.Generator()}
    with torch.no_grad():
        steps = list(generate(read(model)[0], [prompt], max_new_tokens=10, **likeliest))
    assert torch.cat(steps).tolist() == expected[0, 4:].tolist()


@pytest.mark.parametrize("name", ["GPT2Model", "OpenAIGPTModel"])
def test_names_without_prefix_and_buffers_are_understood(tiny, name):
    model = tiny(name)
    triangle = torch.ones(20, 20).tril()[None, None]
    tensors = dict(model.state_dict())
    tensors |= {"h.0.attn.bias": triangle, "h.1.attn.masked_bias": torch.tensor(-1e4)}
    ours, report = openai_gpt.from_transformers(model.config.to_dict(), tensors, place="model")
    assert report.unexpected == ()
    with torch.no_grad():
        expected = model(IDS, attention_mask=MASK.long()).last_hidden_state
        close(ours.encode(IDS, MASK)[-1][MASK], expected[MASK])


def test_what_a_classifier_adds_is_reported(tiny):
    _, report = read(tiny("GPT2ForSequenceClassification", pad_token_id=0))
    assert report.unexpected == ("score.weight",)


# What cannot be


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_embd": None}, "'n_embd' is missing"),
        ({"n_layer": 10**5}, "'n_layer' must be a whole number from 1 to 1,000"),
        ({"n_head": 5}, "5 heads do not divide the width 16"),
        ({"n_inner": 0}, "'n_inner' must be"),
        ({"activation_function": "relu"}, "'activation_function' is 'relu'"),
        ({"scale_attn_weights": False}, "'scale_attn_weights' is False"),
        ({"scale_attn_by_inverse_layer_idx": True}, "'scale_attn_by_inverse_layer_idx' is True"),
        ({"reorder_and_upcast_attn": True}, "'reorder_and_upcast_attn' is True"),
        ({"add_cross_attention": True}, "'add_cross_attention' is True"),
    ],
)
def test_a_configuration_that_asks_for_another_model_is_refused(tiny, settings, message):
    config = tiny("GPT2Model").config.to_dict() | settings
    with pytest.raises(FormatError, match=f"config.json: {message}"):
        openai_gpt.read_config(config, place="config.json")


def test_the_oldest_name_of_the_positions_is_known(tiny):
    config = tiny("GPT2Model").config.to_dict()
    config["n_ctx"] = config.pop("n_positions")
    assert openai_gpt.read_config(config, place="config.json").positions == 20


def test_gpt_1_has_one_activation(tiny):
    config = tiny("OpenAIGPTModel").config.to_dict() | {"afn": "swish"}
    with pytest.raises(FormatError, match="'afn' is 'swish'"):
        openai_gpt.read_config(config, place="config.json")


NAME = "transformer.h.1.mlp.c_fc.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({NAME: torch.zeros(16, 63)}, f"{NAME} has shape 16x63, expected 16x64"),
        (
            {"lm_head.weight": torch.zeros(70, 16)},
            r"lm_head\.weight differs from transformer\.wte\.weight",
        ),
        ({NAME: None}, r"1 tensors are missing: h\.1\.mlp\.c_fc\.weight"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(tiny, change, message):
    model = tiny("GPT2LMHeadModel")
    tensors = {**model.state_dict(), **change}
    tensors = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    with pytest.raises(FormatError, match=f"model: {message}"):
        openai_gpt.from_transformers(model.config.to_dict(), tensors, place="model")


def test_a_file_without_any_tensor_of_the_model_is_no_transfer(tiny):
    config = tiny("GPT2Model").config.to_dict()
    with pytest.raises(FormatError, match=r"none of its 1 tensors belongs to the model"):
        openai_gpt.from_transformers(config, {"x": torch.zeros(3)}, place="model")


# Out


def fresh(**settings):
    sizes = {"vocabulary_size": 40, "width": 16, "layers": 2, "heads": 4, "feed_forward": 64}
    generator = torch.Generator().manual_seed(1)
    model = Gpt(GptConfig(**{**sizes, "positions": 12, **settings}), generator=generator)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return model.eval()


FIRST = {"norm_first": False, "tanh_gelu": True}


def export(transformers, folder, auto, model, **settings):
    config, tensors = openai_gpt.to_transformers(model, **settings)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    class_ = getattr(transformers, config["architectures"][0])
    class_.config_class(**config).save_pretrained(folder)
    loaded, found = getattr(transformers, auto).from_pretrained(folder, output_loading_info=True)
    assert not any(found.values())
    assert type(loaded) is class_
    return loaded.eval()


@pytest.mark.parametrize(
    "settings", [{}, {"tanh_gelu": True}, {"feed_forward": 24, "norm_eps": 1e-6}, FIRST]
)
def test_what_is_exported_gives_the_same_numbers(transformers, tmp_path, settings):
    ours = fresh(**settings)
    model = export(transformers, tmp_path, "AutoModelForCausalLM", ours, specials=SPECIALS)
    with torch.no_grad():
        close(scores(ours), model(IDS, attention_mask=MASK.long()).logits[MASK])
    assert model.config.eos_token_id == 2


@pytest.mark.parametrize("settings", [{}, FIRST])
def test_a_classifier_is_the_same_out_and_in(transformers, tmp_path, settings):
    ours, weight = fresh(**settings), torch.randn(3, 16)
    model = export(
        transformers, tmp_path, "AutoModelForSequenceClassification", ours,
        specials=SPECIALS, classifier=(weight, None), classes=["a", "b", "c"],
    )  # fmt: skip
    last = ours.encode(IDS, MASK)[-1][torch.arange(2), MASK.sum(1) - 1]
    with torch.no_grad():
        close(last @ weight.T, model(IDS, attention_mask=MASK.long()).logits)

    tensors = load_file(tmp_path / "model.safetensors")
    loaded, classifier, report = openai_gpt.classifier_from_transformers(
        model.config.to_dict(), tensors, place="model"
    )
    assert torch.equal(classifier[0], weight)
    assert classifier[1].tolist() == [0, 0, 0]
    assert report.unexpected == ()
    same = zip(loaded.state_dict().values(), ours.state_dict().values(), strict=True)
    assert all(torch.equal(first, second) for first, second in same)


def test_what_transformers_has_no_model_for_is_refused():
    with pytest.raises(SettingsError, match="tanh_gelu=False and feed_forward=64"):
        openai_gpt.to_transformers(fresh(norm_first=False), specials=SPECIALS)
    classifier = (torch.ones(2, 16), torch.ones(2))
    with pytest.raises(SettingsError, match="has no bias in transformers"):
        openai_gpt.to_transformers(fresh(), specials=SPECIALS, classifier=classifier)


def test_a_model_without_classifier_has_none(tiny):
    model = tiny("GPT2Model")
    config, tensors = model.config.to_dict(), dict(model.state_dict())
    with pytest.raises(FormatError, match="model: has no classifier"):
        openai_gpt.classifier_from_transformers(config, tensors, place="model")
    tensors["score.weight"] = torch.zeros(3, 5)
    with pytest.raises(FormatError, match=r"score.weight should have the model's width of 16, but"):
        openai_gpt.classifier_from_transformers(config, tensors, place="model")


def test_padding_is_lent_by_what_there_is():
    none = {"pad": None, "unknown": None, "cls": None, "sep": None, "mask": None, "end": None}
    for lent, number in (({"pad": 5, "end": 2}, 5), ({"end": 2, "unknown": 0}, 2), ({}, None)):
        assert openai_gpt.padding_id(Specials(**none | lent)) == number
