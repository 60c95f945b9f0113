import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from torch.nn import functional as F

from headstart.models.attention import (
    Dropout,
    attend,
    attention_bias,
    compute_dtype,
    join_heads,
    split_heads,
)

MINUS = -torch.inf


def drop(x, p=0.3, seed=0):
    torch.manual_seed(seed)
    return Dropout(p).train()(x)


# Who looks at whom


def test_a_token_looks_at_its_own_text_only():
    sequences = torch.tensor([[0, 0, 1, -1], [2, 2, 2, 2]])
    bias = attention_bias(sequences, causal=False, dtype=torch.float32)
    assert bias.shape == (2, 1, 4, 4)
    assert bias[0, 0].tolist() == [
        [0, 0, MINUS, MINUS],
        [0, 0, MINUS, MINUS],
        [MINUS, MINUS, 0, MINUS],
        [MINUS, MINUS, MINUS, 0],
    ]
    assert not bias[1].any()
    causal = attention_bias(sequences, causal=True, dtype=torch.bfloat16)
    assert causal.dtype == torch.bfloat16
    left = torch.ones(4, 4).tril().bool()
    assert torch.equal(causal[:, 0] == 0, (bias[:, 0] == 0) & left)


def test_rows_of_one_text_need_no_mask_of_their_own():
    sequences = torch.tensor([[3, 3, 3], [4, 4, 4]])
    assert attention_bias(sequences, causal=False, dtype=torch.float32) is None
    causal = attention_bias(sequences, causal=True, dtype=torch.float32)
    assert causal.tolist() == [[0, MINUS, MINUS], [0, 0, MINUS], [0, 0, 0]]


def test_attention_equals_torchs_own():
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 2, 4, 6, 8).unbind()
    sequences = torch.tensor([[0, 0, 0, 1, 1, -1], [2, 3, 3, 3, 3, 3]])
    for causal in (False, True):
        bias = attention_bias(sequences, causal=causal, dtype=torch.float32)
        expected = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        torch.testing.assert_close(attend(q, k, v, bias), expected)
    torch.testing.assert_close(attend(q, k, v, None), F.scaled_dot_product_attention(q, k, v))


def test_heads_are_split_and_joined_again():
    x = torch.arange(24.0).view(1, 2, 12)
    assert split_heads(x, 3).shape == (1, 3, 2, 4)
    assert split_heads(x, 3)[0, 1, 0].tolist() == [4, 5, 6, 7]
    assert torch.equal(join_heads(split_heads(x, 3)), x)


def test_scores_are_of_autocasts_type_where_it_is_on():
    x = torch.zeros(1)
    assert compute_dtype(x) == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        assert compute_dtype(x) == torch.bfloat16


# Dropout


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("p", [0.1, 0.5])
def test_dropout_drops_its_share_and_scales_the_rest(dtype, p):
    dropped = drop(torch.ones(400, 501, dtype=dtype), p)
    assert dropped.dtype == dtype
    share = round(256 * p) / 256
    count = int((dropped == 0).sum())
    size = dropped.numel()
    assert chisquare([count, size - count], [size * share, size * (1 - share)]).pvalue > 1e-4
    kept = dropped[dropped != 0].float()
    assert kept.unique().numel() == 1
    assert kept[0] == pytest.approx(1 / (1 - share), rel=1e-2 if dtype == torch.bfloat16 else 1e-6)
    assert dropped.float().mean() == pytest.approx(1.0, abs=0.02)


def test_dropped_units_are_independent_of_one_another():
    kept = (drop(torch.ones(2000, 64), 0.5) != 0).float().numpy()
    correlations = np.corrcoef(kept.T) - np.eye(64)
    assert np.abs(correlations).max() < 5 / np.sqrt(2000)
    assert np.abs(np.corrcoef(kept)[np.triu_indices(2000, 1)]).max() < 6 / np.sqrt(64)


def test_dropout_is_a_function_of_torchs_seed_and_new_each_time():
    x = torch.ones(50, 50)
    assert torch.equal(drop(x), drop(x))
    assert not torch.equal(drop(x), drop(x, seed=1))
    torch.manual_seed(0)
    layer = Dropout(0.3).train()
    assert not torch.equal(layer(x), layer(x))


def test_gradients_are_dropped_where_values_were():
    x = torch.ones(30, 7, requires_grad=True)
    dropped = drop(x)
    dropped.sum().backward()
    assert torch.equal(x.grad, dropped.detach())


def test_nothing_is_dropped_in_evaluation_or_at_zero():
    x = torch.ones(9)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0).train()(x) is x


def test_dropout_near_one_stays_finite():
    assert drop(torch.ones(4096), 0.9999).isfinite().all()
