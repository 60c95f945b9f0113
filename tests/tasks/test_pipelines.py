import numpy as np
import pytest
import torch

from headstart.models.cove import Cove, CoveConfig
from headstart.models.elmo import Elmo, ElmoConfig
from headstart.models.word_vectors import WordVectors
from headstart.tasks.pipelines import (
    BiLSTM,
    ScalarMix,
    TextPipeline,
    pool,
    task_layers,
    task_shape,
)
from headstart.tokenize.characters import words_to_characters


def _batch():
    mask = torch.arange(5) < torch.tensor([5, 3, 1])[:, None]
    x = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0)) * mask[..., None]
    return x, mask


def test_bilstm_equals_torchs_own_over_packed_sequences():
    x, mask = _batch()
    ours = BiLSTM(4, 6)
    theirs = torch.nn.LSTM(4, 6, batch_first=True, bidirectional=True)
    for suffix, part in (("", ours.forwards), ("_reverse", ours.backwards)):
        for name, weight in part.named_parameters():
            theirs.get_parameter(name + suffix).data.copy_(weight)
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, mask.sum(1), batch_first=True)
    expected, _ = torch.nn.utils.rnn.pad_packed_sequence(theirs(packed)[0], batch_first=True)
    assert torch.allclose(ours(x, mask) * mask[..., None], expected, atol=1e-6)


def test_pooling_by_hand():
    x, mask = _batch()
    pooled = pool(x, mask)
    assert torch.allclose(pooled[1], torch.cat([x[1, :3].amax(0), x[1, :3].mean(0)]))
    nothing = pool(x, torch.zeros_like(mask))
    assert torch.equal(nothing, torch.zeros_like(nothing))


def test_padding_changes_no_score():
    encoder = WordVectors(20, 4, generator=torch.Generator().manual_seed(0))
    pipeline = TextPipeline(encoder, 3, hidden=5, dropout=0.5, scale=2.0).eval()
    ids = torch.tensor([[4, 5, 6, 0, 0], [7, 8, 9, 10, 11]])
    together = pipeline(ids, ids > 0)
    alone = pipeline(ids[:1, :3], ids[:1, :3] > 0)
    assert torch.allclose(together[:1], alone, atol=1e-6)
    assert pipeline(torch.zeros(2, 1, dtype=torch.long), torch.zeros(2, 1) > 0).isfinite().all()


def _layers():
    random = np.random.default_rng(0)
    return [torch.from_numpy(random.normal(size=(3, 5, 4))).float() for _ in range(3)]


@pytest.mark.parametrize("layer_norm", [False, True])
def test_a_mix_is_the_papers_formula(layer_norm):
    mix = ScalarMix(3, layer_norm=layer_norm)
    assert mix.shares.tolist() == pytest.approx([1 / 3] * 3)
    assert mix.gamma.item() == 1.0
    with torch.no_grad():
        mix.w.copy_(torch.tensor([0.5, -1.0, 2.0]))
        mix.gamma.fill_(3.0)
    layers = np.stack([layer.numpy() for layer in _layers()])
    if layer_norm:
        layers -= layers.mean(-1, keepdims=True)
        layers /= np.sqrt(layers.var(-1, keepdims=True) + 1e-5)
    weights = np.exp([0.5, -1.0, 2.0]) / np.exp([0.5, -1.0, 2.0]).sum()
    expected = 3.0 * sum(share * layer for share, layer in zip(weights, layers, strict=True))
    assert mix(_layers()).detach().numpy() == pytest.approx(expected, abs=1e-5)


def test_a_token_is_normed_by_itself():
    mix = ScalarMix(3, layer_norm=True)
    together = mix(_layers())
    alone = mix([layer[1:2, 2:3] for layer in _layers()])
    assert torch.allclose(alone, together[1:2, 2:3], atol=1e-6)
    sizes = torch.tensor([1e3, 1e4, 1e5])[:, None, None]
    loud, louder = (mix([layer * size for layer in _layers()]) for size in (sizes, 7 * sizes))
    assert torch.allclose(loud, louder, atol=1e-5), "a token's size counts for nothing"


def _elmo():
    sizes = ElmoConfig(filters=((1, 4), (2, 4)), character_width=4, projection=3, cells=5)
    return Elmo(sizes, generator=torch.Generator().manual_seed(0)).eval()


def _cove():
    sizes = CoveConfig(source_vocabulary=20, vector_width=4, hidden=3)
    return Cove(sizes, generator=torch.Generator().manual_seed(0)).eval()


def _words(encoder):
    """Three texts of five words, two and none."""
    if isinstance(encoder, Elmo):
        words = ["the", "old", "bank", "of", "it", "a", "river"]
        ids = torch.from_numpy(words_to_characters(words)).long()
        texts = [ids[:5], ids[5:], ids[:0]]
    else:
        texts = [torch.tensor([4, 5, 6, 7, 8]), torch.tensor([9, 10]), torch.tensor([]).long()]
    padded = torch.nn.utils.rnn.pad_sequence(texts, batch_first=True)
    return padded, torch.arange(5) < torch.tensor([5, 2, 0])[:, None]


def test_cove_stands_behind_the_word_vectors_that_it_read():
    cove = _cove()
    ids, mask = _words(cove)
    assert task_shape(cove) == (1, 4 + 6)
    (layer,) = task_layers(cove, ids, mask)
    assert torch.equal(layer[..., :4], cove.embedding(ids))
    assert torch.equal(layer[..., 4:], cove.encode(ids, mask)[-1])


def test_all_layers_of_elmo_are_read():
    elmo = _elmo()
    layers = task_layers(elmo, *_words(elmo))
    assert task_shape(elmo) == (len(layers), layers[0].shape[-1]) == (3, 6)


@pytest.mark.parametrize("make", [_elmo, _cove])
@pytest.mark.parametrize("output", [False, True])
@pytest.mark.parametrize("layer_norm", [False, True])
def test_a_text_has_the_same_scores_in_any_batch(make, output, layer_norm):
    torch.manual_seed(0)
    encoder = make()
    number, width = task_shape(encoder)
    mixes = [ScalarMix(number, layer_norm=layer_norm) for _ in range(2)]
    for mix in mixes:
        torch.nn.init.normal_(mix.w)
    pipeline = TextPipeline(
        encoder, 3, hidden=5, dropout=0.5, scale=torch.rand(number, width) + 0.5,
        mix=mixes[0], output_mix=mixes[1] if output else None,
    ).eval()  # fmt: skip
    ids, mask = _words(encoder)
    with torch.no_grad():
        together = pipeline(ids, mask)
        alone = pipeline(ids[1:2, :2], mask[1:2, :2])
        assert torch.allclose(together[1:2], alone, atol=1e-6)
        assert torch.allclose(together.flip(0), pipeline(ids.flip(0), mask.flip(0)), atol=1e-6)
    assert together.isfinite().all()
    assert pipeline.mixes() == (mixes if output else mixes[:1])


def test_every_layer_has_a_scale_of_its_own_and_skipped_numbers_are_not_read():
    elmo = _elmo()
    scale = torch.rand(3, 6, generator=torch.Generator().manual_seed(1))
    mix = ScalarMix(3, layer_norm=False)
    pipeline = TextPipeline(elmo, 3, hidden=5, dropout=0.0, scale=scale, mix=mix, skip=2).eval()
    ids, mask = _words(elmo)
    layers = task_layers(elmo, ids, mask)
    expected = pipeline.read(layers, mask)
    changed = [torch.cat([layer[..., :2] + 9.0, layer[..., 2:]], -1) for layer in layers]
    assert torch.equal(pipeline.read(changed, mask), expected)
    pipeline.scale = torch.ones(())
    scaled = [layer * each for layer, each in zip(layers, scale, strict=True)]
    assert torch.allclose(pipeline.read(scaled, mask), expected, atol=1e-6)


def test_what_stands_beside_the_lstm_reaches_the_scores():
    elmo = _elmo()
    mixes = [ScalarMix(3, layer_norm=False) for _ in range(2)]
    pipeline = TextPipeline(
        elmo, 3, hidden=5, dropout=0.0, scale=1.0, mix=mixes[0], output_mix=mixes[1]
    )
    ids, mask = _words(elmo)
    before = pipeline(ids, mask)
    before.sum().backward()
    assert all(mix.w.grad.any() and mix.gamma.grad for mix in mixes)
    with torch.no_grad():
        mixes[1].w[2] += 3.0
    assert not torch.allclose(pipeline(ids, mask)[:2], before[:2])
