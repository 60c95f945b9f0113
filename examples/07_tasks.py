"""Define a task: labels as classes, a loss as (sum, count), and scores."""

import numpy as np
import torch

from headstart.tasks.calibration import calibration_error
from headstart.tasks.classification import Classes, class_weights, encode_labels, macro_f1
from headstart.tasks.crf import Crf
from headstart.tasks.multilabel import encode_label_sets
from headstart.tasks.regression import Numbers
from headstart.tasks.taggers import legal_tags
from headstart.tasks.tagging import convert, detect_scheme, score_tags, spans

labels = ["sport", "sport", "business", "sport"]
classes, indices = encode_labels(labels)
print(classes, indices)

weights = class_weights("balanced", classes, indices)
print(weights)  # the rare class counts more

scores_BC = torch.tensor(np.float32([[0, 2], [1, 1], [3, 0], [0, 1]]))
target = Classes(indices, weights)
total, count = target.loss(scores_BC, np.arange(len(labels)))
print((total / count).item())

predicted = classes[scores_BC.argmax(1).numpy()]
print(predicted, macro_f1(labels, predicted))

names, matrix = encode_label_sets([["sport"], ["sport", "business"], []])
print(names, matrix.tolist())

stars = Numbers(np.array([1.0, 2.0, 5.0, 4.0]))
print(stars.mean, stars.scale, stars.standardized)

print(calibration_error(np.array([0.9, 0.9]), np.array([True, False])))  # 90% sure, half right

tags = ["B-PER", "I-PER", "O", "B-LOC"]
print(detect_scheme([tags]), spans(tags))
print(convert(tags, "BIOES"), convert(tags, "IOB1"))
found = score_tags([tags], [["B-PER", "O", "O", "B-LOC"]], "IOB2")
print(found.precision, found.recall, found.f1, found.accuracy)

crf = Crf(legal_tags(["B-PER", "I-PER", "O"], "IOB2"))
scores_BTK = torch.tensor([[[0.0, 5.0, 1.0], [0.0, 2.0, 0.0]]])  # two words of one sentence
mask_BT = torch.ones(1, 2, dtype=torch.bool)
print(crf.viterbi(scores_BTK, mask_BT))  # no sentence begins inside a name
print(crf.marginals(scores_BTK, mask_BT))
