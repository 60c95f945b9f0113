"""Group D: files of strangers run no code, take no memory on their word, and reach nowhere else."""

import gzip
import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import tarfile
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save, save_file
from tests.reliability.endings import ENDINGS, end_readers
from tests.reliability.malformed import VECTORS, safetensors_mutants, tokenizer_json

from headstart.cli.app import main
from headstart.data.labelled import read_texts
from headstart.errors import DataError, FormatError
from headstart.hub.foreign import huggingface, trial
from headstart.hub.foreign.huggingface import read_tensors, read_weights
from headstart.hub.foreign.vectors import read_vectors
from headstart.storage import check_manifest, file_sha256, read_json
from headstart.tokenize.subwords import SubwordTokenizer
from headstart.transfer.loading import load
from headstart.weights import read_safetensors

FORBIDDEN = {
    "pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "os.fork",
    "marshal.loads", "exec", "compile",
}  # fmt: skip
WATCH = {"on": False, "seen": []}
OUR_CHILD = ["-P", "-m", trial.__name__]  # reads a tokenizer or HDF5 before we do


def watch(event, arguments):
    trying = event == "subprocess.Popen" and arguments[1][1:] == OUR_CHILD
    if WATCH["on"] and event in FORBIDDEN and not trying:
        WATCH["seen"].append((event, repr(arguments)[:200]))


class Canary:
    """What a pickle that runs code looks like: it makes a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def zipped(parts, packing=zipfile.ZIP_STORED):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", packing) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return target.getvalue()


def containers(canary):
    """Return the same payload in fourteen containers, by the name of the file."""
    payload = pickle.dumps(Canary(canary), protocol=2)
    objects = io.BytesIO()
    np.save(objects, np.array([Canary(canary)], object), allow_pickle=True)
    legacy = io.BytesIO()
    torch.save({"weight": Canary(canary)}, legacy, _use_new_zipfile_serialization=False)
    modern = io.BytesIO()
    torch.save({"weight": Canary(canary)}, modern)
    tape = io.BytesIO()
    with tarfile.open(fileobj=tape, mode="w:gz") as archive:
        member = tarfile.TarInfo("weights.pkl")
        member.size = len(payload)
        archive.addfile(member, io.BytesIO(payload))
    script = {"m/version": b"3\n", "m/data.pkl": payload, "m/constants.pkl": payload}
    return {
        "modern.pt": modern.getvalue(),
        "legacy.pt": legacy.getvalue(),
        "pytorch_model.bin": modern.getvalue(),
        "plain.pkl": payload,
        "packed.joblib": gzip.compress(payload),
        "objects.npy": objects.getvalue(),
        "objects.npz": zipped({"a.npy": objects.getvalue()}),
        "gensim.model": payload,
        ".metadata": payload,
        "keras.keras": zipped({"config.json": b"{}", "model.pkl": payload}),
        "script.pt": zipped(script),
        "fasttext.bin": b"\xba\x16\x4f\x2f\x0c\0\0\0" + payload,
        "tape.tar.gz": tape.getvalue(),
        "renamed.safetensors": payload,
    }


COMMANDS = (
    "data check {}", "data check $/train.csv --test {}", "data check $/train.csv --corpus {}",
    "predict {} --text a", "predict $/model {}", "evaluate {} $/test.csv", "evaluate $/model {}",
    "inspect {}", "inspect $/words.vec --beside {} --corpus $/articles.txt", "neighbors {} the",
    "fill-mask {} [MASK]", "generate {} a",
    "fit classification {} --transfer tfidf --out @/out",
    "fit classification $/train.csv --encoder {} --out @/out",
    "fit regression {} --transfer tfidf --out @/out",
    "fit pair {} --transfer tfidf --out @/out",
    "fit tagging {} --transfer majority --out @/out",
    "pretrain glove --corpus {} --out @/out",
    "pretrain glove --corpus $/articles.txt --tokenizer {} --out @/out",
    "pretrain cove --parallel {} --out @/out",
    "pretrain cove --parallel $/pairs.tsv --vectors {} --out @/out",
    "adapt {} --corpus $/articles.txt --out @/out", "rank {} --encoders $/words.vec",
    "rank $/train.csv --encoders {}", "compare {} --out @/compared",
    "compare $/train.csv --methods glove={}:probe --labels 10 --seeds 1 --out @/compared",
    "compare --config {}",
)  # fmt: skip


@pytest.mark.slow
def test_D1_pickle_canary_in_14_containers(good, tmp_path, capsys, monkeypatch):
    """No command runs what a file says, whatever it is called; each ends in one line."""
    monkeypatch.setattr(huggingface, "try_reading", lambda kind, path: None)  # a second each time
    canary = tmp_path / "canary"
    files = {}
    for name, content in containers(canary).items():
        (tmp_path / name).write_bytes(content)
        files[name] = tmp_path / name
        folder = tmp_path / f"folder of {name}"
        shutil.copytree(good / "bert", folder)
        weights = folder / "model.safetensors"
        if name != "renamed.safetensors":
            weights.unlink()
            weights = folder / "pytorch_model.bin"
        weights.write_bytes(content)
        files[folder.name] = folder
    assert len(containers(canary)) == 14
    pickle.loads(containers(canary)["plain.pkl"])  # noqa: S301 - our own, to see that it would work
    os.rmdir(canary)
    for words in COMMANDS:  # what is imported, compiled or read from numba's cache, is by now
        main(["neighbors", str(good / "words.vec"), "the"])
        main(shlexed(words, good / "nothing", good, tmp_path))
    sys.addaudithook(watch)
    WATCH["seen"].clear()
    for path in files.values():
        for words in COMMANDS:
            capsys.readouterr()
            WATCH["on"] = True
            try:
                code = main(shlexed(words, path, good, tmp_path))
            finally:
                WATCH["on"] = False
            out, err = capsys.readouterr()
            assert code == 2, (words, path.name, out, err)
            assert err.splitlines()[-1].startswith("error: ")
            assert not canary.exists(), (words, path.name)
    loaded = [e for e in WATCH["seen"] if e[0] not in ("exec", "compile", "marshal.loads")]
    assert loaded == []


def shlexed(words, file, good, folder):
    made = [w.replace("$", str(good)).replace("@", str(folder)) for w in words.split()]
    return [w.replace("{}", str(file)) for w in made]


def test_D1_loading_executes_nothing(good, tmp_path):
    """Between a warm library and the end of loading nothing is executed, compiled or unpickled."""
    for source in ("model", "words.vec", "bert", "elmo"):
        load(good / source)
    sys.addaudithook(watch)
    for source in ("model", "words.vec", "bert", "elmo"):
        WATCH["seen"].clear()
        WATCH["on"] = True
        try:
            load(good / source)
        finally:
            WATCH["on"] = False
        assert WATCH["seen"] == [], source


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A good safetensors file."""
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_file({"a.weight": torch.arange(12.0).reshape(3, 4), "b.bias": torch.ones(5)}, path)
    return path


def outcome(path):
    try:
        return read_safetensors(path, finite=True)
    except FormatError as error:
        message = str(error)
    assert str(path) in message
    assert "\n" not in message
    return None


def test_D2_hostile_safetensors(weights, tmp_path):
    """Every mutant is refused with its file named, but those that only lack or alter a tensor."""
    path = tmp_path / "bad.safetensors"
    for what, content in safetensors_mutants(weights.read_bytes()).items():
        path.write_bytes(content)
        read = outcome(path)
        harmless = what in ("another shape", "no tensors")
        assert (read is None) or harmless, what
    for what, value in (("NaN", float("nan")), ("infinity", float("-inf"))):
        path.write_bytes(save({"a": torch.tensor([1.0, value])}))
        with pytest.raises(FormatError, match=r"a contains NaN or infinity"):
            read_safetensors(path, finite=True)
        assert set(read_safetensors(path)) == {"a"}, what


def test_D2_hostile_safetensors_truncated_anywhere(weights, tmp_path):
    content = weights.read_bytes()
    path = tmp_path / "cut.safetensors"
    for end in range(len(content)):
        path.write_bytes(content[:end])
        assert outcome(path) is None, end


def test_D2_hostile_safetensors_in_2000_ways(weights, tmp_path):
    """A byte changed here and there in the header: refused, or read, and never anything else."""
    content = weights.read_bytes()
    length = 8 + int.from_bytes(content[:8], "little")
    random = np.random.default_rng(0)
    path = tmp_path / "mutant.safetensors"
    refused = 0
    for _ in range(2000):
        mutant = bytearray(content)
        for place in random.integers(0, length, random.integers(1, 4)):
            mutant[place] = random.choice(list(b'0123456789{}[]",:aF')) if place > 7 else 0
        path.write_bytes(mutant)
        refused += outcome(path) is None
    assert 1000 < refused < 2000


def test_D2_hostile_safetensors_must_be_the_models(good, tmp_path):
    """Names, shapes and types that are not the model's are refused before they are used."""
    folder = shutil.copytree(good / "model", tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    for change in (
        lambda t: t.pop("weight"),
        lambda t: t.update(weight=t["weight"][:, :2].contiguous()),
        lambda t: t.update(bias=torch.zeros(9)),
        lambda t: t.update(idf=torch.zeros(3)),
    ):
        mutant = dict(tensors)
        change(mutant)
        save_file(mutant, folder / "model.safetensors")
        sums = {f.name: file_sha256(f) for f in folder.iterdir() if f.name != "manifest.json"}
        (folder / "manifest.json").write_text(json.dumps({"sha256": sums}))
        with pytest.raises(FormatError, match="model"):
            load(folder)


READ_BOMBS = """
import resource, sys
from pathlib import Path
from headstart.data.corpora import read_corpus
from headstart.data.labelled import read_texts
from headstart.errors import HeadstartError
from headstart.hub.foreign.vectors import read_vectors

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10

read = {"text": lambda path: sum(1 for _ in read_corpus(path).texts()),
        "rows": lambda path: sum(map(len, read_texts(path, text_column="text"))),
        "vectors": read_vectors}
before = peak()
for name in sys.argv[1:]:
    try:
        read[Path(name).name.split(".")[0]](Path(name))
        print("read", name)
    except HeadstartError as error:
        print(error.exit_code, peak() - before, error)
"""


def packed_bombs():
    """Return packed files of a few hundred kilobytes that are 160 MB when opened."""
    body = (b" " * 1000 + b"\n") * 160_000
    return {
        "text.txt.gz": gzip.compress(body, 6),
        "text.txt.zst": bytes(pa.compress(body, "zstd")),
        "rows.csv.gz": gzip.compress(b"text,label\n" + (b"a" * 1000 + b",b\n") * 160_000, 6),
        "vectors.vec.gz": gzip.compress((b"up" + b" 1" * 500 + b"\n") * 160_000, 6),
    }


@pytest.mark.slow
def test_D3_bombs(tmp_path):
    """What grows without measure is refused at the cap, and never held whole."""
    paths = []
    for name, content in packed_bombs().items():
        (tmp_path / name).write_bytes(content)
        paths.append(str(tmp_path / name))
    done = subprocess.run(
        [sys.executable, "-c", READ_BOMBS, *paths], capture_output=True, text=True, check=True
    )
    for path, line in zip(paths, done.stdout.splitlines(), strict=True):
        code, megabytes, message = line.split(" ", 2)
        assert code == "2"
        assert message.startswith(path)
        assert "grows more than" in message
        assert int(megabytes) < 64, path


def test_D3_bombs_in_pickles_of_torch(tmp_path):
    """torch.load would unpack the parts of an archive; it is never asked to."""
    whole = io.BytesIO()
    torch.save({"weight": torch.zeros(2 << 20)}, whole)
    with zipfile.ZipFile(whole) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    path = tmp_path / "bomb.pt"
    path.write_bytes(zipped(parts, zipfile.ZIP_DEFLATED))
    assert path.stat().st_size < 20_000
    with pytest.raises(FormatError, match=r"bomb\.pt: compressed zip archive"):
        read_tensors(path)
    path.write_bytes(whole.getvalue())
    assert set(read_tensors(path)) == {"weight"}


VIEWS = {
    "a view of 4 TB": lambda: torch.zeros(1).expand(1 << 20, 1 << 20),
    "sparse": lambda: torch.zeros(3, 3).to_sparse(),
    "nowhere": lambda: torch.empty(1 << 40, device="meta"),
}


@pytest.mark.parametrize("make", VIEWS.values(), ids=VIEWS)
def test_D3_bombs_that_are_views(tmp_path, make):
    """A tensor may claim a shape far larger than what is stored of it."""
    torch.save({"weight": make()}, tmp_path / "view.pt")
    with pytest.raises(FormatError, match=r"view\.pt: .*(not a plain tensor|pickle of tensors)"):
        read_tensors(tmp_path / "view.pt")


OUTSIDE = (
    "../out", "/etc/passwd", "a/../../out", "..", "./../out", "//etc/passwd", "a/../..",
)  # fmt: skip
NOWHERE = (
    "C:\\windows\\x", "..\\out", "a\0b", "x" * 300, "x" * 5000, "<script>", "CONFIG.JSON", " ",
    ".", "", "~/x", "$HOME/x", "%2e%2e/out", "\u2025/out", "config.json/x",
)  # fmt: skip


def test_D4_path_traversal(tmp_path):
    """A manifest, or an index of weights, names files of its own folder and no others."""
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "out").write_text("secret")
    (folder / "config.json").write_text('{"model_type": "bert"}')
    before = sorted(os.walk(tmp_path))
    nowhere = "missing|unprintable characters"
    for names, message in ((OUTSIDE, "file outside the folder"), (NOWHERE, nowhere)):
        for name in names:
            sums = {name: file_sha256(tmp_path / "out")}
            (folder / "manifest.json").write_text(json.dumps({"sha256": sums}))
            with pytest.raises(FormatError, match=message):
                check_manifest(folder)
            (folder / "manifest.json").unlink()
            index = folder / "model.safetensors.index.json"
            index.write_text(json.dumps({"weight_map": {"x": name}}))
            with pytest.raises(FormatError, match=r"outside its folder|missing"):
                read_weights(folder)
            index.unlink()
    assert sorted(os.walk(tmp_path)) == before


def test_D4_path_traversal_by_pipes_and_devices(tmp_path):
    """What is no file is not opened: a pipe would never end, nor would a device."""
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("config.json", "manifest.json"):
        os.mkfifo(folder / name)
        with pytest.raises(FormatError, match="not a file"):
            read_json(folder / name)
        (folder / name).unlink()
        (folder / name).symlink_to("/dev/zero")
        with pytest.raises(FormatError, match="not a file"):
            read_json(folder / name)
    with pytest.raises(FormatError):
        load(folder)
    with (tmp_path / "huge.json").open("wb") as file:
        file.truncate(10 << 30)
    with pytest.raises(FormatError, match="larger than 256 MiB"):
        read_json(tmp_path / "huge.json")


ACCEPTED = {
    "a word with NBSP": ("a\u00a0b 1 2\nc 3 4\n", ["a\u00a0b", "c"]),
    "a word with U+3000": ("a\u3000b 1 2\nc 3 4\n", ["a\u3000b", "c"]),
    "a word with U+2028": ("a\u2028b 1 2\nc 3 4\n", ["a\u2028b", "c"]),
    "a word with U+0085": ("a\x85b 1 2\nc 3 4\n", ["a\x85b", "c"]),
    "a word of spaces and points": (". . . 1 2\nc 3 4\n", None),
    "words that repeat": ("a 1 2\na 3 4\n", ["a"]),
    "CRLF": ("a 1 2\r\nc 3 4\r\n", ["a", "c"]),
    "a mark": ("\ufeffa 1 2\nc 3 4\n", ["a", "c"]),
    "no last line feed": ("a 1 2\nc 3 4", ["a", "c"]),
    "spaces at the ends": ("2 2\na 1 2 \nc 3 4 \n", ["a", "c"]),
}


@pytest.mark.parametrize("what", VECTORS)
def test_D5_vector_files_are_refused(tmp_path, what):
    content, names = VECTORS[what]
    (tmp_path / "bad.vec").write_bytes(content)
    with pytest.raises(FormatError, match=rf"bad\.vec.*({names})"):
        read_vectors(tmp_path / "bad.vec")


@pytest.mark.parametrize("what", ACCEPTED)
def test_D5_vector_files_are_read(tmp_path, what):
    text, words = ACCEPTED[what]
    (tmp_path / "good.vec").write_bytes(text.encode())
    found = read_vectors(tmp_path / "good.vec")
    assert words is None or found.words == words
    assert found.matrix[0].tolist() == [1, 2]


def test_D6_a_page_takes_no_more_memory_than_there_is_of_it(tmp_path):
    """A page of 52 bytes says in its header that it has 1.4 GB."""
    file = Path(__file__).parents[1] / "fuzz" / "corpus" / "parquet" / "a-page-of-a-gigabyte"
    shutil.copy(file, tmp_path / "page.parquet")
    code = (
        "import sys, pyarrow as pa\n"
        "from headstart.data.labelled import read_labelled\n"
        "from headstart.errors import DataError\n"
        "try:\n"
        "    read_labelled(sys.argv[1])\n"
        "except DataError as error:\n"
        "    assert 'Page was smaller' in str(error)\n"
        "    print(pa.default_memory_pool().max_memory())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "page.parquet"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) < 1 << 20


def test_D6_parquet(tmp_path):
    """A small file of endless rows is refused by what it turns out to hold, not by what it says."""
    path = tmp_path / "bomb.parquet"
    text = pa.array(["x" * 1000] * 1000)
    with pq.ParquetWriter(path, pa.schema([("text", pa.string())])) as file:
        for _ in range(300):
            file.write_table(pa.table({"text": text}))
    assert path.stat().st_size < 2 << 20
    with pytest.raises(DataError, match=r"bomb\.parquet: expands to over"):
        sum(map(len, read_texts(path)))
    content = bytearray(path.read_bytes())
    random = np.random.default_rng(0)
    for _ in range(100):
        mutant = bytearray(content[:2000] + content[-2000:])
        for place in random.integers(0, len(mutant), 8):
            mutant[place] = random.integers(256)
        (tmp_path / "mutant.parquet").write_bytes(mutant)
        with pytest.raises(DataError, match=r"mutant\.parquet"):
            sum(map(len, read_texts(tmp_path / "mutant.parquet")))


HOSTILE_PATTERN = tokenizer_json(
    pre_tokenizer={
        "type": "Split",
        "pattern": {"Regex": "(?:a*)*b(?=c)|(a|a|aa)+$"},
        "behavior": "Removed",
        "invert": False,
    },
    model={"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []},
)


def test_D7_foreign_configs_and_converters(tmp_path):
    """A tokenizer whose pattern tries forever ends in an error, or an answer, and soon."""
    (tmp_path / "tokenizer.json").write_bytes(HOSTILE_PATTERN)
    tokenizer = SubwordTokenizer.load(tmp_path / "tokenizer.json")
    for text in ("a" * 24 + "!", "a" * 28 + "c"):
        for use in (tokenizer.words, lambda text: tokenizer.encode_batch([text])):
            with suppress(FormatError):  # it may also answer
                use(text)


def test_D7_foreign_configs_and_converters_panic(tmp_path):
    """What panics in Rust, which is no Exception, is an error of ours at the edge."""
    (tmp_path / "tokenizer.json").write_bytes(
        tokenizer_json(model={"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "[UNK]"})
    )
    tokenizer = SubwordTokenizer.__new__(SubwordTokenizer)
    import tokenizers

    tokenizer._memory = None
    tokenizer._tokenizer = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for use in (tokenizer.words, lambda text: tokenizer.encode_batch([text])):
        with pytest.raises(FormatError, match="the tokenizer cannot tokenize a text"):
            use("never seen")


def test_D7_foreign_configs_and_converters_in_a_child(good, tmp_path, capfd):
    """What panics as a published tokenizer is read is one line, and Rust prints none beside it."""
    shutil.copytree(good / "bert", tmp_path / "bert")
    broken = {"type": "Precompiled", "precompiled_charsmap": "AAAA"}
    (tmp_path / "bert" / "tokenizer.json").write_bytes(tokenizer_json(normalizer=broken))
    words = "fit classification $/train.csv --encoder {} --out @/out"
    assert main(shlexed(words, tmp_path / "bert", good, tmp_path)) == 2
    told = capfd.readouterr().err.splitlines()
    assert len(told) == 1
    assert f"{tmp_path / 'bert' / 'tokenizer.json'}: its reader panicked: " in told[0]
    assert not (tmp_path / "out").exists()


def lists_of_pieces(folder):
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n")
    return folder / "vocab.txt"


def pickled_weights(folder):
    weights = folder / "model.safetensors"
    torch.save(load_file(weights), folder / "pytorch_model.bin")
    weights.unlink()
    return folder / "pytorch_model.bin"


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("change", [lists_of_pieces, pickled_weights])
def test_D7_foreign_configs_and_converters_end_their_child(
    change, ending, good, tmp_path, capsys, monkeypatch
):
    """What crashes, panics, swells or never ends in what reads pieces or pickles is one line."""
    folder = shutil.copytree(good / "bert", tmp_path / "bert")
    file = change(folder)
    words = shlexed(
        "fit classification $/train.csv --encoder {} --out @/out", folder, good, tmp_path
    )
    with monkeypatch.context() as patch:
        end_readers(patch, ending)
        assert main(words) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert f"{file}: its reader {ENDINGS[ending]}" in told[0]
    assert not (tmp_path / "out").exists()


def test_D7_foreign_configs_and_converters_of_any_tokenizer(tmp_path, monkeypatch):
    """`transformers` makes a tokenizer of what it knows in a child first."""
    transformers = pytest.importorskip("transformers", reason="the extra hf is not installed")
    sizes = {"vocab_size": 6, "hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8}
    config = transformers.ElectraConfig(embedding_size=8, num_hidden_layers=1, **sizes)
    transformers.ElectraModel(config).save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n")
    end_readers(monkeypatch, "os.abort()")
    with pytest.raises(FormatError, match=f"{tmp_path}: its reader was killed by SIGABRT"):
        load(tmp_path)


def test_D7_foreign_configs_and_converters_of_any_model(good, tmp_path):
    """A model that only `transformers` knows may not claim sizes its file does not have."""
    transformers = pytest.importorskip("transformers", reason="the extra hf is not installed")
    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1,
             "intermediate_size": 8, "vocab_size": 9, "max_position_embeddings": 9}  # fmt: skip
    folder = tmp_path / "electra"
    transformers.ElectraModel(
        transformers.ElectraConfig(embedding_size=8, **small)
    ).save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    for fields, message in (
        ({"num_hidden_layers": 10**9}, "'num_hidden_layers' is 1,000,000,000"),
        ({"vocab_size": 10**9}, "describes a model of"),
        ({"hidden_size": 8000, "intermediate_size": 10**6}, "describes a model of"),
        ({"nested": {"deep": [{}], "n_layers": 10**6}}, "'n_layers' is 1,000,000"),
    ):
        (folder / "config.json").write_text(json.dumps({**config, **fields}))
        with pytest.raises(FormatError, match=message):
            load(folder)
