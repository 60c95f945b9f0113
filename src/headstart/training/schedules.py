"""Learning rates as functions of the share of training that is done."""


def warm_up(step: int, warm_up_steps: int) -> float:
    """Rise linearly from 0 to 1 over the first steps, then stay (`step` counts from 1)."""
    return min(1.0, step / warm_up_steps)


def warm_up_then_decay(step: int, total_steps: int, warm_up_steps: int) -> float:
    """Rise linearly over the first steps and fall linearly to 0 after the last."""
    return min(step / warm_up_steps, 1.0 - (step - 1) / total_steps)


def rise_and_fall(share: float, warm_up: float) -> float:
    """Rise linearly from 0 to 1 until `warm_up` of a budget is spent, and fall linearly to 0.

    Args:
        share: What is spent, 0 to 1 and, where the last step went over the budget, above.
        warm_up: Where the top is, 0 to below 1; with 0 the factor falls from the start.
    """
    if share < warm_up:
        return max(0.0, share / warm_up)
    return min(1.0, max(0.0, (1.0 - share) / (1.0 - warm_up)))
