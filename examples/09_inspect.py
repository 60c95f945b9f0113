"""Inspect what an encoder knows: words in general, a task's own words, and a word's senses."""

from pathlib import Path

import headstart as hs
from headstart.inspect.neighbors import inspect_words
from headstart.inspect.senses import word_senses
from headstart.inspect.senses_page import render_senses
from headstart.inspect.word_tests import evaluate_similarity, read_similarity_test

texts = ["the coffee is hot", "the tea is hot", "the train is late", "the bus is late"] * 50
labels = ["drink", "drink", "travel", "travel"] * 50
sample = {"sample": 1.0}  # keep all words; the default drops most occurrences of frequent ones
vectors = hs.pretrain("word2vec", texts, size="tiny", epochs=20, threads=1, options=sample)

Path("pairs.tsv").write_text("coffee\ttea\t9.0\ncoffee\tbus\t1.0\ntrain\tbus\t8.0\n")
print(evaluate_similarity(vectors.space, read_similarity_test("pairs.tsv")))

known = inspect_words(
    texts, labels, vectors.tokenizer, {"pretrained": vectors.space}, per_class=2, top=2
)
for word in known["words"]:
    print(word["label"], word["word"], word["columns"]["pretrained"])

uses = ["the train is late", "the late bus", "tea late at night", "coffee late at night"]
elmo = hs.pretrain("elmo", texts, size="tiny", steps=5, threads=1, seed=0)
senses = word_senses({"word2vec": vectors, "elmo": elmo}, uses, word="late")
for look in senses["encoders"]:
    print(look["name"], look["distinct"], "vectors; nearest to the first:", look["nearest"][0])
Path("late.html").write_text(render_senses(senses))
