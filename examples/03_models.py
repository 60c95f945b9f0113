"""Turn ids into vectors with an encoder; word vectors are the simplest one."""

import numpy as np
import torch

from headstart.models.bert import Bert, BertConfig
from headstart.models.word_vectors import WordSpace, WordVectors

words = ["king", "queen", "man", "woman"]
matrix = np.float32([[9, 1, 1], [9, 1, -1], [0, 1, 1], [0, 1, -1]])

encoder = WordVectors.from_matrix(np.vstack([np.zeros((2, 3), np.float32), matrix]))
ids_BT = torch.tensor([[2, 3, 0]])  # id 0 is padding, 1 an unknown word
(layer_BTD,) = encoder.encode(ids_BT, ids_BT != 0)  # one layer; ELMo has three, BERT blocks + 1
print(encoder.width, layer_BTD)

space = WordSpace(words, matrix)
print(space.most_similar(positive=["king", "woman"], negative=["man"], top=1))

# Several texts are packed side by side into one row and never attend to one another.
bert = Bert(BertConfig(vocabulary_size=50, width=16, layers=2, heads=2, feed_forward=32)).eval()
ids_BT = torch.tensor([[7, 8, 9, 20, 21]])
texts_BT = torch.tensor([[0, 0, 0, 1, 1]])  # which text each token belongs to
places_BT = torch.tensor([[0, 1, 2, 0, 1]])  # and its position in that text
packed = bert(ids_BT, texts_BT, places_BT)
alone = bert.encode(ids_BT[:, :3], torch.ones(1, 3, dtype=torch.bool))
print(len(packed), torch.allclose(packed[-1][:, :3], alone[-1], atol=1e-6))
