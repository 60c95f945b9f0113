"""What becomes of the tokens that BERT has to guess, by count over a hundred thousand of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from headstart.pretrain.masked_lm import corrupt
from headstart.tokenize.batches import Encoded, pack

CLS, SEP, MASK, FIRST, SIZE = 2, 3, 4, 5, 95
ORDINARY = np.arange(FIRST, SIZE)
CONTINUES = np.arange(SIZE) >= 65
SURE = 1e-4  # a right program fails once in ten thousand seeds; these seeds are fixed


def make(lengths, *, share=0.15, whole_words=False, seed=0):
    """Pack `[CLS] .. [SEP] .. [SEP]` of random pieces; return them, where targets may be, and
    what `corrupt` made of them."""
    random = np.random.default_rng(seed)
    texts = []
    for length in lengths:
        text = [CLS, *random.integers(FIRST, SIZE, length), SEP]
        text[1 + length // 2 : 1 + length // 2] = [SEP] if length > 3 else []
        texts.append(text)
    packed = pack(Encoded.from_lists(texts), np.arange(len(texts)), tokens=max(lengths) + 3)
    here = packed.sequences_BT >= 0
    open_BT = here & (packed.ids_BT != CLS) & (packed.ids_BT != SEP)
    targets, corrupted = corrupt(
        packed,
        open_BT,
        share=share,
        mask=MASK,
        ordinary=ORDINARY,
        continues=CONTINUES if whole_words else None,
        random=random,
    )
    return packed, open_BT.ravel(), targets, corrupted.ravel()


@pytest.fixture(scope="module")
def large():
    return make([62] * 1600 + [31] * 200)


def test_a_hundred_thousand_tokens_are_looked_at(large):
    assert large[1].sum() > 1e5


def test_fifteen_percent_of_every_example_are_targets(large):
    packed, open_at, targets, _ = large
    of_text = packed.sequences_BT.ravel()
    tokens, chosen = np.bincount(of_text[of_text >= 0]), np.bincount(of_text[targets])
    assert np.array_equal(chosen, np.maximum(1, np.round(0.15 * tokens)))
    assert chosen.sum() / tokens.sum() == pytest.approx(0.15, abs=0.005)
    assert open_at[targets].all()
    assert np.array_equal(targets, np.unique(targets))


def test_every_place_is_as_likely_a_target_as_any_other(large):
    packed, _, targets, _ = large
    longest = packed.last_N - packed.first_N == 64
    mine = targets[longest[packed.sequences_BT.ravel()[targets]]]
    counts = np.bincount(packed.positions_BT.ravel()[mine], minlength=65)
    special = {0, 32, 64}
    assert not counts[list(special)].any()
    assert chisquare(counts[[place for place in range(65) if place not in special]]).pvalue > SURE


def test_eighty_percent_become_masks_ten_others_and_ten_stay(large):
    packed, _, targets, corrupted = large
    before, after = packed.ids_BT.ravel()[targets], corrupted[targets]
    stayed = (after == before).sum()
    masked = (after == MASK).sum()
    by_chance = 0.1 / len(ORDINARY)  # a random piece may be the same
    shares = np.array([0.8, 0.1 - by_chance, 0.1 + by_chance])
    counts = [masked, len(targets) - masked - stayed, stayed]
    assert chisquare(counts, shares * len(targets)).pvalue > SURE


def test_random_pieces_are_any_ordinary_ones():
    packed, _, targets, corrupted = make([62] * 1600, share=0.9)
    before, after = packed.ids_BT.ravel()[targets], corrupted[targets]
    replaced = after[(after != before) & (after != MASK)]
    counts = np.bincount(replaced, minlength=SIZE)
    assert not counts[:FIRST].any()
    assert chisquare(counts[FIRST:]).pvalue > SURE


def test_only_targets_change(large):
    packed, _, targets, corrupted = large
    changed = np.flatnonzero(corrupted != packed.ids_BT.ravel())
    assert len(changed)
    assert np.isin(changed, targets).all()


def words_of(packed, open_at):
    """Return the places of every word, a text at a time."""
    ids, texts = packed.ids_BT.ravel(), packed.sequences_BT.ravel()
    words = []
    for at in np.flatnonzero(open_at):
        goes_on = CONTINUES[ids[at]] and words and words[-1][-1] == at - 1
        if goes_on and texts[at] == texts[at - 1]:
            words[-1].append(at)
        else:
            words.append([at])
    return words


def test_all_pieces_of_a_word_are_targets_or_none():
    packed, open_at, targets, _ = make([62] * 400, whole_words=True)
    is_target = np.isin(np.arange(len(open_at)), targets)
    words = words_of(packed, open_at)
    assert max(map(len, words)) > 3
    shares = [is_target[word].mean() for word in words]
    assert set(shares) == {0.0, 1.0}
    chosen = np.bincount(packed.sequences_BT.ravel()[targets])
    longest = max(map(len, words))
    assert ((chosen >= 10) & (chosen < 10 + longest)).all()


def test_words_are_targets_whatever_their_length():
    packed, open_at, targets, _ = make([62] * 1500, whole_words=True)
    is_target = np.isin(np.arange(len(open_at)), targets)
    lengths, chosen = np.transpose(
        [(len(word), is_target[word[0]]) for word in words_of(packed, open_at)]
    )
    by_length = [chosen[lengths == length].mean() for length in (1, 2, 3)]
    assert by_length == pytest.approx([chosen.mean()] * 3, rel=0.1)


def test_pieces_are_masked_alone_unless_asked_otherwise():
    packed, open_at, targets, _ = make([62] * 50)
    is_target = np.isin(np.arange(len(open_at)), targets)
    assert any(0 < is_target[word].mean() < 1 for word in words_of(packed, open_at))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=20),
    st.floats(0.01, 0.99),
    st.booleans(),
    st.integers(0, 9),
)
def test_every_example_has_a_target_and_no_special_token_is_one(lengths, share, words, seed):
    packed, open_at, targets, corrupted = make(lengths, share=share, whole_words=words, seed=seed)
    assert open_at[targets].all()
    of_text = packed.sequences_BT.ravel()
    chosen = np.bincount(of_text[targets], minlength=len(lengths))
    tokens = np.bincount(of_text[of_text >= 0])
    wanted = np.minimum(np.maximum(1, np.round(share * tokens)), lengths)
    assert (chosen >= wanted).all() if words else np.array_equal(chosen, wanted)
    untouched = np.delete(np.arange(len(corrupted)), targets)
    assert np.array_equal(corrupted[untouched], packed.ids_BT.ravel()[untouched])
    assert ((corrupted[targets] == MASK) | (corrupted[targets] >= FIRST)).all()
