from headstart.hub.cards import card


def test_a_card_tells_the_facts_and_how_to_use_them():
    facts = {
        "words": 2,
        "best_score": 0.123456789,
        "classes": ["a", "b"],
        "sizes": {"width": 50, "depth": 1},
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
    assert "| none at all | 0 |" in text
    assert "nothing" not in text
    assert "empty" not in text
    assert "```python\nimport headstart as hs\n\nuse(it)\n```" in text


def test_what_users_wrote_stays_in_its_cell():
    text = card("m", "What.", {"classes": ["a|b", "two\nlines", "{braces}"]}, "use({'a': 1})")
    assert "| classes | a\\|b, two lines, {braces} |" in text
    assert "use({'a': 1})" in text
