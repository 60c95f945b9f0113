"""Whether encoders tell the senses of a word apart: its occurrences under each encoder.

Word vectors give a word the same vector in every sentence, so they ignore context. A contextual
encoder gives every occurrence its own vector, and those with a similar sense should lie near one
another. Shapes: N occurrences, D width.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import AgglomerativeClustering
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import silhouette_score

from headstart.data.corpora import Corpus, as_corpus
from headstart.errors import SettingsError
from headstart.hub.bundle import Pretrained
from headstart.hub.random_weights import with_random_weights
from headstart.inspect.neighbors import telling_words
from headstart.inspect.occurrences import Occurrence, find_occurrences
from headstart.inspect.word_choice import choose_word
from headstart.inspect.word_states import (
    has_vectors,
    occurrence_vectors,
    reads_context,
    what_stands_for_a_word,
)
from headstart.progress import SILENT, Progress
from headstart.seeds import generator
from headstart.tokenize.words import WordTokenizer

Floats = NDArray[np.float64]
_TIE = 1e-9  # between cosines of the same vectors
_SAME = 1e-6  # difference between components of equal unit vectors
_FEWEST_TO_GROUP = 6
_SMALLEST_GROUP = 3  # three groups are rejected if one is smaller
_DRAWS = 500
_WORDS, _NEAR = 6, 50  # words that describe a group, and characters on each side to take them from
_CONTENT = r"[^\W\d_]{3,}"


def word_senses(
    encoders: Mapping[str, Pretrained],
    corpus: str | Path | Sequence[str] | Sequence[Path] | Corpus,
    word: str | None = None,
    *,
    most: int = 120,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Compare the occurrences of a word in a corpus under several encoders.

    Args:
        encoders: The encoders by display name.
        corpus: A corpus, a path, or texts.
        word: The word; None chooses one with `choose_word`.
        most: The number of occurrences to sample, evenly over the corpus.
        progress: Receives progress reports.

    Returns:
        Plain values: `word`, `total` (occurrences in the corpus), `left_out` (sampled occurrences
        whose spelling has no vector in some encoder), `occurrences`, each with its `sentence`,
        `start` and `end`, and `encoders`, each with the values of `look_at` and with `untrained`,
        the value of `untrained_times`.

    Raises:
        DataError: The corpus is empty or does not contain the word.
        SettingsError: An encoder has no vector for the word, or there is no encoder.
    """
    if not encoders:
        raise SettingsError("no encoder is given; give at least one")
    text = as_corpus(corpus)
    if word is None:
        word = choose_word(encoders, text, progress=progress)
    found = find_occurrences(text, word, most=most, progress=progress)
    known = np.ones(len(found.drawn), np.bool_)
    for name, encoder in encoders.items():
        knows = has_vectors(encoder, found.drawn)
        if not knows.any():
            raise SettingsError(f"{name}: has no vector for {word!r}")
        known &= knows
    if known.sum() < 2:
        raise SettingsError(
            f"{word!r}: only {int(known.sum())} of {len(known):,} occurrences has a spelling that "
            "every encoder has a vector for; use fewer encoders or another spelling"
        )
    drawn = [each for each, knows in zip(found.drawn, known, strict=True) if knows]
    looks: list[dict[str, Any]] = []
    for name, encoder in encoders.items():
        vectors = occurrence_vectors(encoder, drawn, progress=progress)
        about = {
            "name": name,
            "kind": encoder.kind,
            "contextual": reads_context(encoder),
            "vector": what_stands_for_a_word(encoder),
        }
        look = look_at(vectors, drawn, contextual=reads_context(encoder))
        looks.append({**about, **look, "untrained": untrained_times(encoder, drawn, progress)})
    _same_numbers(looks)
    return {
        "word": word,
        "total": found.total,
        "left_out": int((~known).sum()),
        "occurrences": [vars(each) for each in drawn],
        "encoders": looks,
    }


def look_at(
    vectors: NDArray[np.float32], occurrences: Sequence[Occurrence], *, contextual: bool
) -> dict[str, Any]:
    """Describe the geometry of the vectors of a word's occurrences.

    Args:
        vectors: One per occurrence `[N, D]`.
        occurrences: The occurrences.
        contextual: Whether the vectors depend on the context. Only then are there groups.

    Returns:
        `distinct`, the number of different vectors; `similarity`, the mean cosine of two
        occurrences; `nearest`, for each occurrence the nearest other one and their cosine, or None
        for a tie; `points`, the first two principal components of the unit vectors, and
        `explained`, their share of the variance; `group_of`, the number of each occurrence's group,
        and `groups`, each with its size and the words that are more often near its occurrences than
        near the others (`telling_words`); `silhouette` of the groups; `alike`, the mean similarity
        of the contexts of nearest occurrences, `alike_any`, that of any two, and `times`, the ratio
        of the two; `chance`, the value that `times` exceeds in one of 40 draws if the nearest
        occurrence is drawn at random.
    """
    unit_ND = _unit(vectors)
    cosines_NN, tied_NN = _nearest(unit_ND)
    contexts_NN = context_likeness(occurrences)
    alike, alike_any = _likeness(contexts_NN, tied_NN)
    others = ~np.eye(len(unit_ND), dtype=np.bool_)
    points, explained = _project(unit_ND)
    group_of, silhouette = _group(unit_ND) if contextual else ([], None)
    return {
        "distinct": len(np.unique(unit_ND.round(6), axis=0)),
        "similarity": round(float(cosines_NN[others].mean()), 4),
        "nearest": [
            None if tied.sum() > 1 else [int(cosines.argmax()), round(float(cosines.max()), 4)]
            for cosines, tied in zip(cosines_NN, tied_NN, strict=True)
        ],
        "points": points.round(4).tolist(),
        "explained": round(explained, 4),
        "group_of": group_of,
        "groups": _describe(occurrences, group_of),
        "silhouette": silhouette,
        "alike": round(alike, 4),
        "alike_any": round(alike_any, 4),
        "times": _times(alike, alike_any),
        "chance": _times(_chance(contexts_NN), alike_any),
    }


def untrained_times(
    encoder: Pretrained, occurrences: Sequence[Occurrence], progress: Progress = SILENT
) -> float | None:
    """Return the `times` of the same architecture with random weights, as a control.

    Any model that mixes a word with its neighbors, trained or not, gives similar vectors to
    occurrences among the same words. What an encoder reaches above this value was learned. None for
    word vectors, and for models that cannot be rebuilt with random weights.
    """
    if not reads_context(encoder):
        return None
    try:
        untrained = encoder.with_model(with_random_weights(encoder.model, 0))
        vectors = occurrence_vectors(untrained, occurrences, progress=progress)
    except Exception:  # noqa: BLE001 - a wrapped model may raise anything; omit the control
        return None
    if not np.isfinite(vectors).all():
        return None
    _, tied_NN = _nearest(_unit(vectors))
    return _times(*_likeness(context_likeness(occurrences), tied_NN))


def context_likeness(occurrences: Sequence[Occurrence]) -> Floats:
    """Return the similarity of the words around two occurrences, from 0 to 1 `[N, N]`.

    It is the cosine of binary tf-idf vectors of the sentences without the word itself.
    """
    texts = [each.context for each in occurrences]
    try:
        words_NW = TfidfVectorizer(token_pattern=_CONTENT, binary=True).fit_transform(texts)
    except ValueError:  # there are no words around any occurrence
        return np.zeros((len(texts), len(texts)))
    alike_NN: Floats = (words_NW @ words_NW.T).toarray()
    return alike_NN


def _nearest(unit_ND: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the cosines `[N, N]`, with -inf on the diagonal, and a mask of the nearest ones."""
    cosines_NN = unit_ND @ unit_ND.T
    np.fill_diagonal(cosines_NN, -np.inf)
    return cosines_NN, cosines_NN >= cosines_NN.max(1, keepdims=True) - _TIE


def _likeness(contexts_NN: Floats, tied_NN: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the mean context similarity of nearest occurrences, and that of any two."""
    alike = (contexts_NN * tied_NN / tied_NN.sum(1, keepdims=True)).sum(1).mean()
    others = ~np.eye(len(contexts_NN), dtype=np.bool_)
    return float(alike), float(contexts_NN[others].mean())


def _times(alike: float, alike_any: float) -> float | None:
    return round(alike / alike_any, 2) if alike_any > 0.0 else None


def _chance(contexts_NN: Floats) -> float:
    """Return the 97.5% quantile of the mean similarity to an occurrence drawn at random."""
    count = len(contexts_NN)
    random = generator(0, "chance")
    means = []
    for _ in range(_DRAWS):
        others = (np.arange(count) + random.integers(1, count, count)) % count
        means.append(contexts_NN[np.arange(count), others].mean())
    return float(np.quantile(means, 0.975))


def _unit(vectors: NDArray[np.float32]) -> Floats:
    vectors_ND = vectors.astype(np.float64)
    lengths_N1 = np.linalg.norm(vectors_ND, axis=1, keepdims=True)
    unit_ND: Floats = vectors_ND / np.where(lengths_N1 > 0.0, lengths_N1, 1.0)
    return unit_ND


def _project(unit_ND: Floats) -> tuple[Floats, float]:
    """Return a projection to the plane `[N, 2]`, and its share of the variance."""
    centered_ND = unit_ND - unit_ND.mean(0)
    if np.abs(centered_ND).max() < _SAME:
        return np.zeros((len(unit_ND), 2)), 1.0
    dimensions = min(2, *unit_ND.shape)
    pca = PCA(dimensions, svd_solver="full")
    points = np.zeros((len(unit_ND), 2))
    points[:, :dimensions] = pca.fit_transform(centered_ND)
    return points, float(pca.explained_variance_ratio_.sum())


def _group(unit_ND: Floats) -> tuple[list[int], float | None]:
    """Return each occurrence's group, and the silhouette of the groups.

    Ward clustering of the unit vectors into two groups, or into three of at least three occurrences
    each if their silhouette is higher. The silhouette, from -1 to 1, is how much nearer an
    occurrence is to its own group than to the next.
    """
    if len(unit_ND) < _FEWEST_TO_GROUP or np.ptp(unit_ND, axis=0).max() < _SAME:
        return [], None
    best: tuple[list[int], float] = ([], -np.inf)
    for count in (2, 3):
        labels = AgglomerativeClustering(count, linkage="ward").fit_predict(unit_ND)
        if count == 3 and np.bincount(labels).min() < _SMALLEST_GROUP:
            break
        score = float(silhouette_score(unit_ND, labels, metric="cosine"))
        if score > best[1] + _TIE:
            largest_first = np.argsort(-np.bincount(labels), kind="stable")
            best = np.argsort(largest_first)[labels].tolist(), score
    return best[0], round(best[1], 4)


def _describe(occurrences: Sequence[Occurrence], group_of: Sequence[int]) -> list[dict[str, Any]]:
    """Return each group's size and its typical words."""
    if not group_of:
        return []
    near = [each.narrowed(_NEAR).context for each in occurrences]
    words: dict[str, list[str]] = {}
    if any(map(str.strip, near)):
        tokenizer = WordTokenizer.train(near, min_count=1, lowercase=True)
        for telling in telling_words(near, list(map(str, group_of)), tokenizer, per_class=_WORDS):
            words.setdefault(telling.label, []).append(telling.word)
    sizes = np.bincount(group_of).tolist()
    return [
        {"number": number, "size": size, "words": words.get(str(number), [])}
        for number, size in enumerate(sizes)
    ]


def _same_numbers(looks: Sequence[dict[str, Any]]) -> None:
    """Give groups of several encoders that share most occurrences the same number."""
    grouped = [look for look in looks if look["groups"]]
    for look in grouped[1:]:
        shared = np.zeros((3, 3))
        np.add.at(shared, (look["group_of"], grouped[0]["group_of"]), 1.0)
        old, new = linear_sum_assignment(shared, maximize=True)
        number_of = dict(zip(old.tolist(), new.tolist(), strict=True))
        look["group_of"] = [number_of[number] for number in look["group_of"]]
        for group in look["groups"]:
            group["number"] = number_of[group["number"]]
        look["groups"].sort(key=lambda group: group["number"])
