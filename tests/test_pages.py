"""What pages have in common."""

import pytest
from jinja2 import UndefinedError

from headstart.pages import csp_hash, template_environment, visible


def test_hidden_characters_are_spelled_out():
    assert visible("a\u202eb\x1b[1m\x00\ud800\u2028") == r"a\u202eb\x1b[1m\x00\ud800\u2028"
    assert visible("naïve — ‘quoted’ 日本 👍\n") == "naïve — ‘quoted’ 日本 👍\n"


def test_templates_escape_all_and_miss_nothing(tmp_path):
    (tmp_path / "page").write_text("<p title='{{ text }}'>{{ text }}</p>")
    template = template_environment(tmp_path).get_template("page")
    html = template.render(text="<b>'\x1b\u202e")
    safe = r"&lt;b&gt;&#39;\x1b\u202e"
    assert html == f"<p title='{safe}'>{safe}</p>"
    with pytest.raises(UndefinedError):
        template.render()


def test_the_policy_knows_a_block_by_its_hash():
    # printf '' | openssl dgst -sha256 -binary | base64
    assert csp_hash("") == "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"
