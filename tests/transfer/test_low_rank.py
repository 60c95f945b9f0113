import pytest
import torch
from torch import nn

from headstart.errors import SettingsError
from headstart.models.bert import Bert, BertConfig
from headstart.models.gpt import Gpt, GptConfig
from headstart.transfer.low_rank import LowRankLinear, adapt_attention, merge

SIZES = {"vocabulary_size": 9, "width": 8, "layers": 2, "heads": 2, "feed_forward": 16}
IDS = torch.tensor([[1, 2, 3, 4]])


@pytest.fixture(params=["bert", "gpt"])
def model(request):
    fresh = torch.Generator().manual_seed(0)
    if request.param == "bert":
        return Bert(BertConfig(**SIZES), generator=fresh).eval()
    return Gpt(GptConfig(**SIZES), generator=fresh).eval()


def states(model):
    with torch.no_grad():
        return model.encode(IDS, IDS > 0)[-1]


def adapted(model, **settings):
    how = {"rank": 2, "alpha": 4.0, "generator": torch.Generator().manual_seed(1), **settings}
    return adapt_attention(model, **how)


def shake(parameters):
    torch.manual_seed(2)
    with torch.no_grad():
        for parameter in parameters:
            parameter.add_(0.1 * torch.randn_like(parameter))


def test_it_starts_as_the_frozen_model(model):
    before = states(model)
    parameters = adapted(model)
    assert torch.equal(states(model), before)
    shake(parameters)
    assert not torch.allclose(states(model), before)


def test_only_the_changes_of_the_attention_projections_can_move(model):
    parameters = adapted(model)
    projections = 2 * (4 if isinstance(model, Bert) else 2)
    assert len(parameters) == 2 * projections
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert set(trainable) == set(parameters)
    assert all(2 in parameter.shape for parameter in parameters)
    model.encode(IDS, IDS > 0)[-1].square().sum().backward()
    assert all(p.grad is None for p in model.parameters() if not p.requires_grad)


def test_merging_changes_no_state_and_leaves_plain_layers(model):
    names = set(model.state_dict())
    shake(adapted(model))
    before = states(model)
    merge(model)
    torch.testing.assert_close(states(model), before, atol=1e-6, rtol=1e-5)
    assert set(model.state_dict()) == names
    assert not any(isinstance(module, LowRankLinear) for module in model.modules())


def test_the_change_is_the_papers():
    layer = nn.Linear(5, 3)
    low = LowRankLinear(layer, rank=2, alpha=6.0, generator=torch.Generator().manual_seed(0))
    shake([low.up])
    x = torch.randn(4, 5)
    expected = layer(x) + 6.0 / 2 * (x @ low.down.T @ low.up.T)
    torch.testing.assert_close(low(x), expected)
    before = layer.weight.clone()
    torch.testing.assert_close(low.merged().weight - before, 3.0 * low.up @ low.down)
    assert torch.linalg.matrix_rank(low.up @ low.down) == 2


def test_the_generator_decides_the_start(model):
    first = [p.clone() for p in adapted(model)]
    merge(model)
    again = adapted(model)
    assert all(map(torch.equal, first, again))
    merge(model)
    other = adapted(model, generator=torch.Generator().manual_seed(3))
    assert not torch.equal(other[0], first[0])


class Attention(nn.Module):
    """Projections as many encoders of `transformers` call them."""

    def __init__(self, *names):
        super().__init__()
        for name in names:
            setattr(self, name, nn.Linear(8, 8))


class Mlp(Attention):
    """No attention, whose layers may have the same names."""


@pytest.mark.parametrize(
    "names", ["q k v o", "q_proj k_proj v_proj o_proj", "query_proj in_proj", "Wqkv Wo", "out_proj"]
)
def test_projections_are_found_by_the_names_that_others_give_them(names):
    names = names.split()
    by_class, by_place = Attention(*names), nn.ModuleDict({"self_attn": Mlp(*names)})
    model = nn.ModuleList([by_class, by_place, Mlp(*names)])
    assert len(adapted(model)) == 2 * 2 * len(names)
    assert all(isinstance(getattr(model[2], name), nn.Linear) for name in names)


def test_a_model_without_projections_is_refused():
    with pytest.raises(SettingsError, match="found no attention projection in a Mlp"):
        adapted(Mlp("dense", "o"))


def test_torchs_own_attention_has_no_layer_to_change():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    with pytest.raises(SettingsError, match="no attention projection in a TransformerEncoderLayer"):
        adapted(layer)
    assert all(parameter.requires_grad for parameter in layer.parameters())
