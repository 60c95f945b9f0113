import gzip
import json
import os
import signal

import numpy as np
import pytest

from headstart.budget import Budget
from headstart.data.corpora import read_corpus
from headstart.errors import DataError, FormatError, InterruptedRunError, SettingsError
from headstart.hub.bundle import Pretrained, PretrainedWordVectors, write_folder
from headstart.hub.kinds import KINDS
from headstart.hub.store import WIDTHS, load_encoder, pretrain
from headstart.models.word_vectors import WordVectors
from headstart.pretrain import glove, skip_gram
from headstart.progress import SILENT
from headstart.tokenize.words import WordTokenizer
from headstart.training import array_runs

VECTORS = ("word2vec", "glove")


class Notes:
    """Progress that keeps what it is told."""

    stage = staticmethod(SILENT.stage)

    def __init__(self):
        self.notes = []

    def note(self, message):
        self.notes.append(message)


# Loading


def test_a_file_of_vectors_is_an_encoder(tmp_path):
    file = tmp_path / "glove.2d.txt"
    file.write_text("the 0.5 -1\ncat 0.25 3\n")
    encoder = load_encoder(file)
    assert isinstance(encoder, PretrainedWordVectors)
    assert encoder.kind == "glove"
    assert encoder.config == {"vocabulary": 2, "width": 2}
    assert encoder.lineage["source"] == "glove.2d.txt"
    assert encoder.lineage["format"] == "GloVe text"
    assert encoder.matrix.tolist() == [[0.5, -1], [0.25, 3]]
    assert "coverage" not in encoder.lineage


@pytest.mark.parametrize("compressed", [False, True])
def test_only_the_words_asked_for_are_kept(tmp_path, compressed):
    file = tmp_path / ("vectors.vec.gz" if compressed else "vectors.vec")
    text = b"3 2\nthe 0.5 -1\ncat 0.25 3\ndog 1 2\n"
    file.write_bytes(gzip.compress(text) if compressed else text)
    encoder = load_encoder(file, vocabulary={"dog", "the", "zebra", "yak"})
    assert encoder.words == ["the", "dog"]
    assert encoder.lineage["coverage"] == 0.5
    assert encoder.lineage["missing"] == 2
    with pytest.raises(FormatError, match="contains none of the 1 requested words"):
        load_encoder(file, vocabulary={"zebra"})


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(FormatError, match="nowhere: no such file or folder"):
        load_encoder(tmp_path / "nowhere")
    (tmp_path / "bert.run").mkdir()
    with pytest.raises(
        FormatError, match=r"file or folder, but an unfinished run in .*bert\.run; "
    ):
        load_encoder(tmp_path / "bert")
    with pytest.raises(FormatError, match=r"manifest\.json: no such file"):
        load_encoder(tmp_path)


def test_a_classifier_is_no_encoder(tmp_path):
    settings = {"tensors": {}, "tokenizer": None, "readme": "", "overwrite": False}
    folder = write_folder(tmp_path / "model", config={"kind": "classifier"}, **settings)
    with pytest.raises(
        FormatError, match=r"'classifier', which is not an encoder; .* headstart\.load"
    ):
        load_encoder(folder)


@pytest.fixture
def encoder():
    words, matrix = ["up", "low"], np.float32([[0, 2], [1, 9]])
    return PretrainedWordVectors.from_words("glove", words, matrix, config={}, lineage={})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"tensors": {}}, r"model\.safetensors: contains no word vectors: 'embedding\.weight'"),
        ({"config": {"lineage": {}}}, r"config\.json: 'config' is missing"),
        ({"config": {"config": {}, "lineage": 3}}, r"config\.json: 'lineage' is missing"),
        ({"tokenizer": None}, r"tokenizer\.json: not a readable tokenizer\.json"),
        (
            {"tokenizer": WordTokenizer.from_vocabulary(["up"], lowercase=True)},
            "3 words but 4 vectors",
        ),
    ],
)
def test_a_folder_whose_parts_do_not_fit_is_refused(encoder, tmp_path, damage, message):
    parts = {
        "tensors": encoder.tensors(),
        "tokenizer": encoder.tokenizer,
        "config": {"config": {}, "lineage": {}},
        "readme": "",
    } | damage
    parts["config"] = {"kind": "glove", **parts["config"]}
    folder = write_folder(tmp_path / "encoder", overwrite=False, **parts)
    with pytest.raises(FormatError, match=message):
        load_encoder(folder)


def test_vectors_whose_padding_is_not_zero_are_refused(encoder, tmp_path):
    encoder.model.embedding.weight.data[0] = 1.0
    with pytest.raises(FormatError, match=r"model\.safetensors: .* \(padding\) is zero"):
        load_encoder(encoder.save(tmp_path / "encoder"))


class Seventh(Pretrained):
    """A kind of one table."""

    @classmethod
    def from_folder(cls, folder, about, tensors):
        words = WordTokenizer.load(folder / "tokenizer.json")
        return cls(model=WordVectors.from_matrix(tensors["table"]), tokenizer=words, **about)

    def tensors(self):
        return {"table": self.model.embedding.weight}


def test_every_kind_reads_its_own_folder(encoder, tmp_path, monkeypatch):
    monkeypatch.setitem(KINDS, "seventh", Seventh)
    about = {"config": {"dim": 2}, "lineage": {"by": "hand"}}
    seventh = Seventh("seventh", encoder.model, encoder.tokenizer, **about)
    loaded = load_encoder(seventh.save(tmp_path / "seventh"))
    assert type(loaded) is Seventh
    assert loaded.about() == seventh.about()
    assert loaded.identity == seventh.identity


def test_what_transformers_reads_is_read_with_its_configuration_only(encoder, tmp_path):
    parts = {"tensors": encoder.tensors(), "tokenizer": encoder.tokenizer, "readme": ""}
    about = {"kind": "bert", "config": {}, "lineage": {}}
    folder = write_folder(tmp_path / "bert", config=about, overwrite=False, **parts)
    with pytest.raises(
        FormatError, match=r"config\.json: a 'bert' needs a config\.json of transformers"
    ):
        load_encoder(folder)


# Pretraining


@pytest.fixture(scope="module")
def sentences():
    random = np.random.default_rng(0)
    topics = [[f"{topic}{n}" for n in range(6)] for topic in ("cat", "car")]
    return [" ".join(random.choice(topics[n % 2], 8)) for n in range(200)]


@pytest.mark.parametrize("method", VECTORS)
def test_what_is_pretrained_tells_where_it_came_from_and_can_be_made_again(
    method, sentences, tmp_path
):
    settings = {"size": "tiny", "epochs": 2, "seed": 3, "threads": 1}
    encoder = pretrain(method, sentences, **settings)
    assert type(encoder) is KINDS[method]
    assert encoder.matrix.shape == (12, WIDTHS["tiny"])
    assert not encoder.tensors()["embedding.weight"][0].any()
    assert encoder.lineage["documents"] == 200
    assert encoder.lineage["words"] == 1600
    assert encoder.lineage["seed"] == 3
    assert encoder.config["dim"] == encoder.config["width"] == 25
    numpy = {**settings, "epochs": np.int64(2), "threads": np.int64(1), "min_count": np.int64(5)}
    window, rate = encoder.config["window"], encoder.config["learning_rate"]
    options = {"window": np.int64(window), "learning_rate": np.float64(rate)}
    again = pretrain(method, sentences, **numpy, options=options)
    assert again.fingerprint == encoder.fingerprint
    assert json.loads(json.dumps(again.config)) == encoder.config
    assert pretrain(method, sentences, **{**settings, "seed": 4}).fingerprint != encoder.fingerprint
    loaded = load_encoder(encoder.save(tmp_path / "encoder"))
    assert loaded.fingerprint == encoder.fingerprint
    assert json.loads(json.dumps(encoder.lineage)) == loaded.lineage


def test_a_corpus_is_texts_a_path_or_a_corpus(sentences, tmp_path):
    file = tmp_path / "corpus.txt"
    file.write_text("\n".join(sentences) + "\n")
    corpora = [sentences, file, str(file), read_corpus(file)]
    settings = {"size": "tiny", "epochs": 1, "threads": 1}
    made = [pretrain("word2vec", corpus, **settings) for corpus in corpora]
    assert len({encoder.fingerprint for encoder in made}) == 1
    assert "corpus.txt" in made[1].lineage["corpus"]


def test_the_working_files_are_gone_afterwards(sentences, tmp_path, monkeypatch):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    pretrain("word2vec", sentences, size="tiny", epochs=1, threads=1)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["work"]
    assert [path for path in (tmp_path / "cache" / "work").iterdir() if path.is_dir()] == []


@pytest.mark.parametrize("tokenizer", ["words", "whitespace", "bpe", "wordpiece"])
def test_texts_are_cut_as_one_says(tokenizer, sentences):
    encoder = pretrain("word2vec", sentences, size="tiny", epochs=1, threads=1, tokenizer=tokenizer)
    assert len(encoder.tokenizer.vocabulary) == len(encoder.matrix) + 2
    own = pretrain(
        "word2vec", sentences, size="tiny", epochs=1, threads=1, tokenizer=encoder.tokenizer
    )
    assert own.fingerprint == encoder.fingerprint


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"method": "fasttext"},
            "cannot pretrain .fasttext.; choose from word2vec, glove, cove, elmo",
        ),
        ({"size": "huge"}, "unknown size 'huge'; choose from tiny"),
        ({"epochs": 0}, "epochs must be above 0"),
        ({"steps": 5}, "steps is for cove, elmo, gpt, bert, not for word2vec"),
        ({"skip_bad_batches": 1}, "skip_bad_batches is for cove, elmo, gpt, bert, not for"),
        ({"track": "track"}, "track is for cove, elmo, gpt, bert, not for word2vec"),
        ({"minutes": -1.0}, "minutes must be above 0"),
        ({"tokenizer": "letters"}, "tokenizer must be words"),
        ({"options": {"windw": 3}}, "word2vec has no setting 'windw'; did you mean 'window'"),
        ({"options": {"window": 0}}, "window"),
        ({"min_count": 0}, "min_count must be a whole number from 1, got 0"),
        (
            {"min_count": 2, "tokenizer": WordTokenizer.from_vocabulary(["a"], lowercase=True)},
            "min_count is for a tokenizer learned here; remove it or tokenizer",
        ),
    ],
)
def test_impossible_settings_are_refused(settings, message, sentences):
    with pytest.raises(SettingsError, match=message):
        pretrain(**{"method": "word2vec", "corpus": sentences, "size": "tiny", **settings})


def test_a_corpus_that_holds_too_little_is_refused():
    for method in VECTORS:
        with pytest.raises(DataError):
            pretrain(method, ["one two three"], size="tiny")
        with pytest.raises(DataError):
            pretrain(method, ["same same same same same"] * 3, size="tiny")


def test_the_default_is_so_many_epochs(sentences, monkeypatch):
    seen = []

    def stop(*_, budget, **__):
        seen.append(budget)
        raise InterruptedError

    monkeypatch.setattr(glove, "train", stop)
    for given in ({}, {"minutes": 2}, {"tokens": 9, "epochs": 1}):
        with pytest.raises(InterruptedError):
            pretrain("glove", sentences, size="tiny", **given)
    assert seen == [Budget(epochs=25), Budget(minutes=2), Budget(tokens=9, epochs=1)]


@pytest.mark.parametrize("threads", [0, -1])
def test_no_threads_are_refused(threads, sentences):
    for method in VECTORS:
        with pytest.raises(SettingsError, match="threads must be 1 or more"):
            pretrain(method, sentences, size="tiny", threads=threads)


def test_rows_of_padding_and_unknown_words_are_no_words(tmp_path):
    file = tmp_path / "vectors.txt"
    file.write_text("[PAD] 9 9\nthe 1 2\n[UNK] 5 6\ncat 3 4\n")
    encoder = load_encoder(file)
    assert encoder.words == ["the", "cat"]
    assert encoder.tensors()["embedding.weight"].tolist() == [[0, 0], [5, 6], [1, 2], [3, 4]]


def test_one_cased_word_in_a_thousand_makes_no_cased_vocabulary(tmp_path):
    file = tmp_path / "vectors.txt"
    rows = [f"word{number} 1 {number}" for number in range(1000)]
    file.write_text("\n".join([*rows, "UNK 0 1"]) + "\n")
    assert load_encoder(file).tokenizer.lowercase
    file.write_text("\n".join([*rows, "UNK 0 1", "The 0 2"]) + "\n")
    assert not load_encoder(file).tokenizer.lowercase


def test_the_same_numbers_for_other_words_are_another_encoder(tmp_path):
    prints = []
    for words in ("the cat", "cat the"):
        first, second = words.split()
        (tmp_path / "v.txt").write_text(f"{first} 1 2\n{second} 3 4\n")
        prints.append(load_encoder(tmp_path / "v.txt").fingerprint)
    assert prints[0] != prints[1]


def test_pieces_that_were_never_met_are_near_to_nothing(sentences):
    encoder = pretrain(
        "word2vec", sentences, size="tiny", epochs=1, threads=1, tokenizer="wordpiece"
    )
    assert encoder.config["vocabulary"] < len(encoder.words)
    piece = encoder.tokenizer.words(sentences[0])[0]
    found = encoder.most_similar(piece, top=1000)
    assert len(found) == encoder.config["vocabulary"] - 1
    with pytest.raises(SettingsError, match="no vector"):
        encoder.most_similar("[CLS]")


def test_a_tokenizer_is_read_from_its_file(tmp_path, sentences):
    WordTokenizer.train(sentences, min_count=1).save(tmp_path / "tokenizer.json")
    encoder = pretrain(
        "glove", sentences, size="tiny", epochs=1, tokenizer=tmp_path / "tokenizer.json"
    )
    assert "cat0" in encoder.words


def test_files_and_documents_are_told_apart(tmp_path, sentences):
    file = tmp_path / "corpus.txt"
    file.write_text("\n".join(sentences) + "\n")
    by_path, by_list, by_text = (
        pretrain("word2vec", corpus, size="tiny", epochs=1, threads=1, min_count=1)
        for corpus in (file, [file], sentences)
    )
    assert by_path.words == by_list.words == by_text.words
    with pytest.raises(SettingsError, match=r"names of files, such as .*corpus\.txt"):
        pretrain("word2vec", [str(file)], size="tiny")


@pytest.mark.parametrize("method", VECTORS)
def test_no_more_words_get_a_vector_than_asked_and_it_is_said_where_others_would(method):
    texts = ["a a a a a b b b b c c c d d"] * 5
    how = {"size": "tiny", "epochs": 1, "threads": 1, "min_count": 5}
    notes = Notes()
    small = pretrain(method, texts, options={"vocabulary_size": 4}, progress=notes, **how)
    assert small.words == ["a", "b"]
    assert notes.notes == [
        "only the 2 most frequent of the words that occur at least 5 times get a vector; "
        "for more, raise vocabulary_size (--set vocabulary_size=8)"
    ]
    for options in ({"vocabulary_size": 6}, {}):
        notes = Notes()
        whole = pretrain(method, texts, options=options, progress=notes, **how)
        assert (whole.words, notes.notes) == (["a", "b", "c", "d"], [])
    pieces = pretrain(method, texts, options={"vocabulary_size": 300}, tokenizer="bpe", **how)
    assert pieces.tokenizer.vocabulary_size <= 300
    for size in (2, 4.0, True):
        with pytest.raises(SettingsError, match="vocabulary_size must be a whole number from 3"):
            pretrain(method, texts, options={"vocabulary_size": size}, **how)


@pytest.mark.parametrize("method", ["word2vec", "glove"])
def test_vectors_that_were_stopped_go_on_and_others_are_refused(method, tmp_path, monkeypatch):
    texts = ["the cat sat on the mat and the dog sat on the rug"] * 60
    module = {"word2vec": skip_gram, "glove": glove}[method]
    monkeypatch.setattr(module, "_CHUNK", 50)
    how = {"size": "tiny", "epochs": 3, "threads": 1, "min_count": 1}
    whole = pretrain(method, texts, **how)
    save = array_runs.checkpoints.save_checkpoint

    def stopping(folder, step, **what):
        os.kill(os.getpid(), signal.SIGTERM)
        what["state"]["place"]["seconds"] += 100.0  # all that it took before counts
        save(folder, step, **what)

    kept = {"run_folder": tmp_path / "run", "save_minutes": 1e-9}
    with monkeypatch.context() as patch:
        patch.setattr(array_runs.checkpoints, "save_checkpoint", stopping)
        with pytest.raises(InterruptedRunError, match="to resume from"):
            pretrain(method, texts, **how, **kept)
    assert len(list((tmp_path / "run").glob("step-*"))) == 1
    with pytest.raises(SettingsError, match="seed: 0 -> 1"):
        pretrain(method, texts, seed=1, **how, **kept)
    with pytest.raises(SettingsError, match="corpus"):
        pretrain(method, [*texts, "the cat"], **how, **kept)
    again = pretrain(method, texts, **how, **kept)
    assert again.fingerprint == whole.fingerprint
    assert again.lineage["seconds"] > again.lineage["training_seconds"]
