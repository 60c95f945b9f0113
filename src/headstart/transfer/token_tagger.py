"""A word tagger with the scikit-learn API, for any encoder and any transfer method."""

import math
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any, Self

import numpy as np

from headstart.data.in_memory import Words, as_sentences
from headstart.devices import torch_defaults
from headstart.errors import DataError
from headstart.hub.bundle import Pretrained, write_folder
from headstart.hub.proof import Proof
from headstart.models.gpt import Gpt
from headstart.progress import SILENT, Progress
from headstart.settings import whole_number
from headstart.tasks.tagging import (
    Scheme,
    TagScores,
    check_legal,
    choose_scheme,
    convert,
    in_scheme,
    learnt_scheme,
    score_tags,
)
from headstart.transfer.fitted import megabytes
from headstart.transfer.fitted_taggers import folder_parts
from headstart.transfer.fitting import whole_model_width
from headstart.transfer.learning import as_encoder, check_max_tokens, saved_card, saved_settings
from headstart.transfer.methods import FineTune, Method, Scratch, check_is_read, method_of
from headstart.transfer.parameters import (
    check_is_fitted,
    describe,
    get_params,
    set_params,
    text_tags,
)
from headstart.transfer.tag_task import TagTask
from headstart.transfer.tagging import fit_tagger, tagging_defaults
from headstart.transfer.token_states import reads_in_context

TAGGER = "tagger"


class TokenTagger:
    """Tag every word: spans such as named entities, or plain tags such as parts of speech.

    Encoders that replace the embedding layer (word vectors, CoVe, ELMo) are followed by a
    BiLSTM-CRF. Encoders that replace the whole model, such as BERT and GPT, represent each word by
    its first subword. GPT sees only the context to the left of a word.

    Args:
        encoder: A pretrained encoder, or the path of its file or folder. None for methods that
            need no encoder.
        transfer: The name of a method (`scratch`, `probe`, `frozen`, `finetune`, `gradual`,
            `lora`, `majority`), or a method with its own settings. `auto` means `finetune` with an
            encoder and `scratch` without one.
        scheme: Tagging scheme: `BIO` (the same as `IOB2`), `IOB1`, `BIOES` or `plain`. `auto`
            detects it. Predictions use the same scheme.
        repair: Whether to interpret illegal tag sequences as CoNLL's `conlleval` does. Otherwise
            they are rejected.
        crf: Whether to score whole tag sequences with a CRF. Otherwise each word has its own
            softmax. Both predict legal sequences only.
        characters: Whether to concatenate a vector of each word's characters to its word vector.
        max_tokens: Maximum number of subwords that a whole model encodes at once. Longer sentences
            are split into overlapping windows.
        random_state: Seed of all random choices, an integer.

    Attributes:
        classes_: The tags, sorted.
        tags_: The tags that the model is trained on; for IOB1, those of IOB2.
        scheme_: The tagging scheme of the data and of the predictions.
        method_: The fitted method, with all its settings.
        proof_: What was transferred from the encoder and how far training moved it, a `Proof`
            that `print` shows as a table; None for methods that transfer nothing.
        model_: The fitted model.
        fit_report_: Validation scores, settings chosen on the validation set and wall-clock
            seconds.

    Example:
        >>> sentences, tags = [["Mary", "left"], ["Ann", "left"]] * 5, [["B-P", "O"]] * 10
        >>> TokenTagger(transfer="majority").fit(sentences, tags).predict([["Ann", "left"]])
        [['B-P', 'O']]
    """

    get_params, set_params, __repr__ = get_params, set_params, describe

    def __init__(
        self,
        encoder: Pretrained | str | Path | None = None,
        transfer: str | Method = "auto",
        *,
        scheme: str = "auto",
        repair: bool = False,
        crf: bool = True,
        characters: bool = True,
        max_tokens: int = 512,
        random_state: int = 0,
    ) -> None:
        self.encoder = encoder
        self.transfer = transfer
        self.scheme = scheme
        self.repair = repair
        self.crf = crf
        self.characters = characters
        self.max_tokens = max_tokens
        self.random_state = random_state

    @torch_defaults()
    def fit(self, X: Collection[Any], y: Collection[Any], *, progress: Progress = SILENT) -> Self:
        """Fit the tagger to sentences and tags.

        Args:
            X: The sentences, each a list of words.
            y: One list of tags per sentence, with one tag per word.
            progress: Receives progress updates.

        Raises:
            DataError: Sentences or tags cannot be used; the message names the sentence and word.
            SettingsError: A setting is invalid, or the method is not for tagging, or it needs an
                encoder and has none.
        """
        sentences, tags = as_sentences(X), as_sentences(y, what="tag")
        check_pairs(sentences, tags)
        seed = whole_number("random_state", self.random_state)
        check_max_tokens(self.max_tokens)
        scheme = choose_scheme(self.scheme, tags)
        place = "sentence {}, word {}".format
        check_legal(tags, scheme, place, repair=self.repair)
        classes = sorted({tag for its in tags for tag in convert(its, scheme)})
        learnt = learnt_scheme(scheme)
        tags = [convert(its, learnt) for its in tags]
        names = sorted({tag for its in tags for tag in its})
        if len(names) < 2:
            raise DataError(f"a tagger needs at least two different tags, got only {names[0]!r}")
        encoder = None if self.encoder is None else as_encoder(self.encoder, progress)
        if isinstance(self.transfer, str) and self.transfer == "auto":
            method: Method = Scratch() if encoder is None else FineTune()
        else:
            method = method_of(self.transfer)
        kind: dict[str, Any] = {
            "whole_model": whole_model_width(encoder),
            "in_context": reads_in_context(encoder),
        }
        if encoder is not None:
            is_gpt = isinstance(encoder.model, Gpt)
            check_is_read(method, encoder.name, **kind, is_gpt=is_gpt, tags=True)
        method = tagging_defaults(method, **kind)
        numbers = {tag: number for number, tag in enumerate(names)}
        started = time.perf_counter()
        task = TagTask(
            sentences=sentences,
            labels=np.array([numbers[tag] for its in tags for tag in its], np.int64),
            tags=names,
            scheme=learnt,
            seed=seed,
            max_tokens=int(self.max_tokens),
            crf=self.crf,
            spelled=self.characters,
        )
        result = fit_tagger(method, encoder, task, progress=progress)
        loss = result.validation.loss
        self.scheme_: Scheme = scheme
        self.tags_ = names
        self.classes_ = classes
        self.method_ = method
        self.proof_: Proof | None = result.proof
        self.fit_report_ = {
            "sentences": len(sentences),
            "words": len(task.labels),
            "seconds": time.perf_counter() - started,
            "validation_loss": None if math.isnan(loss) else loss,
            "validation_accuracy": result.validation.accuracy,
            "validation_score": result.validation.score,
            "validation_tags": result.validation.tags,
            **result.chosen,
        }
        self.model_ = result.model
        return self

    @torch_defaults()
    def predict(self, X: Collection[Any]) -> list[list[str]]:
        """Return the tags of each sentence, one per word; an empty list for an empty sentence."""
        check_is_fitted(self, "classes_")
        sentences = as_sentences(X)
        rows = [row for row, words in enumerate(sentences) if words]
        found: list[list[str]] = [[] for _ in sentences]
        if not rows:
            return found
        predicted = self.model_.predict([sentences[row] for row in rows])
        for row, numbers in zip(rows, predicted, strict=True):
            tags = [self.tags_[number] for number in numbers]
            found[row] = tags if self.scheme_ != "IOB1" else convert(tags, self.scheme_)
        return found

    def score(self, X: Collection[Any], y: Collection[Any]) -> float:
        """Return the strict F1 of spans, or for plain tags the accuracy."""
        scores = self.evaluate(X, y)
        return scores.accuracy if self.scheme_ == "plain" else scores.f1

    def evaluate(self, X: Collection[Any], y: Collection[Any]) -> TagScores:
        """Return precision, recall and F1 of all spans and of each type, as in `conlleval`.

        Span tags in another scheme are first converted to the tagger's scheme. A tag that is
        neither `O` nor a span tag counts as a wrong word.

        Raises:
            DataError: The number of tags differs from the number of words.
        """
        sentences, gold = as_sentences(X), as_sentences(y, what="tag")
        check_pairs(sentences, gold, may_be_empty=True)
        check_is_fitted(self, "classes_")
        return score_tags(in_scheme(gold, self.scheme_), self.predict(sentences), self.scheme_)

    def as_learnt(self, y: Words) -> Words:
        """Convert span tags to the scheme that the tagger is trained on; keep all other tags."""
        check_is_fitted(self, "classes_")
        return in_scheme(y, learnt_scheme(self.scheme_))

    @property
    def megabytes(self) -> float:
        """Size of everything prediction needs, weights and vocabulary, in units of 10**6 bytes."""
        check_is_fitted(self, "classes_")
        return megabytes(self.model_)

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Save the tagger as a folder for `headstart.load`; a failed save leaves no partial folder.

        Raises:
            SettingsError: `load` could not read its encoder, which is of a kind of your own.
            ExistsError: The folder exists and `overwrite` is false.
            StorageError: The folder cannot be written.
        """
        check_is_fitted(self, "classes_")
        folder = Path(folder)
        own = {"scheme": self.scheme_, "tags": self.tags_}
        config = {"kind": TAGGER, "classes": self.classes_, **own, **saved_settings(self)}
        config["parameters"] |= {
            "scheme": self.scheme,
            "repair": bool(self.repair),
            "crf": bool(self.crf),
            "characters": bool(self.characters),
        }
        facts = {"scheme": self.scheme_, "tags": self.classes_}
        what = "A tagger of words, made with headstart."
        readme = saved_card(self, folder.name, what, facts, example='["a", "sentence"]')
        parts = folder_parts(self.model_)
        return write_folder(folder, **parts, config=config, readme=readme, overwrite=overwrite)

    def __sklearn_tags__(self) -> Any:  # noqa: ANN401 - scikit-learn's Tags
        return text_tags(None)


def check_pairs(sentences: Words, tags: Words, *, may_be_empty: bool = False) -> None:
    """Reject sentences that do not have exactly one tag per word.

    Raises:
        DataError: The numbers of words and tags differ, or a sentence is empty.
    """
    if len(sentences) != len(tags):
        raise DataError(f"{len(sentences):,} sentences, but tags for {len(tags):,}")
    for row, (words, its) in enumerate(zip(sentences, tags, strict=True)):
        if len(words) != len(its):
            raise DataError(f"sentence {row}: {len(words)} words but {len(its)} tags")
        if not (words or may_be_empty):
            raise DataError(f"sentence {row}: has no words; remove it")
    if not (sentences or may_be_empty):
        raise DataError("no sentences to learn from")
