"""The scikit-learn surface for tagging: a tag for every word, with any encoder and any transfer."""

import math
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any, Self

import numpy as np

from headstart.data.in_memory import Words, as_sentences
from headstart.devices import torch_defaults
from headstart.errors import DataError, SettingsError
from headstart.hub.bundle import Pretrained, write_folder
from headstart.hub.proof import Proof
from headstart.models.gpt import Gpt
from headstart.progress import SILENT, Progress
from headstart.tasks.tagging import (
    Scheme,
    TagScores,
    check_legal,
    convert,
    detect_scheme,
    in_scheme,
    learnt_scheme,
    scheme_of,
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
    """A tag for every word: spans such as names, or plain tags such as parts of speech.

    What replaces the embedding layer (word vectors, CoVe, ELMo) is read by a BiLSTM-CRF; BERT, GPT
    and the like replace the whole model, and each word's first piece stands for it. GPT has read
    only what is to the left of a word.

    Args:
        encoder: A pretrained encoder, or its file or folder; None for methods that need none.
        transfer: A name (`scratch`, `probe`, `frozen`, `finetune`, `gradual`, `lora`, `majority`)
            or a method with settings of its own. `auto` is `finetune` with an encoder and `scratch`
            without.
        scheme: How the tags are written: `BIO` (which is `IOB2`), `IOB1`, `BIOES` or `plain`;
            `auto` looks. Predictions are written so, too.
        repair: Whether illegal tags are read as CoNLL's `conlleval` reads them, and not refused.
        crf: Whether tags are scored beside one another; without, each word's tag is a softmax, and
            only legal sequences are predicted, too.
        characters: Whether the words' characters stand beside word vectors.
        max_tokens: How many pieces of words a whole model reads at once; longer sentences are read
            in windows that overlap.
        random_state: Decides everything random.

    Attributes:
        classes_: The tags, sorted.
        tags_: Those that are learnt: of IOB1 those of IOB2.
        scheme_: The scheme they are written in.
        method_: The method that was fitted.
        proof_: What the model owes to its encoder; None without one.
        model_: The fitted model.
        fit_report_: Validation scores, what the validation part chose, seconds.

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
        """Learn from sentences, as lists of words, and the tags of their words.

        Raises:
            DataError: Sentences or tags cannot be used; names the sentence and the word.
            SettingsError: The method needs an encoder and there is none, or is not for tagging.
        """
        sentences, tags = as_sentences(X), as_sentences(y, what="tag")
        check_pairs(sentences, tags)
        if not isinstance(self.random_state, int | np.integer):
            raise SettingsError(f"random_state must be a whole number, got {self.random_state!r}")
        check_max_tokens(self.max_tokens)
        scheme = detect_scheme(tags) if self.scheme == "auto" else scheme_of(self.scheme)
        place = "sentence {}, word {}".format
        check_legal(tags, scheme, place, repair=self.repair)
        classes = sorted({tag for its in tags for tag in convert(its, scheme)})
        learnt = learnt_scheme(scheme)
        tags = [convert(its, learnt) for its in tags]
        names = sorted({tag for its in tags for tag in its})
        if len(names) < 2:
            raise DataError(
                f"a tagger needs two tags or more, the sentences hold only {names[0]!r}"
            )
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
            seed=int(self.random_state),
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
        """Return the tag of each word of each sentence; of a sentence without words, none."""
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
        """Return the strict F1 of spans, or the accuracy of plain tags."""
        scores = self.evaluate(X, y)
        return scores.accuracy if self.scheme_ == "plain" else scores.f1

    def evaluate(self, X: Collection[Any], y: Collection[Any]) -> TagScores:
        """Return precision, recall and F1 of all spans and of each type, as `conlleval` has them.

        Tags of another scheme of spans are converted to the tagger's first; a tag of no span is a
        word that is missed.

        Raises:
            DataError: There are not as many tags as words.
        """
        sentences, gold = as_sentences(X), as_sentences(y, what="tag")
        check_pairs(sentences, gold, may_be_empty=True)
        check_is_fitted(self, "classes_")
        return score_tags(in_scheme(gold, self.scheme_), self.predict(sentences), self.scheme_)

    def as_learnt(self, y: Words) -> Words:
        """Return tags as the tagger has learnt them, if they are spans in another scheme."""
        check_is_fitted(self, "classes_")
        return in_scheme(y, learnt_scheme(self.scheme_))

    @property
    def megabytes(self) -> float:
        """Size of all that prediction needs, weights and vocabulary, in units of 10**6 bytes."""
        check_is_fitted(self, "classes_")
        return megabytes(self.model_)

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write the tagger as a folder, whole or not at all; `headstart.load` reads it.

        Raises:
            ExistsError: The folder exists and `overwrite` is false.
            StorageError: The disk refuses.
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
    """Refuse sentences that have not one tag a word.

    Raises:
        DataError: There are not as many, or a sentence is empty.
    """
    if len(sentences) != len(tags):
        raise DataError(f"{len(sentences):,} sentences, but the tags of {len(tags):,}")
    for row, (words, its) in enumerate(zip(sentences, tags, strict=True)):
        if len(words) != len(its):
            raise DataError(f"sentence {row}: {len(words)} words but {len(its)} tags")
        if not (words or may_be_empty):
            raise DataError(f"sentence {row}: holds no word; leave it out")
    if not (sentences or may_be_empty):
        raise DataError("no sentences to learn from")
