"""Labels that do not occur in the training data: rejected, or counted as errors."""

from collections.abc import Sequence
from typing import Literal, get_args

from headstart.data.columns import listed, several
from headstart.errors import DataError, SettingsError

UnseenLabels = Literal["refuse", "count-as-error"]


def settle_unseen(
    unseen: Sequence[tuple[str, str]],
    unseen_labels: UnseenLabels,
    *,
    training: str,
    what: str = "label",
    of: str = "row",
    counts_as: str = "an error",
) -> tuple[str, ...]:
    """Reject labels that do not occur in the training data, or return a note on them.

    Args:
        unseen: The place and the label of each.
        unseen_labels: What to do with them.
        training: What the training data has instead, as the message continues.
        what: What labels are called.
        of: What has a label.
        counts_as: What they count as if they are not rejected.

    Raises:
        DataError: There are unseen labels and they are rejected; names the first.
        SettingsError: `unseen_labels` is unknown.
    """
    if unseen_labels not in get_args(UnseenLabels):
        known = " or ".join(map(repr, get_args(UnseenLabels)))
        raise SettingsError(f"unseen_labels must be {known}, got {unseen_labels!r}")
    if not unseen:
        return ()
    place, label = unseen[0]
    number = len({place for place, _ in unseen})
    rows = several(number, of)
    said = f"{place}: {what} {label!r} is not in the training data"
    if unseen_labels == "refuse":
        have = f"has such a {what}" if number == 1 else f"have such {what}s"
        raise DataError(f"{said}, {training} ({rows} {have})")
    kinds = listed(sorted({label for _, label in unseen}))
    return (f"{said} and counts as {counts_as}; such {what}s: {kinds} ({rows})",)
