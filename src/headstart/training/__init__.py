"""Training: the loop, optimizers, checkpoints and runs."""
