"""What `inspect` prints about a word in a corpus: its occurrences and their nearest ones."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headstart.cli.loading import word_vectors
from headstart.cli.terminal import print_table, say
from headstart.data.corpora import read_corpus
from headstart.errors import SettingsError
from headstart.hub.bundle import Pretrained
from headstart.inspect.senses import word_senses
from headstart.inspect.senses_page import excerpt, render_senses
from headstart.progress import Progress
from headstart.storage import check_can_be_folder, write_text
from headstart.transfer.estimators import TextClassifier
from headstart.transfer.loading import load
from headstart.transfer.regressor import TextRegressor
from headstart.transfer.token_tagger import TokenTagger

_LINES = 12  # occurrences that are printed; --json and --out have all


def compare_senses(
    loaded: Mapping[str, Pretrained | TextClassifier | TextRegressor | TokenTagger],
    beside: Sequence[str],
    corpus: Path,
    *,
    word: str | None,
    text_column: str | None,
    page: Path | None,
    progress: Progress,
) -> dict[str, Any]:
    """Compare the occurrences of a word under several encoders, and write the page if requested.

    Args:
        loaded: The models that are already loaded, by source.
        beside: The sources of the other encoders.
        corpus: The corpus to search.
        word: The word; None chooses one with varied uses.
        text_column: The column of a table that holds the text.
        page: The HTML file to write, if any.
        progress: Receives progress reports.

    Raises:
        SettingsError: A fitted model has no word vectors, or an encoder is given twice.
        DataError: The corpus is empty or does not contain the word.
        ExistsError: The page's folder is a file.
        StorageError: The page cannot be written.
    """
    sources = [*loaded, *beside]
    if len(set(sources)) < len(sources):
        raise SettingsError("--beside repeats an encoder; give each one once")
    if page is not None:
        check_can_be_folder(page.parent)
    text = read_corpus(corpus, text_column=text_column)
    for note in text.notes:
        progress.note(note)
    models = {**loaded, **{source: load(source, progress=progress) for source in beside}}
    short = [Path(source).name or source for source in sources]
    names = short if len(set(short)) == len(short) else sources
    encoders = {
        name: _encoder(source, models[source]) for name, source in zip(names, sources, strict=True)
    }
    found = word_senses(encoders, text, word, progress=progress)
    if page is not None:
        write_text(page, render_senses(found))
        progress.note(f"wrote {page}")
    return found


def show_senses(found: Mapping[str, Any]) -> None:
    """Print the word's occurrences, each with its nearest one under every encoder."""
    occurrences, looks = found["occurrences"], found["encoders"]
    left_out = f", {found['left_out']:,} left out" if found["left_out"] else ""
    say(
        f"{found['word']}: {found['total']:,} occurrences, {len(occurrences):,} of them sampled "
        f"evenly, each from a different sentence{left_out}",
        "",
    )
    print_table(
        [
            {
                "encoder": look["name"],
                "distinct vectors": look["distinct"],
                "mean cosine": look["similarity"],
                "context ratio": look["times"],
                "untrained": look["untrained"],
                "chance level": look["chance"] if look["contextual"] else None,
                "groups": _groups(look),
            }
            for look in looks
        ]
    )
    for look in looks:
        if not look["contextual"]:
            alike = ", so no occurrence is nearer than another" if look["distinct"] == 1 else ""
            say("", f"{look['name']}: {look['vector']}{alike}")
    lines = [
        f"{each['before']}[{each['word']}]{each['after']}" for each in map(excerpt, occurrences)
    ]
    shown = min(_LINES, len(lines))
    for at in (number * len(lines) // shown for number in range(shown)):
        say("", lines[at])
        for look in looks:
            if near := look["nearest"][at]:
                say(f"    {look['name']} {near[1]:.4f}: {lines[near[0]]}")
            elif look["distinct"] > 1:
                say(f"    {look['name']}: several are equally near")


def _groups(look: Mapping[str, Any]) -> str:
    return "; ".join(
        f"{group['size']:,} ({', '.join(group['words'][:4])})" for group in look["groups"]
    )


def _encoder(
    source: str, model: Pretrained | TextClassifier | TextRegressor | TokenTagger
) -> Pretrained:
    """Return the encoder, or the word vectors of a fitted model."""
    if isinstance(model, Pretrained):
        return model
    vectors = word_vectors(model)
    if vectors is None:
        raise SettingsError(
            f"{source}: is a fitted model without word vectors; give its encoder instead"
        )
    return vectors
