"""Load published encoders, and save and load your own."""

from pathlib import Path

import headstart as hs

Path("tiny.vec").write_text("3 2\nup 0.0 2.0\nhigh 1.0 9.0\nlow 1.0 -9.0\n")

vectors = hs.load("tiny.vec")  # word2vec, GloVe and fastText files are recognized by their content
print(vectors.lineage)

vectors.save("runs/tiny")
print(sorted(path.name for path in Path("runs/tiny").iterdir()))
again = hs.load("runs/tiny")  # every file is checked against the manifest
print(again.fingerprint == vectors.fingerprint, again.most_similar("up", top=1))
