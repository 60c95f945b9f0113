"""Random weights: an architecture as its seed draws it, and nothing of what was learnt."""

import pytest
import torch
from torch import nn

from headstart.errors import SettingsError
from headstart.hub.random_weights import with_random_weights
from headstart.models.bert import Bert, BertConfig
from headstart.models.cove import Cove, CoveConfig
from headstart.models.elmo import Elmo, ElmoConfig
from headstart.models.gpt import Gpt, GptConfig
from headstart.models.word_vectors import WordVectors

SIZES = {"vocabulary_size": 9, "width": 8, "layers": 1, "heads": 2, "feed_forward": 8}
MADE = {
    "cove": lambda **fresh: Cove(
        CoveConfig(source_vocabulary=9, vector_width=4, hidden=3, target_vocabulary=7), **fresh
    ),
    "elmo": lambda **fresh: Elmo(
        ElmoConfig(
            filters=((1, 4), (2, 8)), character_width=4, projection=6, cells=10, vocabulary_size=9
        ),
        **fresh,
    ),
    "gpt": lambda **fresh: Gpt(GptConfig(positions=6, **SIZES), **fresh),
    "bert": lambda **fresh: Bert(BertConfig(positions=6, **SIZES), **fresh),
}


@pytest.mark.parametrize("kind", MADE)
def test_they_are_the_seeds_and_none_is_learnt(kind):
    model = MADE[kind](generator=torch.Generator().manual_seed(5))
    known = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    stream = torch.get_rng_state()
    made = [with_random_weights(model, seed) for seed in (0, 0, 1)]
    assert torch.equal(torch.get_rng_state(), stream)
    assert {type(each) for each in made} == {type(model)}
    assert made[0].width == model.width
    first, again, other = (each.state_dict() for each in made)
    assert first.keys() < known.keys() or first.keys() == known.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, again[name])
        if tensor.ndim > 1 and (kind, name) != ("cove", "embedding.weight"):  # biases are set
            assert not torch.equal(tensor, other[name])
            assert not torch.equal(tensor, known[name])
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in known.items())


def test_cove_keeps_the_word_vectors_that_it_was_given():
    model = MADE["cove"]()
    random = with_random_weights(model, 0)
    assert random.embedding is model.embedding
    assert random.decoder is None
    assert random.config.source_vocabulary == 9
    ids, mask = torch.tensor([[2, 8, 3]]), torch.ones((1, 3), dtype=torch.bool)
    assert [each.shape for each in random.encode(ids, mask)] == [(1, 3, 6)] * 2


def test_word_vectors_read_no_context():
    with pytest.raises(SettingsError, match="cannot build a WordVectors with random weights"):
        with_random_weights(WordVectors.from_matrix(torch.zeros(3, 2).numpy()), 0)


def test_a_class_of_ones_own_is_not_built_again():
    class Own(nn.Module):
        pass

    with pytest.raises(SettingsError, match=r"cannot build a Own .* finetune one that you gave"):
        with_random_weights(Own(), 0)
