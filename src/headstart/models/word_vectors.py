"""Static word vectors: one vector per word, the same in every sentence.

Mikolov, Sutskever, Chen, Corrado and Dean, "Distributed Representations of Words and Phrases and
their Compositionality", NeurIPS 2013 (https://arxiv.org/abs/1310.4546); Pennington, Socher and
Manning, "GloVe: Global Vectors for Word Representation", EMNLP 2014
(https://aclanthology.org/D14-1162). As an encoder, they are a lookup table. As a vector space,
nearby words have similar meanings, and differences carry meaning (king - man + woman).

Shapes: B batch, T tokens, V vocabulary, D width, Q queries, K words excluded from an answer.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from headstart.errors import SettingsError
from headstart.models.blank import blank_weights

_MAX_SCORES = 1 << 24  # scores in memory at once, 64 MiB
_NOTHING = 1e-6  # a norm that can come from rounding alone

Neighbors = list[tuple[str, float]]


class WordVectors(nn.Module):
    """A vector for each word id; id 0 is padding, and its vector stays zero.

    Random vectors have length one on average. Context is ignored: `encode` returns a single layer
    that depends on the id alone.

    Args:
        vocabulary_size: Number of ids, including padding.
        width: Size of each vector.
        generator: Source of the random initialization.
    """

    def __init__(
        self, vocabulary_size: int, width: int, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.width = width
        self.embedding = nn.Embedding(vocabulary_size, width, padding_idx=0)
        with torch.no_grad():
            self.embedding.weight.normal_(std=width**-0.5, generator=generator)[0] = 0.0

    @classmethod
    def from_matrix(cls, matrix_VD: Tensor | NDArray[np.float32]) -> "WordVectors":
        """Use these vectors without a copy; the first is padding's and must be zero.

        Raises:
            SettingsError: It is not zero, or the vectors are not a matrix.
        """
        weight_VD = torch.as_tensor(matrix_VD, dtype=torch.float32)
        if weight_VD.ndim != 2 or not len(weight_VD) or weight_VD[0].any():
            raise SettingsError("word vectors must be a matrix whose first row (padding) is zero")
        with blank_weights():
            vectors = cls(1, weight_VD.shape[1])
        vectors.embedding = nn.Embedding.from_pretrained(weight_VD, freeze=False, padding_idx=0)
        return vectors

    def encode(
        self, ids_BT: Tensor, mask_BT: Tensor, segments_BT: Tensor | None = None
    ) -> list[Tensor]:
        """Look up the vectors: one layer `[B, T, D]`, zero at padding."""
        del mask_BT, segments_BT
        return [self.embedding(ids_BT)]

    def layer_groups(self) -> list[nn.Module]:
        """Return the only group."""
        return [self.embedding]


class WordSpace:
    """Word vectors as points on the unit sphere, for nearest neighbors and analogies.

    Pass only real words: rows of padding and of unknown words are near others by accident.

    Args:
        words: Distinct words.
        matrix_VD: Their vectors; a normalized copy is kept.

    Example:
        >>> space = WordSpace(["up", "high", "low"], np.float32([[0, 2], [1, 9], [1, -9]]))
        >>> space.most_similar("up", top=1)[0][0]
        'high'
    """

    def __init__(self, words: Sequence[str], matrix_VD: Tensor | NDArray[np.float32]) -> None:
        weight_VD = torch.as_tensor(matrix_VD, dtype=torch.float32).detach()
        if weight_VD.ndim != 2 or len(words) != len(weight_VD):
            raise SettingsError(f"{len(words)} words for vectors of shape {[*weight_VD.shape]}")
        self.words = words
        self.ids = {word: row for row, word in enumerate(words)}
        self.unit_VD = F.normalize(weight_VD, dim=1)

    def among(self, words: Sequence[str]) -> "WordSpace":
        """Return the space of only these words, leaving out any without a vector."""
        known = [word for word in words if word in self.ids]
        return WordSpace(known, self.unit_VD[self._rows(known)])

    def __contains__(self, word: str) -> bool:
        return word in self.ids

    def most_similar(
        self, positive: str | Sequence[str], negative: str | Sequence[str] = (), *, top: int = 10
    ) -> Neighbors:
        """Return the words nearest to the sum of `positive` minus that of `negative`.

        Every word's vector has length one, and the given words are not returned.

        Raises:
            SettingsError: A word has no vector, no word is given, or the vectors cancel out.
        """
        plus, minus = (
            self._rows([words] if isinstance(words, str) else words)
            for words in (positive, negative)
        )
        if not len(plus) + len(minus):
            raise SettingsError("most_similar needs at least one word")
        query_D = self.unit_VD[plus].sum(0) - self.unit_VD[minus].sum(0)
        if query_D.norm() < _NOTHING:
            raise SettingsError(
                "the vectors of the words add up to zero, which no word is near to; "
                "choose other words"
            )
        return self._nearest(query_D[None], torch.cat([plus, minus])[None], top)[0]

    def neighbors(self, words: Sequence[str], *, top: int = 10) -> list[Neighbors]:
        """Return the words nearest to each of many, each with its cosine.

        Raises:
            SettingsError: A word has no vector.
        """
        rows_Q = self._rows(words)
        return self._nearest(self.unit_VD[rows_Q], rows_Q[:, None], top)

    def analogies(
        self, questions: Sequence[tuple[str, str, str]], *, top: int = 1
    ) -> list[Neighbors]:
        """Answer analogies "a is to b as c is to ..", nearest to b - a + c first (3CosAdd).

        Levy and Goldberg (2014) named the rule. As in Mikolov's and Stanford's scripts, vectors
        have length one, and the three words of a question are excluded from its answers.

        Raises:
            SettingsError: A word has no vector.
        """
        rows_Q3 = self._rows([word for question in questions for word in question]).view(-1, 3)
        a_QD, b_QD, c_QD = self.unit_VD[rows_Q3].unbind(1)
        return self._nearest(b_QD - a_QD + c_QD, rows_Q3, top)

    def similarity(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Return the cosine of each pair of words `[pairs]`.

        Raises:
            SettingsError: A word has no vector.
        """
        rows_Q2 = self._rows([word for pair in pairs for word in pair]).view(-1, 2)
        first_QD, second_QD = self.unit_VD[rows_Q2].unbind(1)
        cosines: NDArray[np.float32] = (first_QD * second_QD).sum(1).numpy()
        return cosines

    def _rows(self, words: Sequence[str]) -> Tensor:
        try:
            return torch.tensor([self.ids[word] for word in words], dtype=torch.long)
        except KeyError as error:
            word = error.args[0]
            hint = f"; {word.lower()!r} has one" if word.lower() in self.ids else ""
            raise SettingsError(
                f"{word!r} has no vector among {len(self.ids):,} words{hint}"
            ) from None

    def _nearest(self, query_QD: Tensor, excluded_QK: Tensor, top: int) -> list[Neighbors]:
        """Return the `top` words by cosine for each query, in blocks of bounded memory."""
        if type(top) is not int or top < 1:
            raise SettingsError(f"top must be a whole number above 0, got {top!r}")
        size = max(1, _MAX_SCORES // max(1, len(self.words)))
        found: list[Neighbors] = []
        for query, excluded in zip(query_QD.split(size), excluded_QK.split(size), strict=True):
            scores_QV = F.normalize(query, dim=1) @ self.unit_VD.T
            scores_QV.scatter_(1, excluded, -torch.inf)
            best = scores_QV.topk(min(top, len(self.words)), dim=1)
            for scores, rows in zip(best.values.tolist(), best.indices.tolist(), strict=True):
                pairs = zip(rows, scores, strict=True)
                found.append([(self.words[row], score) for row, score in pairs if score > -2.0])
        return found
