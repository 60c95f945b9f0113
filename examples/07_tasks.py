"""What a task is: labels to classes, a loss as (sum, count), scores."""

import numpy as np
import torch

from headstart.tasks.calibration import calibration_error
from headstart.tasks.classification import Classes, class_weights, encode_labels, macro_f1
from headstart.tasks.multilabel import encode_label_sets
from headstart.tasks.regression import Numbers

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

print(calibration_error(np.array([0.9, 0.9]), np.array([True, False])))  # nine in ten, and half
