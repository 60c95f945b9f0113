"""Scaling laws fitted on our own runs: the expected held-out loss by parameters and tokens.

Hoffmann et al., "Training Compute-Optimal Large Language Models", 2022, section 3.3
(https://arxiv.org/abs/2203.15556): with N parameters and D tokens, `L = E + A / N^a + B / D^b`.
`benchmarks/scaling_law.py` makes the runs, fits the laws, and prints the values below.
"""

import math
from dataclasses import dataclass

TOKENS_A_PARAMETER = 20  # compute-optimal, according to the same paper
_LEAST, _SIZE_POWER = 1.69, 0.34  # E and a from the paper; A, B and b are fitted


@dataclass(frozen=True, kw_only=True)
class ScalingLaw:
    """A scaling law, fitted on English Wikipedia with default settings and under one epoch.

    Attributes:
        log_size: log A.
        log_text: log B.
        text_power: b.
        parameters: The smallest and the largest number of parameters in the runs.
        tokens: The smallest and the largest number of tokens in the runs.
        error: The largest difference between a run's loss and the law, in nats.
        what: The unit of the loss.
    """

    log_size: float
    log_text: float
    text_power: float
    parameters: tuple[int, int]
    tokens: tuple[int, int]
    error: float
    what: str

    def loss(self, parameters: int, tokens: int) -> float:
        """Return the expected loss on held-out documents, in nats."""
        of_size = math.exp(self.log_size - _SIZE_POWER * math.log(parameters))
        of_text = math.exp(self.log_text - self.text_power * math.log(tokens))
        return _LEAST + of_size + of_text

    def covers(self, parameters: int, tokens: int) -> bool:
        """Return whether both values are within the range of the runs."""
        fewest, most = self.parameters
        shortest, longest = self.tokens
        return fewest <= parameters <= most and shortest <= tokens <= longest


LAWS = {
    "gpt": ScalingLaw(
        log_size=3.5518,
        log_text=3.1597,
        text_power=0.1350,
        parameters=(1_461_760, 5_289_472),
        tokens=(126_976, 1_001_472),
        error=0.02,
        what="nats per token",
    ),
}
