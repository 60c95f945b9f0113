"""The conditional random field against brute force: every sequence written out and summed."""

from itertools import pairwise, product

import pytest
import torch

from headstart.tasks.crf import Crf, Independent, Legal, log_partition, viterbi

TAGS = 4
LENGTHS = [4, 1, 3, 2]


def make_legal():
    """Forbid tag 2 at the start and after 0, and tag 3 at the end."""
    legal = Legal.all(TAGS)
    start_K, next_KK, end_K = (part.clone() for part in (legal.start_K, legal.next_KK, legal.end_K))
    start_K[2], next_KK[0, 2], end_K[3] = False, False, False
    return Legal(start_K, next_KK, end_K)


@pytest.fixture(params=["all legal", "constrained"])
def crf(request):
    made = Crf(Legal.all(TAGS) if request.param == "all legal" else make_legal()).double()
    fresh = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(generator=fresh)
    return made


@pytest.fixture
def batch():
    fresh = torch.Generator().manual_seed(0)
    scores_BTK = torch.randn(len(LENGTHS), max(LENGTHS), TAGS, generator=fresh).double()
    mask_BT = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
    return scores_BTK, mask_BT


def score(crf, scores_TK, path):
    """Return s(x, y) as the paper writes it, minus infinity if the sequence is not legal."""
    legal = crf.legal
    fine = legal.start_K[path[0]] and legal.end_K[path[-1]]
    fine = fine and all(legal.next_KK[pair] for pair in pairwise(path))
    total = crf.start[path[0]] + crf.end[path[-1]]
    total = total + sum(scores_TK[t, tag] for t, tag in enumerate(path))
    total = total + sum(crf.transitions[pair] for pair in pairwise(path))
    return total if fine else total - torch.inf


def all_paths(crf, scores_TK):
    paths = list(product(range(TAGS), repeat=len(scores_TK)))
    with torch.no_grad():
        return paths, torch.stack([score(crf, scores_TK, path) for path in paths])


def test_likelihoods_are_those_of_brute_force(crf, batch):
    scores_BTK, mask_BT = batch
    for row, length in enumerate(LENGTHS):
        paths, totals = all_paths(crf, scores_BTK[row, :length])
        for path, expected in zip(paths, totals.log_softmax(0), strict=True):
            if expected > -torch.inf:
                tags_BT = torch.zeros(len(LENGTHS), max(LENGTHS), dtype=torch.long)
                tags_BT[row, :length] = torch.tensor(path)
                found_B = crf.log_likelihood(scores_BTK, tags_BT, mask_BT)
                assert torch.allclose(found_B[row], expected, atol=1e-9)


def test_marginals_are_those_of_brute_force(crf, batch):
    scores_BTK, mask_BT = batch
    found_BTK = crf.marginals(scores_BTK, mask_BT)
    with torch.inference_mode():  # in which taggers decode
        assert torch.equal(crf.marginals(scores_BTK.clone(), mask_BT.clone()), found_BTK)
    for row, length in enumerate(LENGTHS):
        paths, totals = all_paths(crf, scores_BTK[row, :length])
        chances = totals.softmax(0)
        for t, tag in product(range(length), range(TAGS)):
            expected = sum(p for p, path in zip(chances, paths, strict=True) if path[t] == tag)
            assert float(found_BTK[row, t, tag]) == pytest.approx(float(expected), abs=1e-9)
    assert not found_BTK[~mask_BT].any()


def test_viterbi_finds_the_best_of_brute_force(crf, batch):
    scores_BTK, mask_BT = batch
    found_BT = crf.viterbi(scores_BTK, mask_BT)
    for row, length in enumerate(LENGTHS):
        paths, totals = all_paths(crf, scores_BTK[row, :length])
        assert tuple(found_BT[row, :length].tolist()) == paths[int(totals.argmax())]
    assert not found_BT[~mask_BT].any()


def test_the_gradient_written_by_hand_is_that_of_finite_differences(batch):
    scores_BTK, mask_BT = batch
    fresh = torch.Generator().manual_seed(2)
    parts = [torch.randn(shape, generator=fresh).double() for shape in ((4,), (4, 4), (4,))]
    given = [part.requires_grad_() for part in (scores_BTK, *parts)]

    def total(scores_BTK, start_K, transitions_KK, end_K):
        return log_partition(scores_BTK, mask_BT, start_K, transitions_KK, end_K)

    assert torch.autograd.gradcheck(total, given)


@pytest.mark.parametrize("kind", [Crf, Independent])
def test_padding_and_company_change_nothing(kind, batch):
    scores_BTK, mask_BT = batch
    model = kind(make_legal())
    tags_BT = model.viterbi(scores_BTK, mask_BT)
    together_B = model.log_likelihood(scores_BTK, tags_BT, mask_BT)
    marginals_BTK = model.marginals(scores_BTK, mask_BT)
    scores_BTK[~mask_BT] = 99.0
    for row, length in enumerate(LENGTHS):
        own = scores_BTK[None, row, :length], mask_BT[None, row, :length]
        assert torch.equal(model.viterbi(*own)[0], tags_BT[row, :length])
        alone_B = model.log_likelihood(own[0], tags_BT[None, row, :length], own[1])
        assert torch.allclose(alone_B[0], together_B[row], atol=1e-12)
        assert torch.allclose(model.marginals(*own)[0], marginals_BTK[row, :length], atol=1e-12)
    assert torch.equal(model.viterbi(scores_BTK, mask_BT), tags_BT)


@pytest.mark.parametrize("kind", [Crf, Independent])
def test_a_sentence_without_words_is_certain(kind):
    model, mask_BT = kind(make_legal()), torch.tensor([[False, False], [True, True]])
    scores_BTK = torch.randn(2, 2, TAGS)
    found_B = model.log_likelihood(scores_BTK, torch.zeros(2, 2, dtype=torch.long), mask_BT)
    assert found_B[0] == 0.0
    assert model.viterbi(scores_BTK, mask_BT)[0].tolist() == [0, 0]


def test_scores_far_apart_neither_overflow_nor_vanish():
    crf, mask_BT = Crf(make_legal()), torch.ones(1, 3, dtype=torch.bool)
    scores_BTK = torch.zeros(1, 3, TAGS)
    scores_BTK[0, 0, 2] = 300.0  # which is forbidden there
    scores_BTK[0, 1, 1] = 1e4
    tags_BT = crf.viterbi(scores_BTK, mask_BT)
    log_p = crf.log_likelihood(scores_BTK.requires_grad_(), tags_BT, mask_BT)
    log_p.sum().backward()
    assert tags_BT[0, 1] == 1
    assert float(log_p.detach().exp()) == pytest.approx(
        1 / 9, rel=1e-6
    )  # three first tags, three last ones
    assert torch.isfinite(scores_BTK.grad).all()


def test_only_legal_sequences_are_decoded_without_transitions_learnt(batch):
    scores_BTK, mask_BT = batch
    legal = make_legal()
    for row, length in enumerate(LENGTHS):
        tags = Independent(legal).viterbi(scores_BTK, mask_BT)[row, :length].tolist()
        assert legal.start_K[tags[0]]
        assert legal.end_K[tags[-1]]
        assert all(legal.next_KK[pair] for pair in pairwise(tags))


def test_where_nothing_is_legal_there_is_still_a_tag():
    nothing = torch.zeros(2, dtype=torch.bool)
    parts = [torch.zeros(2).masked_fill(~nothing, -torch.inf) for _ in range(2)]
    scores_BTK, mask_BT = torch.randn(1, 2, 2), torch.ones(1, 2, dtype=torch.bool)
    found_BT = viterbi(scores_BTK, mask_BT, parts[0], torch.zeros(2, 2), parts[1])
    assert found_BT.shape == (1, 2)
