"""An encoder turns ids into vectors, layer by layer; word vectors are the simplest one."""

import numpy as np
import torch

from headstart.models.word_vectors import WordSpace, WordVectors

words = ["king", "queen", "man", "woman"]
matrix = np.float32([[9, 1, 1], [9, 1, -1], [0, 1, 1], [0, 1, -1]])

encoder = WordVectors.from_matrix(np.vstack([np.zeros((2, 3), np.float32), matrix]))
ids_BT = torch.tensor([[2, 3, 0]])  # id 0 is padding, 1 an unknown word
(layer_BTD,) = encoder.encode(ids_BT, ids_BT != 0)  # one layer; ELMo has three, BERT all of its own
print(encoder.width, layer_BTD)

space = WordSpace(words, matrix)
print(space.most_similar(positive=["king", "woman"], negative=["man"], top=1))
