"""What a task is: labels to classes, a loss as (sum, count), scores."""

import numpy as np
import torch

from headstart.tasks.classification import Classes, class_weights, encode_labels, macro_f1

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
