import html
import re

import pytest

from headstart.hub.cards import card
from headstart.pages import visible


def test_a_card_tells_the_facts_and_how_to_use_them():
    facts = {
        "words": 2,
        "best_score": 0.123456789,
        "classes": ["a", "b"],
        "sizes": {"width": 50, "depth": 1},
        "validation": {"step": 3, "loss": 2.321435408158736},
        "thresholds": [0.123456789, 1],
        "filters": ((1, 16), (2, 32)),
        "nothing": None,
        "empty": [],
        "none_at_all": 0,
    }
    text = card("my model", "What it is.", facts, "use(it)")
    assert text.startswith("# my model\n\nWhat it is.\n")
    assert "| words | 2 |" in text
    assert "| best score | 0.123457 |" in text
    assert "| classes | a, b |" in text
    assert "| sizes | width 50, depth 1 |" in text
    assert "| validation | step 3, loss 2.32144 |" in text
    assert "| thresholds | 0.123457, 1 |" in text
    assert "| filters | (1, 16), (2, 32) |" in text
    assert "| none at all | 0 |" in text
    assert "nothing" not in text
    assert "empty" not in text
    assert "```python\nimport headstart as hs\n\nuse(it)\n```" in text


def test_what_users_wrote_stays_in_its_cell():
    text = card("m", "What.", {"classes": ["a|b", "two\nlines", "{braces}"]}, "use({'a': 1})")
    assert "| classes | a\\|b, two lines, {braces} |" in text
    assert "use({'a': 1})" in text


@pytest.mark.parametrize(
    "text",
    [
        "<script>canary()</script>", "<img src=x onerror=canary()>", "[a](javascript:canary())",
        "![a](http://x.invalid/a.png)", "`code` *bold* ~~gone~~", "a&lt;b", "x\\|y",
        "\x1b[2J\u202e",
    ],
)  # fmt: skip
def test_nothing_a_stranger_wrote_is_more_than_text(text):
    for page in (card(text, "What.", {}, "use()"), card("m", "What.", {text: text}, "use()")):
        lines = [line for line in page.splitlines() if line.startswith(("# ", "| "))]
        written = " ".join(lines[0 if lines[0] != "# m" else 1 :])
        bare = re.sub(r"\\[\\`*\[\]|~]|&(amp|lt|gt);", "", written)
        assert not set("<>&`*[]~\x1b\u202e") & set(bare)
        assert html.unescape(re.sub(r"\\([\\`*\[\]|~])", r"\1", written)).count(visible(text))
