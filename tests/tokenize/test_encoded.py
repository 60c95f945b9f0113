import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.errors import DataError
from headstart.tokenize.encoded import END, encode_corpus
from headstart.tokenize.words import WordTokenizer

TOKENIZER = WordTokenizer.from_vocabulary(["a", "b", "c"], lowercase=True, split="whitespace")


def test_ids_without_unknown_words_and_an_end_after_every_document(tmp_path):
    corpus = encode_corpus(["a x b", "", "x", "c C"], TOKENIZER, tmp_path)
    assert corpus.ids.tolist() == [2, 3, END, END, END, 4, 4, END]
    assert corpus.counts.tolist() == [0, 0, 1, 1, 2]
    assert (corpus.documents, corpus.words) == (4, 6)
    assert isinstance(corpus.ids, np.memmap)


def test_nothing_to_learn_from(tmp_path):
    with pytest.raises(DataError, match="two words"):
        encode_corpus(["a", "x x", ""], TOKENIZER, tmp_path)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.sampled_from("abcx"), max_size=6), max_size=8))
def test_any_corpus_comes_back(tmp_path_factory, documents):
    texts = ["a b", *(" ".join(document) for document in documents)]
    corpus = encode_corpus(texts, TOKENIZER, tmp_path_factory.mktemp("corpus"))
    letters = {END: "|", 2: "a", 3: "b", 4: "c"}
    parts = "".join(letters[int(id)] for id in corpus.ids)
    assert parts == "".join(text.replace("x", "").replace(" ", "") + "|" for text in texts)
