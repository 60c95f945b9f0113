import pytest
import torch
from torch import nn

from headstart.errors import SettingsError
from headstart.models.bert import Bert, BertConfig
from headstart.models.gpt import Gpt, GptConfig
from headstart.transfer.estimators import TextClassifier
from headstart.transfer.freezing import layerwise_groups, thaw
from headstart.transfer.methods import FineTune, GradualUnfreeze

SIZES = {"vocabulary_size": 9, "width": 4, "layers": 3, "heads": 1, "feed_forward": 4}


@pytest.fixture(params=["bert", "gpt"])
def model(request):
    return Bert(BertConfig(**SIZES)) if request.param == "bert" else Gpt(GptConfig(**SIZES))


def test_each_layer_moves_slower_than_the_one_above(model):
    head = nn.Linear(4, 2)
    groups = layerwise_groups(model, [head], learning_rate=1.0, layer_decay=0.5)
    assert [group["lr"] for group in groups] == [1.0, 1.0, 0.5, 0.25, 0.125]
    assert set(groups[0]["params"]) == set(head.parameters())
    layers = [set(layer.parameters()) for layer in reversed(model.layer_groups())]
    assert [set(group["params"]) for group in groups[1:]] == layers
    everything = [parameter for group in groups for parameter in group["params"]]
    assert len(everything) == len(set(everything))


def test_one_rate_for_all_is_a_decay_of_one(model):
    groups = layerwise_groups(model, [], learning_rate=0.3, layer_decay=1.0)
    assert [group["lr"] for group in groups] == [0.3] * 4


def test_layers_thaw_from_the_top_one_at_a_time(model):
    moving = []
    for step in range(1, 10):
        thaw(model, step, steps_per_layer=2)
        states = [
            {parameter.requires_grad for parameter in layer.parameters()}
            for layer in model.layer_groups()
        ]
        assert all(len(state) == 1 for state in states)
        moving.append([state.pop() for state in states])
    frozen, thawed = False, True
    assert moving[0] == moving[1] == [frozen, frozen, frozen, thawed]
    assert moving[2] == moving[3] == [frozen, frozen, thawed, thawed]
    assert moving[4] == moving[5] == [frozen, thawed, thawed, thawed]
    assert moving[6] == moving[7] == moving[8] == [thawed] * 4


def test_a_parameter_in_two_places_is_in_one_group():
    shared = nn.Linear(2, 2)
    groups = layerwise_groups(Lone(), [shared, shared], learning_rate=1.0, layer_decay=1.0)
    assert [len(group["params"]) for group in groups] == [2]


class Lone(nn.Module):
    """An encoder without a layer that could move."""

    def layer_groups(self):
        return [nn.Identity()]


@pytest.mark.parametrize("method", [FineTune(), GradualUnfreeze()])
def test_a_parameter_in_no_group_is_named(method, own, task, monkeypatch):
    monkeypatch.setattr(type(own.model), "layer_groups", lambda self: [self.rows])
    with pytest.raises(SettingsError, match=r"^mix\.weight of the Own is in none .*layer_groups"):
        TextClassifier(own, method).fit(*task)


def test_what_is_frozen_is_bit_for_bit_the_same_after_a_step(model):
    thaw(model, 1, steps_per_layer=5)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    ids = torch.tensor([[1, 2, 3]])
    model.encode(ids, ids > 0)[-1].square().sum().backward()
    torch.optim.AdamW(model.parameters(), lr=0.1).step()
    moved = {name for name, tensor in model.state_dict().items() if (tensor != before[name]).any()}
    assert moved
    assert all(name.startswith(("blocks.2.", "norm.")) for name in moved)
