"""Tagged sentences in a comparison: their types, their strata and checks."""

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
    """Return the types of a sentence's spans, or its plain tags, one per word."""
    return list(tags) if plain else [kind for _, _, kind in spans(tags)]


def kinds(dataset: TaggedSentences, *, plain: bool) -> list[str]:
    """Return the type of every span of all sentences, or the plain tag of every word."""
    return [kind for tags in dataset.tags for kind in types_of(tags, plain=plain)]


def strata(dataset: TaggedSentences, *, plain: bool) -> list[str]:
    """Return the stratum of each sentence for sampling: its rarest type, or `O` if it has none.

    A small stratified sample then contains as many types as possible.
    """
    counts = Counter(kinds(dataset, plain=plain))
    return [
        min(types_of(tags, plain=plain), key=lambda kind: (counts[kind], kind), default=OUTSIDE)
        for tags in dataset.tags
    ]


def check_taggable(dataset: TaggedSentences, *, scheme: Scheme, repair: bool = False) -> None:
    """Check that a tagger can be trained on the sentences.

    Raises:
        DataError: All words have the same tag, a tag is not of the scheme, or it is not legal at
            its position and will not be repaired.
    """
    tags = {tag for its in dataset.tags for tag in its}
    if len(tags) < 2:
        found = f"only the tag {next(iter(tags))!r}" if tags else "no words"
        raise DataError(f"{dataset.source}: contains {found}; a tagger needs at least two tags")
    check_legal(dataset.tags, scheme, dataset.place, repair=repair)


def check_known_tags(
    test: TaggedSentences,
    train: TaggedSentences,
    unseen_labels: UnseenLabels = "refuse",
    *,
    scheme: Scheme,
    repair: bool = False,
) -> tuple[str, ...]:
    """Check that a tagger can be scored on the test sentences; note what it cannot get right.

    The test sentences may be in another scheme, since scores compare spans. Illegal tags need no
    repair there: they are scored as `conlleval` does.

    Raises:
        DataError: A type does not occur in training and such types are refused, a tag is not legal
            and `repair` is false, or there is no span.
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
    check_legal(test.tags, detect_scheme(test.tags), test.place, repair=repair)
    if not any(map(spans, test.tags)):
        raise DataError(f"{test.source}: contains no span to score; use test sentences with spans")
    return notes
