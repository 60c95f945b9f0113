"""Sentences cut into words already, as pieces: where each word begins, and windows of long ones.

Each word is cut by itself, so that what a word is made of does not depend on its neighbors. A
sentence that is longer than a model reads is read in windows that overlap by half; every word is
taken from the window where it has most around it, and none is lost.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headstart.tokenize.batches import Encoded, Rows, offsets_of, ranges
from headstart.tokenize.subwords import SubwordTokenizer


@dataclass(frozen=True)
class Windows:
    """The windows of sentences, one for most.

    Attributes:
        encoded: The ids of each window, special ones included.
        first: The number of each sentence's first window, and the end `[sentences + 1]`.
        window_N: The window each word is taken from `[words]`.
        place_N: Where in it the word's first piece is `[words]`.
        offsets: Where each sentence's words begin, and the end `[sentences + 1]`.
    """

    encoded: Encoded
    first: Rows
    window_N: Rows
    place_N: Rows
    offsets: Rows

    @property
    def lengths(self) -> Rows:
        """Words of each sentence."""
        return np.diff(self.offsets)

    def windows_of(self, rows: Rows) -> Rows:
        """Return the windows of some sentences, one sentence after the other."""
        return ranges(self.first, rows)

    def places_of(self, rows: Rows, first_N: Rows) -> Rows:
        """Return where the words of some sentences are among laid out ids.

        Args:
            rows: The sentences.
            first_N: Where each of their windows begins.
        """
        counts = self.first[rows + 1] - self.first[rows]
        shift = np.cumsum(counts) - counts - self.first[rows]
        words = ranges(self.offsets, rows)
        windows = self.window_N[words] + np.repeat(shift, self.lengths[rows])
        return first_N[windows] + self.place_N[words]


def read_windows(
    tokenizer: SubwordTokenizer,
    sentences: Sequence[Sequence[str]],
    *,
    room: int,
    before: Sequence[int] = (),
    after: Sequence[int] = (),
    causal: bool = False,
) -> Windows:
    """Cut sentences into windows.

    Args:
        tokenizer: Cuts each word.
        sentences: Lists of words.
        room: Pieces that a window may hold, special tokens not counted; of a word, no more than a
            quarter of them is read.
        before: Ids that begin a window.
        after: Ids that end it.
        causal: Whether the model sees only what is before a word.
    """
    pieces = _pieces(tokenizer, sentences, most=max(1, room // 4))
    windows: list[list[int]] = []
    first, window_of, place_of = [0], [], []
    for its in pieces:
        starts = offsets_of([len(each) for each in its])
        cuts = _cuts(starts, room)
        for begin, end in cuts:
            windows.append([*before, *(i for each in its[begin:end] for i in each), *after])
        chosen = _best_window(starts, cuts, causal=causal)
        begins = np.array([begin for begin, _ in cuts])[chosen]
        window_of.append(first[-1] + chosen)
        place_of.append(len(before) + starts[:-1] - starts[begins])
        first.append(first[-1] + len(cuts))
    lengths = np.fromiter(map(len, sentences), np.int64, len(sentences))
    return Windows(
        Encoded.from_lists(windows),
        np.array(first),
        np.concatenate([np.zeros(0, np.int64), *window_of]),
        np.concatenate([np.zeros(0, np.int64), *place_of]),
        offsets_of(lengths),
    )


def _cuts(starts: Rows, room: int) -> list[tuple[int, int]]:
    """Return first word and end of each window, given where each word's pieces start, and end."""
    words = len(starts) - 1
    begin = 0
    cuts: list[tuple[int, int]] = []
    while True:
        end = int(np.searchsorted(starts, starts[begin] + room, "right")) - 1
        if end >= words:
            if cuts:  # the last window is full, too
                begin = int(np.searchsorted(starts, starts[words] - room))
            return [*cuts, (begin, words)]
        cuts.append((begin, end))
        middle = int(np.searchsorted(starts, starts[begin] + room // 2))
        begin = min(max(begin + 1, middle), end)


def _best_window(starts: Rows, cuts: Sequence[tuple[int, int]], *, causal: bool) -> Rows:
    """Return for each word the window in which the shorter side of what is around it is longest."""
    words = len(starts) - 1
    chosen, most = np.zeros(words, np.int64), np.full(words, -1.0)
    for number, (begin, end) in enumerate(cuts):
        left = np.full(end - begin, np.inf) if begin == 0 else starts[begin:end] - starts[begin]
        right = starts[end] - starts[begin + 1 : end + 1]
        around = left if causal or end == words else np.minimum(left, right)
        better = around > most[begin:end]
        chosen[begin:end][better] = number
        most[begin:end][better] = around[better]
    return chosen


def _pieces(
    tokenizer: SubwordTokenizer, sentences: Sequence[Sequence[str]], *, most: int
) -> list[list[list[int]]]:
    """Return the ids of each word's pieces, at least one.

    Where a space belongs to the piece after it, as in byte pairs, all words but a sentence's first
    have one before them. A word that is made of nothing, such as a sign that the tokenizer drops,
    is an unknown one.
    """
    alone, twice = (tokenizer.encode_batch([text]).ids.tolist() for text in ("a", "a a"))
    space = "" if twice == 2 * alone else " "
    written = [
        [word if at == 0 else space + word for at, word in enumerate(words)] for words in sentences
    ]
    distinct = list(dict.fromkeys(word for words in written for word in words))
    encoded = tokenizer.encode_batch(distinct)
    nothing = [max(0, tokenizer.unknown_id)]
    ids = {word: encoded[row][:most].tolist() or nothing for row, word in enumerate(distinct)}
    return [[ids[word] for word in words] for words in written]
