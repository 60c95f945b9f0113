"""`headstart inspect`: what an encoder or fitted model is, and what its word vectors know."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headstart.cli.options import Config, Debug, Json, LabelColumn, text_column
from headstart.cli.terminal import print_json, print_table, say
from headstart.errors import SettingsError

if TYPE_CHECKING:
    from headstart.hub.bundle import Pretrained, PretrainedWordVectors
    from headstart.models.word_vectors import WordSpace
    from headstart.progress import Progress
    from headstart.transfer.estimators import TextClassifier
    from headstart.transfer.regressor import TextRegressor
    from headstart.transfer.token_tagger import TokenTagger

_LONG = ("curve", "translations")  # validations and held-out sentences: only in --json


def inspect(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="Encoder or fitted model: folder, file or Hub id."),
    ],
    *,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Labeled data: show the nearest neighbors of its typical words."
        ),
    ] = None,
    encoder: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="With --data: the encoder of a fine-tuned MODEL, to compare."
        ),
    ] = None,
    similarity: Annotated[
        list[Path] | None,
        typer.Option(
            "--similarity",
            metavar="FILE",
            help="Word pairs with human ratings, such as WordSim-353 or SimLex-999; may be "
            "repeated.",
        ),
    ] = None,
    analogies: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Analogy questions 'a b c d' under ': section' lines."),
    ] = None,
    corpus: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Text in which to compare the senses of a word."),
    ] = None,
    word: Annotated[
        str | None,
        typer.Option(metavar="WORD", help="Word for --corpus. Default: one with varied uses."),
    ] = None,
    beside: Annotated[
        list[str] | None,
        typer.Option(
            "--beside", metavar="ENCODER", help="Another encoder for --corpus; may be repeated."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="PAGE.html", help="Also write the --corpus result as an HTML page."),
    ] = None,
    text_column: Annotated[str | None, text_column("the text, also in a --corpus")] = None,
    label_column: LabelColumn = None,
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Describe a model, and explore its word vectors.

    Prints the model's settings and origin; with --corpus instead the occurrences of a word and the
    nearest occurrence of each, for one or more encoders. With --data, also the nearest neighbors of
    words that are typical of each class. With --similarity or --analogies, also scores on word
    vector benchmarks.

    For example:

        headstart inspect runs/topics

        headstart inspect runs/topics --data train.csv --encoder glove.txt

        headstart inspect glove.txt --similarity wordsim353.tsv --analogies questions-words.txt

        headstart inspect glove.txt --beside runs/elmo --corpus news.txt --word bank --out bank.html
    """
    from headstart.cli.bars import Bars
    from headstart.cli.loading import load_word_vectors, tell_notes, word_vectors
    from headstart.data.labelled import read_labelled
    from headstart.inspect.neighbors import inspect_words
    from headstart.tokenize.words import WordTokenizer
    from headstart.transfer.loading import load

    if encoder is not None and data is None:
        raise SettingsError(
            "--encoder is compared with the model on the words of --data; add --data"
        )
    if corpus is None and (word is not None or beside or out is not None):
        raise SettingsError("--word, --beside and --out need a corpus; add --corpus")
    bars = Bars()
    loaded = load(model, progress=bars)
    found: dict[str, Any] = {"about": _about(loaded)}
    if data is not None:
        _check_classes(model, loaded)
        vectors = word_vectors(loaded)
        if vectors is None or not isinstance(vectors.tokenizer, WordTokenizer):
            raise SettingsError(f"{model}: has no word vectors to inspect")
        spaces: dict[str, WordSpace] = {}
        if encoder is not None:
            if _column(loaded) == "pretrained":
                raise SettingsError(
                    f"{model}: its word vectors are as pretrained; --encoder is for a model that "
                    "trained them"
                )
            spaces["pretrained"] = load_word_vectors(encoder, progress=bars).space
        spaces[_column(loaded)] = vectors.space
        dataset = read_labelled(
            data, text_column=text_column, label_column=label_column, progress=bars
        )
        tell_notes(dataset, bars)
        found |= inspect_words(dataset.texts, dataset.labels, vectors.tokenizer, spaces)
    if similarity or analogies:
        vectors = word_vectors(loaded)
        if vectors is None:
            raise SettingsError(f"{model}: has no word vectors to test")
        found |= _tested(vectors, similarity or [], analogies, bars)
    if corpus is not None:
        from headstart.cli.senses import compare_senses  # late: takes a second to import

        found["senses"] = compare_senses(
            {model: loaded},
            beside or [],
            corpus,
            word=word,
            text_column=text_column,
            page=out,
            progress=bars,
        )
    if as_json:
        print_json(found)
    else:
        _show(found)


def _check_classes(
    path: str, model: "Pretrained | TextClassifier | TextRegressor | TokenTagger"
) -> None:
    """Reject a model that does not predict one class per text, so no words are typical of a class.

    Raises:
        SettingsError: It predicts numbers, or several labels per text.
    """
    from headstart.transfer.estimators import TextClassifier
    from headstart.transfer.regressor import TextRegressor

    gives = "numbers" if isinstance(model, TextRegressor) else ""
    if isinstance(model, TextClassifier) and model.thresholds_ is not None:
        gives = "several labels per text"
    if gives:
        raise SettingsError(
            f"{path}: predicts {gives}; --data needs a model that predicts one class; remove it"
        )


def _tested(
    vectors: "PretrainedWordVectors",
    similarity: Sequence[Path],
    analogies: Path | None,
    progress: "Progress",
) -> dict[str, Any]:
    from headstart.inspect.word_tests import (
        evaluate_analogies,
        evaluate_similarity,
        read_analogies,
        read_similarity_test,
    )

    lowercase = vectors.tokenizer.lowercase
    scores = [
        evaluate_similarity(vectors.space, read_similarity_test(path), lowercase=lowercase)
        for path in similarity
    ]
    found: dict[str, Any] = {
        "similarity": [
            {
                "test": score.name,
                "spearman": score.spearman,
                "covered": score.covered,
                "pairs": score.total,
                "missing": len(score.missing),
            }
            for score in scores
        ]
    }
    if analogies is not None:
        sections = evaluate_analogies(
            vectors.space, read_analogies(analogies), lowercase=lowercase, progress=progress
        )
        found["analogies"] = [
            {
                "section": section.section,
                "accuracy": section.accuracy,
                "correct": section.correct,
                "covered": section.covered,
                "questions": section.total,
            }
            for section in sections
        ]
        whole = {
            name: sum(row[name] for row in found["analogies"])
            for name in ("correct", "covered", "questions")
        }
        accuracy = whole["correct"] / whole["covered"] if whole["covered"] else None
        found["analogies"].append({"section": "all", "accuracy": accuracy, **whole})
    return found


def _about(model: "Pretrained | TextClassifier | TextRegressor | TokenTagger") -> dict[str, Any]:
    import numpy as np

    from headstart.hub.bundle import Pretrained
    from headstart.transfer.methods import name_of
    from headstart.transfer.regressor import TextRegressor

    if isinstance(model, Pretrained):
        return {"encoder": model.name, **model.config, **model.lineage}
    about: dict[str, Any] = {"transfer": name_of(model.method_)}
    if not isinstance(model, TextRegressor):
        about = {"classes": np.asarray(model.classes_).tolist(), **about}
    proof = model.proof_.as_dict() if model.proof_ else {}
    return {**about, **model.fit_report_, **proof}


def _column(model: "Pretrained | TextClassifier | TextRegressor | TokenTagger") -> str:
    """Return the column name of a model's vectors in the comparison."""
    transfer = _about(model).get("transfer")
    return {"scratch": "scratch", "finetune": "finetuned"}.get(str(transfer), "pretrained")


def _show(found: Mapping[str, Any]) -> None:
    if senses := found.get("senses"):
        from headstart.cli.senses import show_senses

        show_senses(senses)
    else:
        print_table(
            [
                {"": name, " ": _text(value)}
                for name, value in found["about"].items()
                if _told(value) and name not in _LONG
            ]
        )
    if words := found.get("words"):
        say("")
        print_table(
            [
                {"class": word["label"], "word": word["word"], "texts": word["count"]}
                | {name: _near(nearest) for name, nearest in word["columns"].items()}
                for word in words
            ]
        )
    for tests in ("similarity", "analogies"):
        if rows := found.get(tests):
            say("")
            print_table(rows)
    if moved := found.get("moved"):
        say("", "Words that moved most:")
        print_table(
            [
                {"word": word["word"], "distance": word["distance"]}
                | {when: _near(word[when]) for when in ("before", "after")}
                for word in moved
            ]
        )


def _told(value: object) -> bool:
    return value is not None and value not in ("", [], {})


def _near(neighbors: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(neighbor["word"] for neighbor in neighbors) or "-"


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
