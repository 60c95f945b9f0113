import numpy as np
import pytest
import torch

from headstart.models.bert import Bert, BertConfig
from headstart.models.gpt import Gpt, GptConfig
from headstart.models.word_vectors import WordVectors
from headstart.tasks.heads import (
    WholeModel,
    classification_head,
    last_states,
    lay_out,
    mean_states,
    one_a_row,
    packs,
    with_new_tokens,
)
from headstart.tokenize.batches import Encoded, pack

SIZES = {
    "vocabulary_size": 30,
    "width": 8,
    "layers": 2,
    "heads": 2,
    "feed_forward": 16,
    "positions": 16,
}
TEXTS = Encoded.from_lists([[5, 6, 7, 8], [9, 10], [11, 12, 13], [14]])
ALL = np.arange(4)


def make(kind, **parts):
    fresh = torch.Generator().manual_seed(0)
    made = {
        "bert": lambda: Bert(BertConfig(**SIZES), **parts, generator=fresh),
        "gpt": lambda: Gpt(GptConfig(**SIZES), generator=fresh),
        "vectors": lambda: WordVectors(30, 8, generator=fresh),
    }
    return made[kind]().eval()


def alone(model, row):
    """Return the last layer of one text, read by itself."""
    ids = torch.from_numpy(TEXTS[row]).long()[None]
    with torch.no_grad():
        return model.encode(ids, torch.ones_like(ids).bool())[-1][0]


@pytest.mark.parametrize("kind", ["bert", "gpt", "vectors"])
@pytest.mark.parametrize("pooling", ["cls", "last", "mean"])
def test_what_stands_for_a_text_is_pooled_from_its_own_states(kind, pooling):
    encoder = make(kind)
    model = WholeModel(encoder, 3, pooling=pooling, dropout=0.5).eval()
    with torch.no_grad():
        pooled, _ = model.pool(model.batch(TEXTS, ALL))
    for row in ALL:
        states = alone(encoder, row)
        expected = {"cls": states[0], "last": states[-1], "mean": states.mean(0)}[pooling]
        if kind == "bert" and pooling == "cls":
            expected = encoder.pool(expected[None])[0]
        torch.testing.assert_close(pooled[row], expected.detach(), atol=1e-5, rtol=1e-4)


def test_only_first_tokens_pass_through_the_last_block_of_a_bert_that_is_read_by_them():
    encoder = make("bert")
    seen = []
    encoder.blocks[-1].up.register_forward_hook(lambda _, given, __: seen.append(given[0].shape))
    for pooling in ("cls", "mean"):
        model = WholeModel(encoder, 3, pooling=pooling, dropout=0.0).eval()
        model.pool(packed := model.batch(TEXTS, ALL))
    assert packed.ids_BT.shape == (1, 16)  # rows of 16, 32, .. tokens
    assert [shape.numel() // shape[-1] for shape in seen] == [len(TEXTS), 16]


@pytest.mark.parametrize("kind", ["bert", "gpt", "vectors"])
def test_at_first_every_class_is_as_likely(kind):
    model = WholeModel(make(kind), 3, pooling="mean", dropout=0.0)
    scores, states = model(model.batch(TEXTS, ALL))
    assert scores.shape == (4, 3)
    assert not scores.any()
    assert states.shape[1] == 8
    assert (model.classify.bias is None) == (kind == "gpt")


def test_dropout_is_for_training_only():
    model = WholeModel(make("bert"), 2, pooling="cls", dropout=0.5)
    torch.nn.init.normal_(model.classify.weight)
    packed = model.batch(TEXTS, ALL)
    with torch.no_grad():
        model.eval()
        assert torch.equal(model(packed)[0], model(packed)[0])
        model.dropout.train()
        assert not torch.equal(model(packed)[0], model(packed)[0])


def test_only_bert_and_gpt_read_several_texts_in_a_row():
    assert packs(make("bert"))
    assert packs(make("gpt"))
    assert not packs(make("vectors"))


def test_texts_in_rows_of_their_own_are_those_that_are_packed():
    encoder = make("bert")
    with torch.no_grad():
        packed, apart = (
            mean_states(last_states(encoder, each), each)
            for each in (pack(TEXTS, ALL[::-1]), one_a_row(TEXTS, ALL[::-1]))
        )
    torch.testing.assert_close(packed, apart, atol=1e-6, rtol=1e-5)
    rows = one_a_row(TEXTS, ALL)
    assert rows.first_N.tolist() == [0, 4, 8, 12]
    assert rows.last_N.tolist() == [3, 5, 10, 12]


def test_the_head_on_frozen_states_has_one_hidden_layer():
    head = classification_head(32, 3, hidden=7, dropout=0.4).eval()
    assert [tuple(p.shape) for p in head.parameters()] == [(7, 32), (7,), (3, 7), (3,)]
    x = torch.randn(5, 32)
    by_hand = torch.tanh(x @ head[1].weight.T + head[1].bias) @ head[4].weight.T + head[4].bias
    torch.testing.assert_close(head(x), by_hand)


# GPT's own tokens, and pairs


@pytest.mark.parametrize("like", [7, None])
def test_new_tokens_stand_at_the_end_and_leave_the_rest(like):
    model = make("gpt")
    before = model.tokens.weight.clone()
    larger = with_new_tokens(model, 3, like, torch.Generator().manual_seed(1))
    assert larger.config.vocabulary_size == 33
    assert torch.equal(larger.tokens.weight[:30], before)
    assert torch.equal(model.tokens.weight, before)
    assert model.config.vocabulary_size == 30
    new = larger.tokens.weight[30:] - (0 if like is None else before[like])
    assert 0 < new.abs().max() < 0.1
    assert len({tuple(row) for row in new.tolist()}) == 3
    assert all(parameter.requires_grad for parameter in larger.parameters())
    for row in ALL:
        assert torch.equal(alone(model, row), alone(larger, row))


def test_what_stands_for_a_pair_is_the_sum_of_both_orders():
    pairs = Encoded.from_lists([[20, 5, 6, 21, 7, 22], [20, 9, 21, 8, 10, 22]])
    swapped = Encoded.from_lists([[20, 7, 21, 5, 6, 22], [20, 8, 10, 21, 9, 22]])
    both = Encoded.from_lists([each[row] for each in (pairs, swapped) for row in range(2)])
    once = WholeModel(make("gpt"), 2, pooling="last", dropout=0.0).eval()
    model = WholeModel(once.encoder, 2, pooling="last", dropout=0.0, orders=2).eval()
    with torch.no_grad():
        found, _ = model.pool(model.batch(both, np.array([1, 0])))
        first, second = (
            once.pool(once.batch(each, np.array([1, 0])))[0] for each in (pairs, swapped)
        )
        torch.testing.assert_close(found, first + second)
        assert not torch.allclose(first, second)
        scores, states = model(model.batch(both, np.array([1])))
    assert scores.shape == (1, 2)
    assert states.shape[0] >= 12, "the language model learns from both orders"


@pytest.mark.parametrize("lay", [pack, one_a_row])
def test_bert_is_told_which_text_of_a_pair_a_token_is_in(lay):
    encoder = make("bert")
    pairs = Encoded(TEXTS.ids, TEXTS.offsets, np.array([2, 1, 1, 1]))
    packed = lay(pairs, ALL[::-1])
    with torch.no_grad():
        states = last_states(encoder, packed)
        for number, row in enumerate(ALL[::-1]):
            ids = torch.from_numpy(TEXTS[row]).long()[None]
            segments = (torch.arange(ids.shape[1]) >= pairs.seconds[row]).long()[None]
            expected = encoder.encode(ids, torch.ones_like(ids).bool(), segments)[-1][0]
            start = packed.first_N[number]
            found = states[start : start + len(expected)]
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
            if segments.any() and not segments.all():
                assert not torch.allclose(found, alone(encoder, row), atol=1e-3)
    assert set(packed.segments_BT[packed.sequences_BT < 0]) <= {0}


def test_rows_are_twice_as_long_where_texts_leave_too_much_room_in_short_ones():
    encoder = make("bert")
    texts = Encoded.from_lists([[5] * 9] * 7)
    packed = lay_out(encoder, texts, np.arange(7))
    assert packed.ids_BT.shape == (3, 32)  # three texts a row, where two rows of 16 hold two
    full = lay_out(encoder, Encoded.from_lists([[5] * 16] * 3), np.arange(3))
    assert full.ids_BT.shape == (3, 16)
    assert lay_out(encoder, texts, np.arange(1)).ids_BT.shape == (1, 16)
