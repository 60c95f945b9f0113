"""Pairs of texts: where their two sides are, and how they are joined for a cross-encoder.

The texts of N pairs are 2N texts: all first ones, then all second ones. Code for single texts
thereby handles both sides of a pair, and code for pairs looks up where the sides are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headstart.errors import SettingsError
from headstart.tokenize.batches import Encoded, Rows


def rows_of_sides(rows: Rows, num_rows: int, *, sides: int) -> Rows:
    """Return the places of the sides of some of `num_rows` examples `[sides * rows]`.

    Example:
        >>> rows_of_sides(np.array([0, 2]), 5, sides=2).tolist()
        [0, 2, 5, 7]
    """
    return np.concatenate([rows + side * num_rows for side in range(sides)])


def padded_lengths(texts: Encoded, *, sides: int) -> Rows:
    """Return how many ids each example takes, its sides padded to one length `[examples]`."""
    return sides * texts.lengths.reshape(sides, -1).max(0)


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The ids around a text, and between the two texts of a pair."""

    before: Sequence[int]
    between: Sequence[int]
    after: Sequence[int]

    def __len__(self) -> int:
        return len(self.before) + len(self.between) + len(self.after)


def join_pairs(
    texts: Encoded, frame: Frame, max_tokens: int, *, both_orders: bool, segments: bool = False
) -> tuple[Encoded, int]:
    """Return `before first between second after` for every pair, and how many pairs were truncated.

    Args:
        texts: All first texts, then all second texts.
        frame: The ids around and between them.
        max_tokens: Ids per pair, including the frame; the end of the longer text is truncated.
        both_orders: Whether all pairs follow again with the second text first.
        segments: Whether to record where the second text begins, for the model.

    Raises:
        SettingsError: There is no room for two texts.
    """
    room = max_tokens - len(frame)
    if room < 2:
        raise SettingsError(
            f"max_tokens must be above {len(frame) + 1} for pairs, got {max_tokens}"
        )
    num_pairs = len(texts) // 2
    rows = np.arange(2 * num_pairs)
    firsts, seconds = (rows, np.roll(rows, num_pairs)) if both_orders else np.split(rows, 2)
    lengths = texts.lengths[firsts] + texts.lengths[seconds]
    kept = room_of_sides(texts.lengths[firsts], texts.lengths[seconds], room)
    left, right = (
        texts.select(side).truncate(ids)[0]
        for side, ids in zip((firsts, seconds), kept, strict=True)
    )
    left, right = left.surround(frame.before, frame.between), right.surround([], frame.after)
    both = Encoded(
        np.concatenate([left.ids, right.ids]),
        np.concatenate([left.offsets, left.offsets[-1] + right.offsets[1:]]),
    ).select(np.arange(2 * len(left)).reshape(2, -1).T.ravel())
    begins = left.lengths if segments else None
    return Encoded(both.ids, both.offsets[::2], begins), int((lengths > room)[:num_pairs].sum())


def room_of_sides(first: Rows, second: Rows, room: int) -> tuple[Rows, Rows]:
    """Return how many ids are kept of both sides of pairs with `room` ids in total, each `[N]`.

    As in BERT's original code, one id at a time is removed from the end of the longer side, or of
    the second side in a tie.
    """
    half = -(-room // 2)
    kept = np.where(
        first + second > room, np.maximum(np.minimum(first, half), room - second), first
    )
    return kept, np.minimum(second, room - kept)
