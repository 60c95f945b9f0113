import torch

from headstart.models.word_vectors import WordVectors
from headstart.tasks.pipelines import BiLSTM, TextPipeline, pool


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
