"""The commands for taggers: `headstart fit tagging`, and their part of predict and evaluate."""

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
    Repair,
    Scheme,
    Seed,
    save_fitted,
    text_column,
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
            help="With an encoder: probe, frozen, finetune, gradual or lora. Without: scratch or "
            "majority. auto: finetune with an encoder, scratch without.",
        ),
    ] = "auto",
    scheme: Scheme = "auto",
    repair: Repair = False,
    linear: Annotated[
        bool, typer.Option("--linear", help="Predict each tag independently, without a CRF.")
    ] = False,
    text_column: Annotated[str | None, text_column("the words")] = None,
    label_column: LabelColumn = None,
    max_bad_rows: MaxBadRows = 0,
    seed: Seed = 0,
    device: Device = "cpu",
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Fit a word tagger, for named entities or parts of speech.

    Columns are numbered from 1 at the left, or from -1 at the right. By default words are in the
    first column and tags in the last. In JSONL and Parquet the columns are tokens and tags.

    For example:

        headstart fit tagging train.conll --encoder glove.6B.100d.txt --out runs/names
    """
    from headstart.cli.bars import Bars
    from headstart.cli.loading import load_encoder, tell_notes
    from headstart.data.tagged import read_tagged
    from headstart.storage import check_new
    from headstart.tasks.tagging import check_legal, choose_scheme, note_of_plain
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
    written = choose_scheme(scheme, dataset.tags)
    if scheme == "auto" and (note := note_of_plain(dataset.tags, dataset.place)):
        bars.note(note)
    check_legal(dataset.tags, written, dataset.place, repair=repair)
    loaded = load_encoder(encoder, device=device, progress=bars)
    if loaded is not None and transfer == "majority":
        raise SettingsError(
            "the transfer 'majority' uses no encoder; remove --encoder or --transfer"
        )
    tagger = TokenTagger(
        loaded, transfer, scheme=written, repair=repair, crf=not linear, random_state=seed
    )
    tagger.fit(dataset.sentences, dataset.tags, progress=bars)
    save_fitted(context, tagger, out, as_json=as_json)
    if as_json:
        return
    report = tagger.fit_report_
    say(f"scheme         {written}, {len(tagger.tags_)} tags")
    say(f"validation     word accuracy {report['validation_accuracy']:.3f} on held-out sentences")
    if report["validation_tags"] == 1:
        say("               every word got the same tag: it learned nothing; try another seed")
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
    """Tag --text values or the sentences of a file; print the tags or write them to a file."""
    from headstart.data.tagged import read_sentences
    from headstart.serve import tagging

    if out is not None and source is not None:
        count = tagging.tag_file(tagger, source, out, **settings)
        result = {"sentences": count, "out": str(out)}
        print_json(result) if as_json else say(f"{count:,} tagged sentences in {out}")
        return
    typed = [text.split() for text in texts or ()]
    batches = [typed] if source is None else read_sentences(source, **settings)
    write = (tagging.write_json if as_json else tagging.write_columns)(sys.stdout)
    for sentences, tags in tagging.tag(tagger, batches):
        write(sentences, tags)


def show_tag_scores(found: "TagScores", sentences: int, *, as_json: bool) -> None:
    """Print the scores of a tagger on a number of sentences."""
    if as_json:
        print_json({"sentences": sentences, **asdict(found)})
        return
    say(
        f"{several(sentences, 'sentence')}, {several(found.words, 'word')}: "
        f"precision {found.precision:.4f}, recall {found.recall:.4f}, F1 {found.f1:.4f}; "
        f"accuracy of words {found.accuracy:.4f}"
    )
    print_table([asdict(scores) for scores in found.types])
