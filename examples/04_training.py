"""Use the training loop, a generator: the caller decides when to evaluate, save and stop."""

import torch
from torch.nn import functional as F

from headstart.training.loop import train
from headstart.training.schedules import warm_up_then_decay

torch.manual_seed(0)
x_BD = torch.randn(64, 4)
y_B = (x_BD[:, 0] > 0).long()
model = torch.nn.Linear(4, 2)


def compute_loss(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the loss as (sum, count): the result does not depend on how a batch is split."""
    total = F.cross_entropy(model(x_BD[rows]), y_B[rows], reduction="sum")
    return total, torch.tensor(len(rows))


batches = [[torch.arange(32), torch.arange(32, 64)]] * 50  # a step of two micro-batches
optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
for step in train(
    batches, compute_loss, optimizer, schedule=lambda n: warm_up_then_decay(n, len(batches), 5)
):
    if step.number % 10 == 0:
        print(step.number, round(step.loss, 3))
    if step.loss < 0.1:
        break
