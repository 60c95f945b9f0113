"""Split texts into sentences by rule, with exceptions such as abbreviations and initials."""

import re
from itertools import pairwise

_MARKS = ".!?…؟۔।॥။។།።፧։"  # also of Arabic, Urdu, Hindi, Burmese, Khmer, Tibetan, Amharic, Armenian
_END = re.compile(  # possessive: a run of marks matches whole or not at all, in linear time
    rf"""(?<![{_MARKS}])[{_MARKS}]++["'”’»)\]]*+\s++(?=\S)"""  # closing marks, space, more text
    r"""|(?<![。！？])[。！？]++["”’」』）]*+\s*+(?=\S)"""  # Chinese and Japanese need no space
)
_OPENING = "\"'“‘«([¿¡-–—"
_ABBREVIATION = re.compile(
    "adm|al|approx|apr|assn|aug|ave|blvd|bros|capt|cf|ch|cmdr|co|col|corp|dec|dept|dr|ed|eds|eg|eq|"
    "esp|est|etc|feb|fig|figs|fr|ft|gen|gov|hon|inc|jan|jr|jul|jun|lt|ltd|maj|mar|messrs|mr|mrs|ms|"
    "mt|no|nos|nov|oct|op|pp|pres|prof|pvt|rep|rev|sec|sen|sept|sgt|sr|st|tel|univ|viz|vol|vols|vs|"
    r"e\.g|i\.e|a\.m|p\.m|u\.s|u\.k|u\.n|d\.c|ph\.d",
    re.IGNORECASE,
)


def split_sentences(text: str) -> list[str]:
    """Split a text into sentences; a line break always ends one.

    A period ends no sentence after an abbreviation or initial, or before a lowercase letter.

    Example:
        >>> split_sentences('Dr. Who paid $3.50. "Really?" she asked. Yes!')
        ['Dr. Who paid $3.50.', '"Really?" she asked.', 'Yes!']
    """
    return [sentence for line in text.split("\n") for sentence in _split_line(line)]


def split_with_space(text: str) -> list[str]:
    r"""Split a text into sentences with their leading white space; joined, they are the text.

    Example:
        >>> split_with_space("It rains. It pours.\nThe end.\n")
        ['It rains.', ' It pours.', '\nThe end.\n']
    """
    ends = [0]
    for sentence in split_sentences(text):
        ends.append(text.index(sentence, ends[-1]) + len(sentence))
    ends[-1] = len(text)
    return [text[start:end] for start, end in pairwise(ends)]


def _split_line(line: str) -> list[str]:
    sentences, start = [], 0
    for match in _END.finditer(line):
        if _is_end(line, start, match):
            sentences.append(line[start : match.end()].strip())
            start = match.end()
    sentences.append(line[start:].strip())
    return [sentence for sentence in sentences if sentence]


def _is_end(line: str, start: int, match: re.Match[str]) -> bool:
    following = line[match.end() : match.end() + 4].lstrip(_OPENING)
    if following[:1].islower():
        return False
    if not match[0].startswith(".") or match[0].startswith(".."):
        return True
    last_word = line[max(start, match.start() - 16) : match.start()].rpartition(" ")[2]
    last_word = last_word.lstrip(_OPENING)
    is_initial = len(last_word) == 1 and last_word.isupper() and last_word != "I"
    return not (is_initial or _ABBREVIATION.fullmatch(last_word))
