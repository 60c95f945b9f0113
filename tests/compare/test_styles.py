"""Methods look the same everywhere, and hidden characters are shown."""

import inspect
import re
from pathlib import Path

import pytest

from headstart.compare import report
from headstart.compare.styles import SPARE_TONES, TONES, family, shortened, split_method, styles
from headstart.hub.kinds import PRETRAINABLE


@pytest.mark.parametrize(
    ("method", "parts"),
    [
        ("scratch", ("scratch", None)),
        ("glove:frozen", ("glove", "frozen")),
        ("glove=a:b.txt:finetune", ("glove=a:b.txt", "finetune")),
        ("glove=C:/vectors.txt", ("glove=C:/vectors.txt", None)),
    ],
)
def test_split(method, parts):
    assert split_method(method) == parts


def test_the_encoder_gives_the_tone_and_the_transfer_the_dash():
    look = styles(["scratch", "glove:probe", "glove:finetune", "word2vec:probe"])
    assert look["glove:probe"].tone == look["glove:finetune"].tone != look["word2vec:probe"].tone
    assert look["glove:probe"].dash == look["word2vec:probe"].dash != look["glove:finetune"].dash
    assert look == {**look, **styles(["glove:probe"])}


def test_two_sources_of_one_encoder_differ():
    look = styles(["glove=a.txt:probe", "glove=b.txt:probe", "mine:probe"])
    assert len({style.tone for style in look.values()}) == 3


def test_every_encoder_that_is_pretrained_here_has_a_tone_and_every_tone_a_color():
    assert set(PRETRAINABLE) < set(TONES)
    colors = Path(inspect.getfile(styles)).with_name("tones.css").read_text()
    named = [f"tone-{number}" for number in range(len(TONES) + SPARE_TONES)]
    assert re.findall(r"^\.(tone-\d+) ", colors, re.MULTILINE) == named
    for name in named:
        assert len(re.findall(rf"--{name}: #", colors)) == 2  # by day and by night


def test_encoders_of_other_names_look_different_and_each_as_it_did_among_fewer():
    names = ["scratch", "glove:probe", *(f"mine{number}:probe" for number in range(12))]
    look = styles(names)
    assert len(set(look.values())) == len(names)
    assert len({look[name].tone for name in names[:10]}) == 10
    assert {look[name].symbol for name in names[2:]} == {"square", "square-open"}
    assert styles([*names[:6], "bert:probe"]) == {
        **{name: look[name] for name in names[:6]},
        "bert:probe": styles(["bert:probe"])["bert:probe"],
    }


def test_every_symbol_is_drawn():
    drawn = report.template_environment().get_template("symbols.svg.j2").render()
    transfers = ("probe", "frozen", "finetune", "gradual", "lora", "scratch")
    look = styles(f"mine{number}:{each}" for number in range(10) for each in transfers)
    assert len({style.symbol for style in look.values()}) == 12
    assert all(f'id="symbol-{style.symbol}"' in drawn for style in look.values())


def test_long_names_lose_their_middle():
    assert shortened("glove:probe", most=22) == "glove:probe"
    assert shortened("glove=long/path/vectors.txt:frozen", most=22) == "glove=long…txt:frozen"


def test_an_adapted_encoder_is_of_the_family_of_what_it_was():
    assert family("bert+adapt:finetune") == family("bert:scratch") == "bert"
    assert family("scratch") == "scratch"
