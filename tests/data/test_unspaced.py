"""Scripts without spaces between words, told apart from those that have them."""

from weakref import WeakSet

import pytest

from headstart.data.unspaced import note_unspaced, parts_words_by_spaces


@pytest.mark.parametrize(
    ("text", "parted"),
    [
        ("A match in \u6771\u4eac, and nothing more.", True),
        ("", True),
        ("\u043f\u0440\u0438\u0432\u0435\u0442 \u0432\u0441\u0435\u043c", True),
        ("\ub098\ub294 \ud559\uad50\uc5d0 \uac04\ub2e4", True),  # Korean
        ("\u4eca\u5929\u7684\u8db3\u7403\u6bd4\u8d5b\u975e\u5e38\u7cbe\u5f69", False),
        ("\u4eca\u5929 \u7684 \u8db3\u7403 \u6bd4\u8d5b \u975e\u5e38 \u7cbe\u5f69", True),
        ("\u4f60\u597d\u5417\uff1f", False),  # short, with punctuation
        ("\u4e0d\u9519\uff0c\u5f88\u597d\u7528\u3002", False),
        ("\u4e0d\u9519 \uff0c \u5f88 \u597d\u7528 \u3002", True),
        ("\u0e14\u0e35\u0e21\u0e32\u0e01!", False),
        ("\u0e14\u0e35\u200b\u0e21\u0e32\u0e01\u200b\u0e2d\u0e32\u0e01\u0e32\u0e28", True),
        ("\u6211\u7528 iPhone \u5f88\u597d", True),
        ("2024-05-06 \u597d\u7528\u3002", False),
        ("\u0e27\u0e31\u0e19\u0e19\u0e35\u0e49\u0e2d\u0e32\u0e01\u0e32\u0e28\u0e14\u0e35", False),
    ],
)
def test_texts_without_spaces_between_words_are_told_apart(text, parted):
    assert parts_words_by_spaces([text, ""]) is parted
    assert bool(note_unspaced(iter([text, ""]))) is not parted


def test_one_text_at_a_time_is_held():
    class Text(str):
        __slots__ = ("__weakref__",)

    alive, most = WeakSet(), 0

    def texts():
        nonlocal most
        for _ in range(50):
            text = Text("a text")
            alive.add(text)
            most = max(most, len(alive))
            yield text
            del text

    assert note_unspaced(texts()) == []
    assert most <= 2


def test_a_thousand_texts_show_it():
    texts = iter(["\u4eca\u5929\u7684\u8db3\u7403"] * 2000)
    (note,) = note_unspaced(texts)
    assert "no spaces between words" in note
    assert len(list(texts)) == 1000
