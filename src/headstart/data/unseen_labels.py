"""Labels that were not there in training: they refuse the test rows, or count as errors."""

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
    """Refuse labels that were not there in training, or return a note of them.

    Args:
        unseen: Where each of them stands, and the label.
        unseen_labels: What becomes of them.
        training: What training had instead, as the message goes on.
        what: What labels are called.
        of: What has one.
        counts_as: What they count as where they are not refused.

    Raises:
        DataError: There are some, and they are refused; names the first.
        SettingsError: `unseen_labels` is neither.
    """
    if unseen_labels not in get_args(UnseenLabels):
        known = " or ".join(map(repr, get_args(UnseenLabels)))
        raise SettingsError(f"unseen_labels must be {known}, not {unseen_labels!r}")
    if not unseen:
        return ()
    place, label = unseen[0]
    number = len({place for place, _ in unseen})
    rows = several(number, of)
    said = f"{place}: {what} {label!r} was not there in training"
    if unseen_labels == "refuse":
        have = f"has such a {what}" if number == 1 else f"have such {what}s"
        raise DataError(f"{said}, {training} ({rows} {have})")
    kinds = listed(sorted({label for _, label in unseen}))
    return (f"{said}, and counts as {counts_as}; such {what}s: {kinds} ({rows})",)
