"""Pretrain word vectors, CoVe, ELMo, BERT and GPT on a small corpus."""

import numpy as np

import headstart as hs

texts = [
    "the coffee is hot and the tea is hot",
    "a cup of coffee or a cup of tea",
    "the train is late and the bus is late",
    "a ticket for the train or a ticket for the bus",
] * 50

word2vec = hs.pretrain("word2vec", texts, size="tiny", epochs=20, threads=1, seed=0)
print(word2vec.name, word2vec.lineage["words"], "words")
print(word2vec.most_similar("coffee", top=2))

glove = hs.pretrain("glove", texts, size="tiny", epochs=20, threads=1, seed=0)
print(glove.similarity("train", "bus"))

cove = hs.pretrain(
    "cove",
    parallel=[
        ("the coffee is hot", "der Kaffee ist heiß"),
        ("the tea is hot", "der Tee ist heiß"),
        ("the train is late", "der Zug ist spät"),
    ]
    * 10,
    size="tiny",
    steps=60,
    threads=1,
    options={"vocabulary_size": 300, "pairs_per_step": 15},
)
print(cove.translate(["the coffee is hot"], beam=2))
states = cove.word_states([["the", "coffee", "is", "hot"]])[0]  # two layers
vectors = cove.word_vectors([["the", "coffee", "is", "hot"]])[0]
print(np.concatenate([vectors, states[-1]], 1).shape)  # the paper's features: [GloVe(w); CoVe(w)]

elmo = hs.pretrain("elmo", texts, size="tiny", steps=10, threads=1, options={"words_per_row": 24})
print(elmo.lineage["validation"]["forward_perplexity"])
hot, late = elmo.word_states([["the", "coffee", "is", "hot"], ["the", "bus", "is", "late"]])
print(hot.shape)  # three layers, four words: the word alone, then in its sentence
print((hot[0, 2] == late[0, 2]).all(), (hot[2, 2] == late[2, 2]).all())  # "is", twice

bert = hs.pretrain(
    "bert",
    [
        f"{first.capitalize()}. {second.capitalize()}."
        for first in texts[:4]
        for second in texts[:4]
    ],
    size="tiny",
    steps=40,
    threads=1,
    options={"vocabulary_size": 300, "rows_per_step": 4},
)
print(bert.name, bert.lineage["positions_filled"])
print(bert.fill_mask("the coffee is [MASK]", top=3))

gpt = hs.pretrain(
    "gpt",
    texts,
    size="tiny",
    steps=40,
    threads=1,
    options={"vocabulary_size": 300, "tokens_per_row": 32, "rows_per_step": 4},
)
print(gpt.generate("a cup of", max_new_tokens=8, temperature=0))

adapted = hs.adapt(bert, ["The tram is late. The tram is full."] * 20, steps=5, threads=1)
print(adapted.lineage["adapted_from"] == bert.name)
