"""One exam for every encoder, whatever it replaces: what `transfer` relies on."""

import numpy as np
import pytest
import torch

from headstart.hub.store import load_encoder
from headstart.models.bert import Bert
from headstart.models.cove import Cove
from headstart.models.elmo import Elmo
from headstart.models.word_vectors import WordVectors
from headstart.tokenize.batches import pad

KINDS = ["glove", "cove", "elmo", "bert", "bert of one segment", "gpt", "gpt, norm last"]
TEXTS = ["goal match", "bank", "", "the song was a band concert today", "unheard-of", "team " * 60]


@pytest.fixture(params=KINDS)
def one(request, encoders):
    return encoders[request.param]


def encode(encoder, texts, *, max_tokens=20, width=0, filler=0):
    """Return every layer's vectors of texts, and where there are tokens."""
    encoded, _ = encoder.inputs(texts, max_tokens)
    ids_BT, mask_BT = map(torch.from_numpy, pad(encoded, np.arange(len(texts))))
    wider = max(0, width - ids_BT.shape[1])
    deeper = ids_BT.ndim - 2  # ELMo's words are characters
    ids_BT = torch.nn.functional.pad(ids_BT, (*([0, 0] * deeper), 0, wider))
    mask_BT = torch.nn.functional.pad(mask_BT, (0, wider))
    ids_BT = ids_BT.masked_fill(~mask_BT.view(*mask_BT.shape, *([1] * deeper)), filler)
    with torch.no_grad():
        return encoder.model.encode(ids_BT, mask_BT), mask_BT


def test_it_gives_every_layer_as_wide_as_it_says(one):
    layers, mask_BT = encode(one, TEXTS)
    assert len(layers) == len(one.model.layer_groups())
    for layer in layers:
        assert layer.shape == (*mask_BT.shape, one.model.width)
        assert layer[mask_BT].isfinite().all()


def test_it_says_the_same_each_time(one):
    first, second = (encode(one, TEXTS)[0] for _ in range(2))
    assert all(map(torch.equal, first, second))


def test_padding_changes_nothing(one):
    layers, mask_BT = encode(one, TEXTS)
    other_ids, _ = encode(one, TEXTS, filler=0 if isinstance(one.model, WordVectors) else 7)
    wider, wide_mask = encode(one, TEXTS, width=30)
    for layer, other, wide in zip(layers, other_ids, wider, strict=True):
        assert torch.equal(layer[mask_BT], other[mask_BT])
        torch.testing.assert_close(layer[mask_BT], wide[wide_mask], atol=1e-6, rtol=1e-5)


def test_a_text_is_read_alone_as_among_many(one):
    layers, mask_BT = encode(one, TEXTS)
    for row, text in enumerate(TEXTS):
        alone, alone_mask = encode(one, [text])
        for layer, single in zip(layers, alone, strict=True):
            expected = layer[row][mask_BT[row]]
            torch.testing.assert_close(single[0][alone_mask[0]], expected, atol=1e-6, rtol=1e-5)


def test_its_groups_are_all_that_it_computes_with(one):
    """What `layer_groups` leaves out would never be trained, and never be frozen."""
    encoded, _ = one.inputs(TEXTS, 20)
    ids_BT, mask_BT = map(torch.from_numpy, pad(encoded, np.arange(len(TEXTS))))
    groups = [list(layer.parameters()) for layer in one.model.layer_groups()]
    grouped = [parameter for group in groups for parameter in group]
    assert len({id(parameter) for parameter in grouped}) == len(grouped)
    states = one.model.encode(ids_BT, mask_BT)[-1].square().sum()
    parameters = list(one.model.parameters())
    gradients = torch.autograd.grad(states, parameters, allow_unused=True)
    used = {id(p) for p, g in zip(parameters, gradients, strict=True) if g is not None}
    assert used
    assert used <= {id(parameter) for parameter in grouped}
    if not isinstance(one.model, Bert | Elmo):  # whose heads are for pretraining
        assert {id(parameter) for parameter in parameters} == used


def test_depth_is_the_order_of_its_groups(one):
    """What a group computes reaches the layers above it, and none below."""
    before, mask_BT = encode(one, TEXTS)
    groups = one.model.layer_groups()
    for depth, group in enumerate(groups):
        kept = [parameter.clone() for parameter in group.parameters()]
        with torch.no_grad():
            for parameter in group.parameters():
                parameter.mul_(1.5)
            after, _ = encode(one, TEXTS)
            for parameter, value in zip(group.parameters(), kept, strict=True):
                parameter.copy_(value)
        changed = [
            not torch.equal(old[mask_BT], new[mask_BT])
            for old, new in zip(before, after, strict=True)
        ]
        assert changed[:depth] == [False] * depth
        assert changed[-1]


def test_it_reads_no_more_than_it_is_told_and_counts_what_is_cut(one):
    whole, cut = one.inputs(TEXTS, 10_000)
    assert cut == (0 if isinstance(one.model, WordVectors | Cove | Elmo) else 1)
    for most in (3, 5, 9):
        encoded, cut = one.inputs(TEXTS, most)
        assert encoded.lengths.max() <= most
        assert cut == (whole.lengths > most).sum()
    assert one.inputs([], 9)[0].lengths.tolist() == []


def test_a_copy_with_other_weights_is_another_encoder(one, encoders):
    again = one.with_model(one.model)
    assert type(again) is type(one)
    assert again.fingerprint == one.fingerprint
    assert (again.config, again.lineage, again.pooling) == (one.config, one.lineage, one.pooling)
    assert one.pooling in ("cls", "last", "mean")
    assert len({each.fingerprint for each in encoders.values()}) == len(KINDS)
    assert one.fingerprint in one.name
    assert f"{one.model.width}d" in one.name


def test_a_saved_encoder_says_the_same(one, tmp_path):
    loaded = load_encoder(one.save(tmp_path / "encoder"))
    assert type(loaded) is type(one)
    assert loaded.fingerprint == one.fingerprint
    for before, after in zip(encode(one, TEXTS)[0], encode(loaded, TEXTS)[0], strict=True):
        assert torch.equal(before, after)
