"""Word vectors from unlabelled text, on whatever budget there is."""

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
