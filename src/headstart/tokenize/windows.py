"""Tokenized sentences as subwords: where each word begins, and windows of long sentences.

Each word is split by itself, so its subwords do not depend on its neighbors. A sentence longer than
a model's maximum length is encoded in windows that overlap by half. Each word is taken from the
window in which it has the most context, and no word is lost.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headstart.tokenize.batches import Encoded, Rows, offsets_of, ranges
from headstart.tokenize.subwords import SubwordTokenizer


@dataclass(frozen=True)
class Windows:
    """The windows of sentences; most sentences have one.

    Attributes:
        encoded: The ids of each window, including special tokens.
        first: The number of each sentence's first window, and the end `[sentences + 1]`.
        window_N: The window from which each word is taken `[words]`.
        place_N: Where the word's first subword is in that window `[words]`.
        offsets: Where each sentence's words begin, and the end `[sentences + 1]`.
    """

    encoded: Encoded
    first: Rows
    window_N: Rows
    place_N: Rows
    offsets: Rows

    @property
    def lengths(self) -> Rows:
        """The number of words in each sentence."""
        return np.diff(self.offsets)

    def windows_of(self, rows: Rows) -> Rows:
        """Return the windows of some sentences, one sentence after the other."""
        return ranges(self.first, rows)

    def places_of(self, rows: Rows, first_N: Rows) -> Rows:
        """Return the places of the words of some sentences in a layout of their ids.

        Args:
            rows: The sentences.
            first_N: Where each of their windows begins in the layout.
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
    """Split sentences into windows.

    Args:
        tokenizer: Splits each word.
        sentences: Lists of words.
        room: Subwords per window, without special tokens; of one word, at most a quarter of that
            number is kept.
        before: Ids that begin a window.
        after: Ids that end it.
        causal: Whether the model sees only what precedes a word.
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
    """Return each window's first word and end, given the start of each word's subwords."""
    words = len(starts) - 1
    begin = 0
    cuts: list[tuple[int, int]] = []
    while True:
        end = int(np.searchsorted(starts, starts[begin] + room, "right")) - 1
        if end >= words:
            if cuts:  # fill the last window too
                begin = int(np.searchsorted(starts, starts[words] - room))
            return [*cuts, (begin, words)]
        cuts.append((begin, end))
        middle = int(np.searchsorted(starts, starts[begin] + room // 2))
        begin = min(max(begin + 1, middle), end)


def _best_window(starts: Rows, cuts: Sequence[tuple[int, int]], *, causal: bool) -> Rows:
    """Return for each word the window in which the shorter side of its context is longest."""
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
    """Return the ids of each word's subwords, at least one.

    If a space belongs to the subword after it, as in byte pairs, every word except a sentence's
    first has one before it. A word without subwords, such as a character that the tokenizer drops,
    becomes unknown.
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
