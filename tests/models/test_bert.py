import numpy as np
import pytest
import torch

from headstart.errors import SettingsError
from headstart.models.bert import Bert, BertConfig
from headstart.tokenize.batches import Encoded, pack

SIZES = {"vocabulary_size": 40, "width": 16, "layers": 2, "heads": 4, "feed_forward": 24}
TEXTS = [[5, 6, 7, 8, 9], [10, 11, 12], [13, 14], [15, 16, 17, 18, 19, 20]]


def make(seed=0, *, positions=16, segments=2, **parts):
    config = BertConfig(**SIZES, positions=positions, segments=segments)
    model = Bert(config, **parts, generator=torch.Generator().manual_seed(seed)).eval()
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def read(model, texts, *, tokens=12):
    """Read texts packed side by side; return each one's states of the last layer."""
    packed = pack(Encoded.from_lists(texts), np.arange(len(texts)), tokens=tokens)
    ids, sequences, positions = map(
        torch.from_numpy, (packed.ids_BT, packed.sequences_BT, packed.positions_BT)
    )
    with torch.no_grad():
        states = model(ids, sequences, positions, positions // 2 % 2)[-1].flatten(0, 1)
    return [states[a : b + 1] for a, b in zip(packed.first_N, packed.last_N, strict=True)]


def test_a_packed_text_is_read_as_if_alone():
    model = make()
    for text, states in zip(TEXTS, read(model, TEXTS), strict=True):
        ids = torch.tensor([text])
        segments = torch.arange(len(text))[None] // 2 % 2
        with torch.no_grad():
            alone = model.encode(ids, torch.ones_like(ids).bool(), segments)
        assert len(alone) == 3
        torch.testing.assert_close(states, alone[-1][0], atol=1e-6, rtol=1e-5)


def test_what_stands_beside_a_text_changes_nothing_in_it():
    model = make()
    before = read(model, TEXTS)
    for changed in range(len(TEXTS)):
        others = [[39] * len(t) if row == changed else t for row, t in enumerate(TEXTS)]
        after = read(model, others)
        for row, states in enumerate(after):
            assert torch.equal(states, before[row]) == (row != changed)


def test_padding_changes_nothing():
    model = make()
    ids = torch.tensor([[5, 6, 7, 0, 0], [8, 9, 10, 11, 12]])
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]).bool()
    with torch.no_grad():
        together = model.encode(ids, mask)
        other = model.encode(ids.masked_fill(~mask, 33), mask)
        alone = model.encode(ids[:1, :3], mask[:1, :3])
    for layer, same, short in zip(together, other, alone, strict=True):
        assert torch.equal(layer[mask], same[mask])
        torch.testing.assert_close(layer[:1, :3], short, atol=1e-6, rtol=1e-5)


def test_the_last_states_that_are_asked_for_are_computed_as_all_are():
    model = make()
    packed = pack(Encoded.from_lists(TEXTS), np.arange(len(TEXTS)), tokens=12)
    arrays = (packed.ids_BT, packed.sequences_BT, packed.positions_BT)
    given = [*map(torch.from_numpy, arrays), torch.from_numpy(packed.positions_BT) % 2]
    wanted = torch.tensor([[0, 6, 7], [11, 2, 0]])
    with torch.no_grad():
        everything, some = model(*given), model(*given, wanted)
    for layer, same in zip(everything[:-1], some[:-1], strict=True):
        assert torch.equal(layer, same)
    expected = torch.stack(
        [row[columns] for row, columns in zip(everything[-1], wanted, strict=True)]
    )
    assert some[-1].shape == (2, 3, 16)
    torch.testing.assert_close(some[-1], expected, atol=1e-6, rtol=1e-5)


def test_the_gradients_of_some_last_states_are_those_among_all():
    model = make()
    ids, mask = torch.tensor([[5, 6, 7, 8], [9, 10, 11, 0]]), torch.ones(2, 4).bool()
    mask[1, 3] = False
    sequences, positions = mask.long() - 1, torch.arange(4).expand(2, 4)
    wanted = torch.tensor([[2, 0], [1, 0]])  # of the second row only the first
    gradients = []
    for some in (False, True):
        model.zero_grad(set_to_none=False)
        if some:
            states = model(ids, sequences, positions, wanted_BM=wanted)[-1]
            chosen = torch.cat([states[0], states[1, :1]])
        else:
            states = model(ids, sequences, positions)[-1]
            chosen = torch.stack([states[0, 2], states[0, 0], states[1, 1]])
        (chosen**3).sum().backward()
        gradients.append([p.grad.clone() for p in model.blocks.parameters()])
    for all_states, few_states in zip(*gradients, strict=True):
        torch.testing.assert_close(few_states, all_states, atol=1e-5, rtol=1e-4)


def test_both_sides_of_a_token_matter():
    model = make()
    before = read(model, [[5, 6, 7, 8, 9]])[0]
    for changed in range(5):
        text = [5, 6, 7, 8, 9]
        text[changed] = 30
        assert (read(model, [text])[0] != before).any(1).all()


def test_segments_matter_unless_there_is_one_kind():
    ids, mask = torch.tensor([[5, 6, 7]]), torch.ones(1, 3).bool()
    for segments, matters in ((2, True), (1, False)):
        model = make(segments=segments)
        given = [None, torch.zeros(1, 3).long(), torch.tensor([[0, 1, 1]])]
        with torch.no_grad():
            none, zeros, mixed = (model.encode(ids, mask, each)[-1] for each in given)
        assert torch.equal(none, zeros)
        assert torch.equal(none, mixed) == (not matters)


def test_rows_may_be_longer_than_the_positions_but_no_text():
    model = make(positions=6)
    assert len(read(model, TEXTS, tokens=16)) == 4
    with pytest.raises(SettingsError, match="a text of 7 tokens is longer than the model's 6"):
        read(model, [[5] * 7])


def test_the_first_state_is_pooled_where_there_is_a_pooler():
    states = torch.randn(3, 16)
    assert make(pooler=False, nsp=False).pool(states) is states
    pooled = make().pool(states)
    assert pooled.shape == states.shape
    assert pooled.abs().max() < 1


def test_token_scores_share_the_embeddings():
    model = make()
    states = torch.randn(2, 16)
    with torch.no_grad():
        before = model.token_scores(states)
        model.embeddings.tokens.weight[7] += 1.0
        after = model.token_scores(states)
    assert ((before != after).any(0)).nonzero().flatten().tolist() == [7]
    with pytest.raises(SettingsError, match="no head for masked tokens"):
        make(mlm=False).token_scores(states)


def test_fresh_weights_are_those_of_their_generator():
    weights = [
        torch.cat([p.flatten() for p in Bert(BertConfig(**SIZES), generator=g).parameters()])
        for g in (torch.Generator().manual_seed(seed) for seed in (3, 3, 4))
    ]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    large = Bert(BertConfig(**{**SIZES, "vocabulary_size": 4000}), generator=None)
    matrix = large.embeddings.tokens.weight.detach()
    assert matrix.abs().max() <= 0.04
    assert matrix.std() == pytest.approx(0.0176, rel=0.02)  # of 0.02, cut at two deviations


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 0}, "width must be a whole number above 0, got 0"),
        ({"layers": 2.0}, "layers must be a whole number above 0, got 2.0"),
        ({"heads": 3}, "3 heads do not divide the width 16"),
        ({"dropout": "abc"}, r"dropout must be in \[0, 1\), got 'abc'"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), got 1.0"),
    ],
)
def test_impossible_sizes_are_refused(change, message):
    with pytest.raises(SettingsError, match=message):
        BertConfig(**{**SIZES, **change})
