"""Read labeled texts and a corpus, and find duplicates, conflicts and test leaks."""

from pathlib import Path

from headstart.data.contamination import find_seen
from headstart.data.corpora import read_corpus
from headstart.data.label_sets import read_label_sets
from headstart.data.labelled import Dataset, read_labelled
from headstart.data.overlap import find_conflicts, find_duplicates
from headstart.data.pairs import read_labelled_pairs
from headstart.data.parallel import as_parallel
from headstart.data.tagged import read_tagged

Path("reviews.csv").write_text(
    "text,label\n"
    "a quiet and moving film,good\n"
    '"long, loud and dull",bad\n'
    "a quiet and moving film,bad\n"
    "sharp and very funny,good\n"
)
Path("articles.txt").write_text("The fair opened today. It rains.\n\nNobody minds the rain.\n")

dataset = read_labelled("reviews.csv")
print(len(dataset), dataset.classes, "from lines", dataset.lines)
print(find_duplicates(dataset))
print(find_conflicts(dataset))

Path("tagged.csv").write_text("text,label\na goal,sport|news\nrain,\n")
several = read_label_sets("tagged.csv", separator="|")
print(several.labels)

Path("pairs.csv").write_text(
    "premise,hypothesis,label\na dog runs,an animal moves,yes\nhello,,no\n"
)
labelled_pairs = read_labelled_pairs("pairs.csv")
print(labelled_pairs.texts[0], labelled_pairs.labels, labelled_pairs.notes)

Path("names.conll").write_text("Mary B-PER\nmet O\nAnn B-PER\nLee I-PER\n\nSo O\n")
names = read_tagged("names.conll")
print(names.sentences, names.tags, names.place(0, 2))

corpus = read_corpus("articles.txt")
for document in corpus:  # read from the files each time, so a corpus may be larger than memory
    print(document)

test = Dataset(["A quiet and moving film!", "nobody minds a dull film"], ["good", "bad"])
seen = find_seen(dataset, test, corpus)
print(seen.near_leaks)
print(seen.num_clean, "of", len(test), "test rows were not seen before")

pairs = as_parallel([("a dog", "ein Hund"), ("two dogs", "zwei Hunde")])
print(len(pairs), pairs.targets)
