import pytest

from headstart.compare.contestants import Contestant, parse_all
from headstart.errors import SettingsError


def test_methods_as_a_user_writes_them():
    assert Contestant.parse("scratch") == Contestant("scratch", "", "", "scratch")
    assert Contestant.parse(" word2vec:frozen ").encoder == "word2vec"
    loaded = Contestant.parse("glove=data/glove.6B.50d.txt:finetune")
    assert (loaded.name, loaded.source) == ("glove:finetune", "data/glove.6B.50d.txt")
    windows = Contestant.parse(r"mine=C:\vectors.txt:probe")
    assert (windows.source, windows.transfer) == (r"C:\vectors.txt", "probe")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "cannot read"),
        ("frozen", "cannot read"),
        ("word2vec", "cannot read"),
        ("word2vec:magic", "cannot read"),
        ("scratch:frozen", "cannot be pretrained"),
        ("glove=:frozen", "lacks"),
        ("=file:frozen", "lacks"),
    ],
)
def test_what_is_no_method(text, reason):
    with pytest.raises(SettingsError, match=reason):
        Contestant.parse(text)


def test_methods_together():
    with pytest.raises(SettingsError, match="at least one"):
        parse_all([])
    with pytest.raises(SettingsError, match="twice"):
        parse_all(["tfidf", "tfidf"])
    with pytest.raises(SettingsError, match="two sources"):
        parse_all(["a=x.txt:probe", "a=y.txt:frozen"])
