"""Modules without numbers: nothing is drawn, and nothing heavy imported."""

import subprocess
import sys

import torch
from torch import nn

from headstart.models.bert import Bert, BertConfig
from headstart.models.blank import blank_weights
from headstart.models.gpt import Gpt, GptConfig
from headstart.models.word_vectors import WordVectors


def test_weights_have_shapes_and_nothing_is_drawn() -> None:
    before = torch.get_rng_state()
    with blank_weights():
        model = Bert(BertConfig(vocabulary_size=10, width=8, heads=2, feed_forward=8))
        layer = nn.Linear(3, 4)
    assert {tensor.device.type for tensor in model.state_dict().values()} == {"meta"}
    assert layer.weight.shape == (4, 3)
    assert torch.equal(torch.get_rng_state(), before)


def test_normal_draws_are_back_afterwards() -> None:
    with blank_weights():
        pass
    assert nn.init.normal_(torch.zeros(100)).std() > 0
    assert torch.zeros(100).normal_().std() > 0


def test_the_compiler_is_not_imported() -> None:
    code = f"""
import sys
from headstart.models.bert import {Bert.__name__}, {BertConfig.__name__}
from headstart.models.blank import blank_weights
from headstart.models.gpt import {Gpt.__name__}, {GptConfig.__name__}
from headstart.models.word_vectors import {WordVectors.__name__}
with blank_weights():
    Bert(BertConfig(vocabulary_size=10, width=8, heads=2, feed_forward=8))
    Gpt(GptConfig(vocabulary_size=10, width=8, heads=2, feed_forward=8))
WordVectors.from_matrix([[0.0, 0.0], [1.0, 2.0]])
sys.exit(bool({{"torch._dynamo", "sympy"}} & set(sys.modules)))
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
