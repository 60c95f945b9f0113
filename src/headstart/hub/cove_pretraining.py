"""Pretrain a CoVe on parallel text and word vectors of the source language."""

import time
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from headstart.data.parallel import ParallelText
from headstart.devices import available_cores
from headstart.errors import SettingsError
from headstart.hub.bundle import PretrainedWordVectors
from headstart.hub.cove import TRANSLATIONS, PretrainedCove, Translated
from headstart.hub.pretraining import Plan, compute_threads, settings_of
from headstart.models.cove import Cove, CoveConfig
from headstart.pretrain.translation import (
    FEWEST_PAIRS,
    Objective,
    Pairs,
    Translation,
    end_token,
    import_sacrebleu,
)
from headstart.progress import Progress
from headstart.seeds import derive
from headstart.storage import fingerprint
from headstart.tokenize.batches import Encoded, offsets_of
from headstart.tokenize.encoded import in_batches
from headstart.tokenize.subwords import SubwordTokenizer, check_vocabulary_size
from headstart.tokenize.words import PAD_ID, UNKNOWN_ID, WordTokenizer
from headstart.training.distributed import process_group, rank_and_size
from headstart.training.runs import run

SIZES = {  # units per direction, and dimensions of a word vector; base is the paper's size
    "tiny": (64, 50),
    "mini": (128, 100),
    "small": (200, 200),
    "medium": (256, 300),
    "base": (300, 300),
}
_VOCABULARY = 5000
_BEAM = 5
_VALIDATED_A_MINUTE, _FEWEST_VALIDATED = 50, 20  # pairs; translating all would take too long
_SHOWN = 12  # held-out translations in the report
_OTHERS = ("vocabulary_size", "dropout")  # options that are not part of the objective


def pretrain_cove(
    text: ParallelText,
    vectors: PretrainedWordVectors,
    plan: Plan,
    *,
    size: str,
    target: SubwordTokenizer | None = None,
) -> PretrainedCove:
    """Pretrain a CoVe on sentence pairs.

    Under `torchrun`, each process computes its share of every step, and all end with the same
    weights.

    Args:
        text: The pairs.
        vectors: The encoder's input word vectors. Words without a vector become the unknown word.
        plan: Budget, seed and other settings of the run.
        size: `tiny`, `mini`, `small`, `medium` or `base`.
        target: Tokenizer of the target sentences; if None, a BPE tokenizer is learned from them.

    Raises:
        SettingsError: The size or an option is invalid, the vectors are of subwords, or
            `run_folder` contains another run.
        DataError: The pairs are too few or too long.
        MissingExtraError: sacrebleu is not installed.
        NonFiniteError: Training diverged.
        InterruptedRunError: Training was stopped; the same call resumes it.
    """
    settings, vocabulary_size, dropout = check_cove(plan, size, target)
    units, _ = _sizes(size)
    words = vectors.tokenizer
    if not isinstance(words, WordTokenizer):
        raise SettingsError(f"CoVe needs vectors of words, but {vectors.name} are of subwords")
    started = time.perf_counter()
    with process_group(), compute_threads(plan.threads):
        target = target or SubwordTokenizer.train(
            text.targets,
            kind="bpe",
            vocabulary_size=vocabulary_size,
            lowercase=False,
            progress=plan.progress,
        )
        sources = _encode(words, text.sources, plan.progress)
        # During training, and so in checkpoints, the model only has the words that occur.
        met, ids = np.unique(
            np.concatenate([[PAD_ID, UNKNOWN_ID], sources.ids]), return_inverse=True
        )
        compact = Encoded(ids[2:].astype(np.int32), sources.offsets)
        pairs = Pairs(
            compact, _encode(target, text.targets, plan.progress), text.sources, text.targets
        )
        matrix = vectors.model.embedding.weight.detach()
        read = matrix[torch.from_numpy(met)]
        rms = float(read[1:].square().mean().sqrt())
        sizes: dict[str, Any] = {
            "source_vocabulary": len(met),
            "vector_width": vectors.model.width,
            "hidden": units,
            "target_vocabulary": len(target.vocabulary),
            "dropout": dropout,
            "scale": 1.0 / rms if rms else 1.0,
        }
        fresh = torch.Generator().manual_seed(derive(plan.seed, "weights"))
        model = Cove(CoveConfig(**sizes), generator=fresh)
        with torch.no_grad():
            model.embedding.weight.copy_(read)
        model.embedding.weight.requires_grad_(settings.train_vectors)
        objective = Objective(
            model,
            pairs,
            target,
            settings,
            seed=plan.seed,
            most_validated=_most_validated(plan.budget.minutes),
            share=rank_and_size(),
        )
        prepared = time.perf_counter() - started
        report = run(
            model,
            objective,
            settings=plan.run_settings(settings.learning_rate),
            folder=plan.run_folder,
            identity={
                "sizes": sizes,
                "objective": asdict(settings),
                "vectors": vectors.fingerprint,
                "target": fingerprint(target.vocabulary),
                "corpus": text.fingerprint(),
            },
            progress=plan.progress,
            description="pretraining CoVe",
        )
        trained = time.perf_counter()
        encoder = PretrainedCove.of(
            _with_all_words(model, matrix, met),
            words,
            target,
            lineage={},
            settings=asdict(settings),
        )
        encoder.config["size"] = size
        unknown = float((sources.ids == UNKNOWN_ID).mean()) if len(sources.ids) else 0.0
        encoder.lineage = {
            "corpus": text.description,
            "pairs": len(text),
            "words": len(sources.ids),
            "words_without_vector": unknown,
            "vectors": vectors.name,
            "seed": plan.seed,
            "threads": plan.threads or available_cores(),
            **report,
            **objective.report(),
            **_show(encoder, objective, text, plan.progress),
        }
        shown = time.perf_counter() - trained
        encoder.lineage["seconds"] = prepared + report["training_seconds"] + shown
    return encoder


def check_cove(
    plan: Plan, size: str, target: SubwordTokenizer | None
) -> tuple[Translation, int, float]:
    """Check everything possible before hours of training, including that of the word vectors.

    Returns:
        The objective's settings, the size of the BPE vocabulary to learn, and the dropout.

    Raises:
        SettingsError: The size or an option is invalid.
        MissingExtraError: sacrebleu is not installed.
    """
    import_sacrebleu()
    units, width = _sizes(size)
    options = dict(plan.options)
    vocabulary_size = options.pop("vocabulary_size", _VOCABULARY)
    dropout = options.pop("dropout", 0.2)
    settings = settings_of(Translation, "cove", options, others=_OTHERS)
    CoveConfig(source_vocabulary=1, vector_width=width, hidden=units, dropout=dropout)
    plan.run_settings(settings.learning_rate)
    check_vocabulary_size(vocabulary_size)
    if target is not None:
        end_token(target)
    return settings, vocabulary_size, dropout


def vector_width(size: str) -> int:
    """Return the width of the word vectors to train for a CoVe of this size.

    Raises:
        SettingsError: The size is unknown.
    """
    return _sizes(size)[1]


def _sizes(size: str) -> tuple[int, int]:
    if size not in SIZES:
        raise SettingsError(f"unknown size {size!r}; choose from {', '.join(SIZES)}")
    return SIZES[size]


def _most_validated(minutes: float | None) -> int | None:
    if minutes is None:
        return None
    return max(_FEWEST_VALIDATED, int(_VALIDATED_A_MINUTE * minutes))


def _encode(
    tokenizer: WordTokenizer | SubwordTokenizer, texts: tuple[str, ...], progress: Progress
) -> Encoded:
    parts = []
    with progress.stage("encoding the pairs", float(len(texts)), "sentences") as advance:
        for batch in in_batches(texts):
            parts.append(tokenizer.encode_batch(batch))
            advance(len(batch))
    lengths = np.concatenate([part.lengths for part in parts])
    return Encoded(np.concatenate([part.ids for part in parts]), offsets_of(lengths))


def _with_all_words(model: Cove, matrix_VE: torch.Tensor, met: NDArray[np.int64]) -> Cove:
    """Return the trained model with the vectors of all words, not only those in the pairs."""
    whole = matrix_VE.clone()
    whole[torch.from_numpy(met)] = model.embedding.weight.detach()
    sizes = asdict(model.config) | {"source_vocabulary": len(whole)}
    larger = Cove(CoveConfig(**sizes), generator=torch.Generator())
    larger.load_state_dict({**model.state_dict(), "embedding.weight": whole})
    return larger


def _show(
    encoder: PretrainedCove, objective: Objective, text: ParallelText, progress: Progress
) -> dict[str, Any]:
    """Return BLEU with and without a beam, and translations of some held-out sentences."""
    if not len(objective.held_out):
        if len(text) < FEWEST_PAIRS:
            why = "fewer than fifty pairs"
        elif objective.report()["pairs_too_long"]:
            why = "the pairs to hold out are too long (max_tokens)"
        else:
            why = "every source sentence occurs in over a tenth of the pairs"
        progress.note(f"{why}: no pairs are held out, so BLEU is not measured")
        return {}
    with progress.stage("translating held-out pairs"):
        scores = {"greedy": objective.bleu(beam=1), "beam": objective.bleu(beam=_BEAM)}
        of = objective.validated
        rows = of[:: max(1, len(of) // _SHOWN)][:_SHOWN].tolist()
        shown = encoder.align([text.sources[row] for row in rows], beam=_BEAM)
    return {
        "bleu": {**scores, "beam_size": _BEAM},
        TRANSLATIONS: [
            _plain(text.sources[row], text.targets[row], each)
            for row, each in zip(rows, shown, strict=True)
        ],
    }


def _plain(source: str, reference: str, translated: Translated) -> dict[str, Any]:
    return {
        "text": source,
        "reference": reference,
        "translation": translated.text,
        "source": translated.source,
        "target": translated.target,
        "attention": [[round(float(x), 3) for x in row] for row in translated.attention],
    }
