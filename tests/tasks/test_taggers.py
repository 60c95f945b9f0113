"""What scores tags: padding and company change nothing, rare words are hidden, spelling is read."""

import numpy as np
import pytest
import torch

from headstart.models.word_vectors import WordVectors
from headstart.tasks.taggers import (
    HeadTagger,
    Spelled,
    Spelling,
    TaggingPipeline,
    WordInputs,
    WordStates,
    decoder_of,
    legal_tags,
    pad_words,
)
from headstart.tokenize.batches import Encoded
from headstart.tokenize.characters import words_to_characters
from headstart.tokenize.words import UNKNOWN_ID

TAGS = ["B-P", "I-P", "O"]


@pytest.fixture
def pipeline():
    torch.manual_seed(0)
    vectors = WordVectors(6, 4, generator=torch.Generator().manual_seed(0))
    made = TaggingPipeline(
        vectors,
        decoder_of(legal_tags(TAGS, "IOB2"), crf=True),
        len(TAGS),
        spelled=True,
        hidden=5,
        dropout=0.5,
        scale=1.0,
    )
    return made.eval()


@pytest.fixture
def given_words():
    encoded = Encoded.from_lists([[2, 3, 4, 5], [3], [5, 2]])
    return WordInputs(encoded, Spelled.of([["a", "bb", "ccc", "dddd"], ["bb"], ["é", "f" * 9]]))


def test_what_is_legal():
    legal = legal_tags(TAGS, "IOB2")
    assert legal.start_K.tolist() == [True, False, True]
    assert legal.next_KK.tolist() == [[True, True, True], [True, True, True], [True, False, True]]
    ends = legal_tags(["B-P", "E-P", "O"], "BIOES").end_K
    assert ends.tolist() == [False, True, True]


def test_padding_and_company_change_nothing(pipeline, given_words):
    with torch.inference_mode():
        together, mask_BT = pipeline.scores(given_words, np.arange(3))
        for row, length in enumerate([4, 1, 2]):
            alone, _ = pipeline.scores(given_words, np.array([row]))
            assert torch.allclose(alone[0], together[row, :length], atol=1e-6)
    assert mask_BT.sum(1).tolist() == [4, 1, 2]


def test_the_spelling_is_read(pipeline, given_words):
    spelled = Spelled.of([["a", "bx", "ccc", "dddd"], ["bb"], ["é", "f" * 9]])
    with torch.inference_mode():
        before, _ = pipeline.scores(given_words, np.array([0]))
        after, _ = pipeline.scores(WordInputs(given_words.encoded, spelled), np.array([0]))
    assert not torch.allclose(before, after)


def test_a_words_spelling_does_not_depend_on_others():
    torch.manual_seed(0)
    spelling = Spelling()
    ids_NC = torch.from_numpy(words_to_characters(["a", "abc", "a" * 60, ""])).long()
    together = spelling(ids_NC)
    for row in range(4):
        assert torch.allclose(spelling(ids_NC[row : row + 1])[0], together[row], atol=1e-6)


def test_words_that_nobody_trained_are_unknown(pipeline):
    pipeline.counts_V = torch.tensor([0, 0, 5, 1, 0, 5])
    ids_BT = torch.tensor([[2, 3, 4, 0]]).expand(200, 4)
    assert pipeline._hide_rare(ids_BT)[0].tolist() == [2, 3, UNKNOWN_ID, 0]
    hidden = (pipeline.train()._hide_rare(ids_BT) == UNKNOWN_ID).float().mean(0)
    assert hidden[[0, 2, 3]].tolist() == [0.0, 1.0, 0.0]
    assert 0.3 < hidden[1] < 0.7


def test_a_head_reads_the_states_of_its_sentences():
    states = WordStates(np.arange(10, dtype=np.float32).reshape(5, 2), np.array([0, 2, 2, 5]))
    head = HeadTagger(
        torch.nn.Identity(), decoder_of(legal_tags("ab", "plain"), crf=False), torch.tensor(2.0)
    )
    scores, mask_BT = head.scores(states, np.array([2, 0]))
    assert scores.tolist() == [[[8, 10], [12, 14], [16, 18]], [[0, 2], [4, 6], [0, 0]]]
    assert mask_BT.tolist() == [[True] * 3, [True, True, False]]


def test_words_are_laid_out_by_sentence():
    padded, mask_BT = pad_words(torch.arange(3.0)[:, None], np.array([0, 2, 1]))
    assert padded[..., 0].tolist() == [[0, 0], [0, 1], [2, 0]]
    assert mask_BT.tolist() == [[False, False], [True, True], [True, False]]
