"""Tagged sentences as a comparison sees them: what stands in each, and what may not."""

from collections import Counter

from headstart.data.columns import listed
from headstart.data.tagged import TaggedSentences
from headstart.data.unseen_labels import UnseenLabels, settle_unseen
from headstart.errors import DataError
from headstart.tasks.tagging import (
    OUTSIDE,
    Scheme,
    Tags,
    check_legal,
    detect_scheme,
    spans,
    split_tag,
)


def types_of(tags: Tags, *, plain: bool) -> list[str]:
    """Return the types of a sentence's spans, or its plain tags, one a word."""
    return list(tags) if plain else [kind for _, _, kind in spans(tags)]


def kinds(dataset: TaggedSentences, *, plain: bool) -> list[str]:
    """Return the type of every span of all sentences, or the plain tag of every word."""
    return [kind for tags in dataset.tags for kind in types_of(tags, plain=plain)]


def strata(dataset: TaggedSentences, *, plain: bool) -> list[str]:
    """Return what each sentence counts as where sentences are drawn: its rarest type, or none.

    So a few sentences, drawn from all strata alike, hold every type that they can.
    """
    counts = Counter(kinds(dataset, plain=plain))
    return [
        min(types_of(tags, plain=plain), key=lambda kind: (counts[kind], kind), default=OUTSIDE)
        for tags in dataset.tags
    ]


def check_taggable(dataset: TaggedSentences) -> None:
    """Refuse sentences that no tagger can be trained on.

    Raises:
        DataError: All words have the same tag, or a tag is not legal where it stands.
    """
    tags = {tag for its in dataset.tags for tag in its}
    if len(tags) < 2:
        found = f"only the tag {next(iter(tags))!r}" if tags else "no words"
        raise DataError(f"{dataset.source}: holds {found}; a tagger needs two tags or more")
    check_legal(dataset.tags, detect_scheme(dataset.tags), dataset.place)


def check_known_tags(
    test: TaggedSentences,
    train: TaggedSentences,
    unseen_labels: UnseenLabels = "refuse",
    *,
    scheme: Scheme,
) -> tuple[str, ...]:
    """Refuse test sentences that a tagger cannot be scored on; note what it cannot get right.

    Raises:
        DataError: A type was not there in training, and such are refused, a tag is not legal, or
            there is no span.
    """
    plain = scheme == "plain"
    known = {tag for tags in train.tags for tag in tags} | (set() if plain else {OUTSIDE})
    types = sorted({tag if plain else split_tag(tag)[1] for tag in known - {OUTSIDE}})
    unseen = [
        (test.place(row, at), tag)
        for row, tags in enumerate(test.tags)
        for at, tag in enumerate(tags)
        if tag not in known and (plain or split_tag(tag)[1] not in types)
    ]
    training = f"whose {'tags' if plain else 'types'} are {listed(types)}"
    notes = settle_unseen(
        unseen, unseen_labels, training=training, what="tag", of="word", counts_as="missed"
    )
    if plain:
        return notes
    check_legal(test.tags, detect_scheme(test.tags), test.place)
    if not any(map(spans, test.tags)):
        raise DataError(f"{test.source}: holds no span to score; give test sentences with spans")
    return notes
