"""What the commands do with taggers: `headstart fit tagging`, and predict and evaluate for them."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headstart.cli.options import (
    Config,
    Debug,
    Device,
    Encoder,
    Json,
    LabelColumn,
    MaxBadRows,
    Out,
    Seed,
    TextColumn,
    save_fitted,
)
from headstart.cli.terminal import print_json, print_table, say
from headstart.data.columns import several
from headstart.errors import SettingsError

if TYPE_CHECKING:
    from headstart.tasks.tagging import TagScores
    from headstart.transfer.token_tagger import TokenTagger


def tagging(
    context: typer.Context,
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="Columns of words and tags, or JSONL.")
    ],
    *,
    out: Out,
    encoder: Encoder = None,
    transfer: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="probe, frozen, finetune, gradual or lora of an encoder; or scratch, majority. "
            "auto: finetune with an encoder, scratch without.",
        ),
    ] = "auto",
    scheme: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="BIO, IOB1, BIOES or plain; auto: as the tags are written."
        ),
    ] = "auto",
    repair: Annotated[
        bool, typer.Option("--repair", help="Read illegal tags as conlleval reads them.")
    ] = False,
    linear: Annotated[
        bool, typer.Option("--linear", help="Score each word's tag by itself, without a CRF.")
    ] = False,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    max_bad_rows: MaxBadRows = 0,
    seed: Seed = 0,
    device: Device = "cpu",
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Fit a tagger of words: spans such as names, or plain tags such as parts of speech.

    Columns are numbered from 1 at the left or -1 at the right; by default words stand in the first
    and tags in the last. In JSONL and Parquet they are tokens and tags.

    For example:

        headstart fit tagging train.conll --encoder glove.6B.100d.txt --out runs/names
    """
    from headstart.cli.bars import Bars
    from headstart.cli.loading import load_encoder, tell_notes
    from headstart.data.tagged import read_tagged
    from headstart.storage import check_new
    from headstart.tasks.tagging import check_legal, detect_scheme, note_of_plain, scheme_of
    from headstart.transfer.token_tagger import TokenTagger

    check_new(out)
    bars = Bars()
    dataset = read_tagged(
        data,
        word_column=text_column,
        tag_column=label_column,
        max_bad_rows=max_bad_rows,
        progress=bars,
    )
    tell_notes(dataset, bars)
    written = detect_scheme(dataset.tags) if scheme == "auto" else scheme_of(scheme)
    if scheme == "auto" and (note := note_of_plain(dataset.tags, dataset.place)):
        bars.note(note)
    check_legal(dataset.tags, written, dataset.place, repair=repair)
    loaded = load_encoder(encoder, device=device, progress=bars)
    if loaded is not None and transfer == "majority":
        raise SettingsError("the transfer 'majority' uses no encoder; leave one of the two out")
    tagger = TokenTagger(
        loaded, transfer, scheme=written, repair=repair, crf=not linear, random_state=seed
    )
    tagger.fit(dataset.sentences, dataset.tags, progress=bars)
    save_fitted(context, tagger, out, as_json=as_json)
    if as_json:
        return
    report = tagger.fit_report_
    say(f"scheme         {written}, {len(tagger.tags_)} tags")
    say(f"validation     {report['validation_accuracy']:.3f} of the words of a part are right")
    if report["validation_tags"] == 1:
        say("               every word got the same tag: it has learned nothing; try another seed")
    say(f"model          {out}")


def tag_texts(
    tagger: "TokenTagger",
    source: Path | None,
    out: Path | None,
    texts: list[str] | None,
    *,
    as_json: bool,
    settings: dict[str, Any],
) -> None:
    """Tag texts typed, or a file's sentences, on standard output or into a file."""
    from headstart.data.tagged import read_sentences
    from headstart.serve import tagging

    if out is not None and source is not None:
        count = tagging.tag_file(tagger, source, out, **settings)
        result = {"sentences": count, "out": str(out)}
        print_json(result) if as_json else say(f"the tags of {count:,} sentences in {out}")
        return
    typed = [text.split() for text in texts or ()]
    batches = [typed] if source is None else read_sentences(source, **settings)
    write = (tagging.write_json if as_json else tagging.write_columns)(sys.stdout)
    for sentences, tags in tagging.tag(tagger, batches):
        write(sentences, tags)


def show_tag_scores(found: "TagScores", sentences: int, *, as_json: bool) -> None:
    """Print how good a tagger is on so many sentences."""
    if as_json:
        print_json({"sentences": sentences, **asdict(found)})
        return
    say(
        f"{several(sentences, 'sentence')}, {several(found.words, 'word')}: "
        f"precision {found.precision:.4f}, recall {found.recall:.4f}, F1 {found.f1:.4f}; "
        f"accuracy of words {found.accuracy:.4f}"
    )
    print_table([asdict(scores) for scores in found.types])
