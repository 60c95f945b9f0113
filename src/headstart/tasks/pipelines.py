"""The shared pipeline of all representations that replace the embedding layer.

    embedding -> BiLSTM -> pooling -> linear

A comparison of word vectors, CoVe and ELMo compares representations, not pipelines: only the
encoder in the first place differs. Shapes: B batch, T tokens, D embedding width, H LSTM width,
P pooled width, C outputs.
"""

import torch
from torch import Tensor, nn

from headstart.models.interface import Encoder


class BiLSTM(nn.Module):
    """One LSTM a direction over padded sequences, each sequence within its own length.

    The backward direction reads every sequence turned around in place, so that padding comes last
    in both directions and never reaches a token's state; dense tensors are several times faster to
    train on a CPU than packed ones.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.forwards = nn.LSTM(width, hidden, batch_first=True)
        self.backwards = nn.LSTM(width, hidden, batch_first=True)

    def forward(self, x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        """Return the states of both directions `[batch, tokens, 2 * hidden]`."""
        batch, tokens = mask_BT.shape
        positions_T = torch.arange(tokens)
        last_B1 = mask_BT.sum(1, keepdim=True) - 1
        turned_BT = torch.where(mask_BT, last_B1 - positions_T, positions_T)
        rows = (turned_BT + tokens * torch.arange(batch)[:, None]).flatten()

        def turn(y_BTX: Tensor) -> Tensor:  # whole rows move, which is faster than gather
            return y_BTX.flatten(0, 1).index_select(0, rows).unflatten(0, (batch, tokens))

        right_BTH, _ = self.forwards(x_BTD)
        left_BTH, _ = self.backwards(turn(x_BTD))
        return torch.cat([right_BTH, turn(left_BTH)], -1)


class TextPipeline(nn.Module):
    """Texts to scores: embed, read in both directions, pool, and classify.

    Max and mean are pooled over the BiLSTM's states and the embeddings themselves: with a handful
    of labels the embeddings' mean carries most of what can be learnt.

    Args:
        encoder: What turns ids into vectors; its last layer is used.
        num_outputs: Number of scores per text.
        hidden: LSTM units per direction.
        dropout: Share of the embedding and pooled values dropped in training.
        scale: Factor on the encoder's vectors; `1 / rms` brings all encoders to one scale.
    """

    scale: Tensor

    def __init__(
        self, encoder: Encoder, num_outputs: int, *, hidden: int, dropout: float, scale: float
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.register_buffer("scale", torch.tensor(scale))
        self.lstm = BiLSTM(encoder.width, hidden)
        self.dropout = nn.Dropout(dropout)
        self.classify = nn.Linear(2 * (encoder.width + 2 * hidden), num_outputs)

    def forward(self, ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
        """Return the scores `[batch, outputs]`; an empty text is one token of padding."""
        x_BTD = self.encoder.encode(ids_BT, mask_BT)[-1] * self.scale
        # One mask for all tokens of a text (Gal and Ghahramani 2016): as good, and far cheaper.
        x_BTD = x_BTD * self.dropout(x_BTD.new_ones(len(x_BTD), 1, x_BTD.shape[-1]))
        states_BTP = torch.cat([x_BTD, self.lstm(x_BTD, mask_BT)], -1)
        scores_BC: Tensor = self.classify(self.dropout(pool(states_BTP, mask_BT)))
        return scores_BC


def pool(x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    """Return max and mean over each text's own tokens `[batch, 2 * width]`; zeros for no token."""
    here_BT1 = mask_BT[..., None]
    mean_BD = (x_BTD * here_BT1).sum(1) / here_BT1.sum(1).clamp(min=1)
    highest_BD = x_BTD.masked_fill(~here_BT1, -torch.inf).amax(1)
    return torch.cat([highest_BD.masked_fill(~mask_BT.any(1, keepdim=True), 0.0), mean_BD], -1)
