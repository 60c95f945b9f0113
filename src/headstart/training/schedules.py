"""Learning rates as functions of the share of training that is done."""


def warm_up(step: int, warm_up_steps: int) -> float:
    """Rise linearly from 0 to 1 over the first steps, then stay (`step` counts from 1)."""
    return min(1.0, step / warm_up_steps)


def warm_up_then_decay(step: int, total_steps: int, warm_up_steps: int) -> float:
    """Rise linearly over the first steps and fall linearly to 0 after the last."""
    return min(step / warm_up_steps, 1.0 - (step - 1) / total_steps)
