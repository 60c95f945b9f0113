"""Learning rate schedules: the factor as a function of training progress."""


def warm_up(step: int, warm_up_steps: int) -> float:
    """Rise linearly from 0 to 1 over the first steps, then stay at 1 (`step` counts from 1)."""
    return min(1.0, step / warm_up_steps)


def warm_up_then_decay(step: int, total_steps: int, warm_up_steps: int) -> float:
    """Rise linearly over the first steps, and fall linearly to 0 after the last."""
    return min(step / warm_up_steps, 1.0 - (step - 1) / total_steps)


def rise_and_fall(share: float, warm_up: float) -> float:
    """Rise linearly from 0 to 1 until `warm_up` of a budget is spent, then fall linearly to 0.

    Args:
        share: Share of the budget spent, from 0 to 1; above 1 if the last step exceeded it.
        warm_up: Where the peak is, from 0 to below 1; with 0 the factor falls from the start.
    """
    if share < warm_up:
        return max(0.0, share / warm_up)
    return min(1.0, max(0.0, (1.0 - share) / (1.0 - warm_up)))
