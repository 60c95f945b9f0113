"""On a GPU all is as on a CPU: what is pretrained, fitted, saved, loaded and predicted.

What needs a GPU is skipped where there is none; what is refused is tested everywhere.
"""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from headstart.devices import compute_device, one_ahead
from headstart.errors import SettingsError
from headstart.hub import pretraining
from headstart.hub.planning import plan
from headstart.hub.store import adapt, pretrain
from headstart.models.interface import device_of
from headstart.transfer.estimators import TextClassifier
from headstart.transfer.layer_features import layer_features
from headstart.transfer.loading import load
from headstart.transfer.methods import (
    Features,
    FineTune,
    GradualUnfreeze,
    LowRank,
    Probe,
    Scratch,
)
from headstart.transfer.pairs import PairClassifier
from headstart.transfer.regressor import TextRegressor
from headstart.transfer.token_tagger import TokenTagger

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
TRANSFERS = {
    "probe": Probe,
    "frozen": Features,
    "finetune": FineTune,
    "gradual": GradualUnfreeze,
    "lora": LowRank,
    "scratch": Scratch,
}
TEXTS = ["good1 plain3 good7", "bad2 bad30 plain1 plain2", "good39", ""]
ROWS = {"tokens_per_row": 24, "rows_per_step": 4, "vocabulary_size": 300, "dropout": 0.0}
MAIN = "import sys; from headstart.cli.app import main; sys.exit(main())"
STEPS = {"size": "tiny", "steps": 30, "threads": 1, "options": ROWS}


@pytest.fixture
def one_gpu(monkeypatch):
    """Let PyTorch say that it sees a GPU, on which nothing is computed."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.delenv("LOCAL_RANK", raising=False)


@pytest.fixture
def narrow(monkeypatch):
    """Let the tiny size be tinier."""
    monkeypatch.setitem(pretraining.SIZES, "tiny", (2, 32, 2, 64))


@pytest.fixture(scope="module")
def documents():
    random = np.random.default_rng(0)
    pairs = {"cats": "milk", "dogs": "bones", "mice": "cheese", "birds": "seeds"}
    return [
        " ".join([f"{who.capitalize()} like {pairs[who]}."] * random.integers(2, 5))
        for who in random.choice(list(pairs), 60)
    ]


def close(found, expected, most=1e-4):
    assert np.asarray(found) == pytest.approx(np.asarray(expected), abs=most)


# What is refused


@pytest.mark.parametrize("name", ["gpu", "cuda:-1", "mps", "", "CPU", None, 0])
def test_a_device_has_one_of_a_few_names(name):
    with pytest.raises(SettingsError, match="device must be cpu, cuda or cuda:N, got"):
        compute_device(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_missed_before_anything_is_done(whole, documents):
    with pytest.raises(SettingsError, match=r"device 'cuda': PyTorch .* use cpu"):
        whole.to("cuda")
    with pytest.raises(SettingsError, match="use cpu"):
        pretrain("bert", documents, device="cuda:1", **STEPS)
    with pytest.raises(SettingsError, match="use cpu"):
        load("no/such/folder", device="cuda")


def test_every_process_takes_a_gpu_of_its_own(one_gpu, monkeypatch):
    assert compute_device("cuda") == torch.device("cuda:0")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    for rank, place in (("0", 0), ("3", 3), ("5", 1)):
        monkeypatch.setenv("LOCAL_RANK", rank)
        assert compute_device("cuda") == torch.device("cuda", place)
    with pytest.raises(
        SettingsError, match="device 'cuda:4': this machine has 4 GPU\\(s\\), numbered from cuda:0"
    ):
        compute_device("cuda:4")


def test_only_models_that_replace_the_whole_model_compute_on_a_gpu(
    one_gpu, encoder, readers, documents
):
    for each in (encoder, *readers.values()):
        with pytest.raises(SettingsError, match=f"{each.name} can only run on the cpu"):
            each.to("cuda")
        assert each.to("cpu") is each
    with pytest.raises(SettingsError, match="elmo can only be trained on the cpu; cuda is for gpt"):
        pretrain("elmo", documents, device="cuda")


def test_a_model_without_such_an_encoder_is_refused_on_a_gpu(encoder, task, tmp_path, request):
    models = {"tfidf": TextClassifier(transfer="tfidf"), "glove": TextClassifier(encoder, Probe())}
    folders = {name: model.fit(*task).save(tmp_path / name) for name, model in models.items()}
    request.getfixturevalue("one_gpu")
    for name, folder in folders.items():
        with pytest.raises(SettingsError, match=f"{name}: runs on the cpu only"):
            load(folder, device="cuda")
        told = models[name].predict(TEXTS).tolist()
        assert load(folder, device="cpu").predict(TEXTS).tolist() == told


# Batches made ahead


def test_items_made_ahead_come_in_order_and_errors_where_they_belong():
    made = []

    def items():
        for number in range(3):
            made.append(number)
            yield number
        raise ValueError("no more")

    coming = one_ahead(items())
    assert next(coming) == 0
    assert [next(coming), next(coming)] == [1, 2]
    assert made == [0, 1, 2]
    with pytest.raises(ValueError, match="no more"):
        next(coming)
    assert list(one_ahead(iter("abc"))) == ["a", "b", "c"]
    assert list(one_ahead(iter([]))) == []


# On a GPU


@needs_gpu
def test_states_are_those_of_the_cpu(whole):
    moved = whole.to("cuda")
    assert device_of(moved.model).type == "cuda"
    assert device_of(whole.model).type == "cpu", "the encoder itself stays"
    assert moved.fingerprint == whole.fingerprint
    assert moved.to("cpu").fingerprint == whole.fingerprint
    for ours, theirs in zip(
        layer_features(moved, TEXTS, max_tokens=20),
        layer_features(whole, TEXTS, max_tokens=20),
        strict=True,
    ):
        close(ours.features, theirs.features, 0.05)  # both in bfloat16


@needs_gpu
@pytest.mark.parametrize("transfer", TRANSFERS)
def test_what_is_fitted_on_a_gpu_is_the_same_wherever_it_is_loaded(
    whole, task, brief, transfer, tmp_path
):
    given = {} if transfer == "probe" else {"training": brief}
    method = TRANSFERS[transfer](**given)
    model = TextClassifier(whole.to("cuda"), method).fit(*task)
    on_cpu = TextClassifier(whole, method).fit(*task)
    if transfer != "scratch":
        assert model.score(*task) == pytest.approx(on_cpu.score(*task), abs=0.15)
        assert model.proof_.tensors_taken == on_cpu.proof_.tensors_taken > 0
    told = model.predict_proba(TEXTS)
    folder = model.save(tmp_path / "model")
    close(load(folder).predict_proba(TEXTS), told)
    close(load(folder, device="cuda").predict_proba(TEXTS), told)


@needs_gpu
def test_numbers_pairs_and_tags(whole, task, brief, tmp_path):
    texts, labels = task
    there, method = whole.to("cuda"), FineTune(training=brief)
    stars = [float(label == "good") for label in labels]
    pairs = list(zip(texts, texts[1:] + texts[:1], strict=True))
    models = {
        "numbers": (TextRegressor(there, method).fit(texts, stars), texts),
        "pairs": (PairClassifier(there, method, symmetric=True).fit(pairs, labels), pairs),
    }
    for name, (model, given) in models.items():
        folder, told = model.save(tmp_path / name), model.predict(given)
        for device in ("cpu", "cuda"):
            again = load(folder, device=device).predict(given)
            assert np.array_equal(again, told) if name == "pairs" else close(again, told) is None
    sentences = [text.split() for text in texts]
    tags = [[word[0].upper() for word in words] for words in sentences]
    for transfer in (method, Features(training=brief), Probe()):
        tagger = TokenTagger(there, transfer).fit(sentences, tags)
        on_cpu = TokenTagger(whole, transfer).fit(sentences, tags)
        expected = on_cpu.score(sentences, tags)
        assert tagger.score(sentences, tags) == pytest.approx(expected, abs=0.1)
        folder = tagger.save(tmp_path / f"tagger {type(transfer).__name__}")
        for device in ("cpu", "cuda"):
            assert load(folder, device=device).predict(sentences) == tagger.predict(sentences)


@needs_gpu
def test_fitting_leaves_the_random_numbers_of_the_gpu_alone(whole, task, brief):
    there, method = whole.to("cuda"), FineTune(training=brief)
    before = torch.cuda.get_rng_state()
    TextClassifier(there, method).fit(*task)
    sentences = [text.split() for text in task[0]]
    TokenTagger(there, method).fit(sentences, [[word[0] for word in each] for each in sentences])
    assert torch.equal(torch.cuda.get_rng_state(), before)


@needs_gpu
@pytest.mark.parametrize("method", ["bert", "gpt"])
def test_pretraining_takes_the_same_course(narrow, method, documents, tmp_path):
    on_gpu = pretrain(method, documents, device="cuda", **STEPS)
    on_cpu = pretrain(method, documents, **STEPS)
    assert (on_gpu.lineage["device"], on_cpu.lineage["device"]) == ("cuda", "cpu")
    ours, theirs = (each.lineage["training_loss"] for each in (on_gpu, on_cpu))
    assert ours == pytest.approx(theirs, rel=0.02)
    again = load(on_gpu.save(tmp_path / "encoder"))
    assert again.fingerprint == on_gpu.fingerprint
    assert device_of(again.model).type == "cpu"
    further = adapt(on_gpu, documents, steps=2, options={"tokens_per_row": 16})
    assert device_of(further.model).type == "cuda"


@needs_gpu
def test_a_run_goes_on_on_another_device_and_says_so(narrow, documents, tmp_path):
    how = {**STEPS, "run_folder": tmp_path / "run"}
    pretrain("gpt", documents, device="cuda", **{**how, "steps": 5})
    on = pretrain("gpt", documents, allow_drift=["budget.steps"], **{**how, "steps": 10})
    assert on.lineage["steps"] == 10
    assert on.lineage["resumed_at"] == 5
    assert not on.lineage["bit_exact"]


@needs_gpu
def test_bert_guesses_and_gpt_goes_on(narrow, documents):
    how = {**STEPS, "options": {**ROWS, "learning_rate": 1e-2}, "steps": 100}
    bert, gpt = (pretrain(name, documents, device="cuda", **how) for name in ("bert", "gpt"))
    for ours, theirs in zip(
        bert.fill_mask("Cats like [MASK]."),
        bert.to("cpu").fill_mask("Cats like [MASK]."),
        strict=True,
    ):
        assert ours[0] == theirs[0]
        assert ours[1] == pytest.approx(theirs[1], abs=1e-4)
    given = {"max_new_tokens": 6, "temperature": 0}
    prompts = ["Cats like", "Dogs"]
    assert gpt.generate(prompts, **given) == gpt.to("cpu").generate(prompts, **given)
    close(gpt.perplexity(documents[:5]), gpt.to("cpu").perplexity(documents[:5]), 1e-3)


@needs_gpu
def test_the_commands(documents, tmp_path):
    def headstart(*arguments):
        done = subprocess.run(
            [sys.executable, "-c", MAIN, *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    corpus, data = tmp_path / "corpus.txt", tmp_path / "train.csv"
    corpus.write_text("\n\n".join(documents))
    rows = (f"{text},{text.split()[0]}\n" for text in documents)
    data.write_text("text,label\n" + "".join(rows))
    on = ("--device", "cuda")
    sizes = ("--size", "tiny", "--steps", 5, "--set", "vocabulary_size=300")
    headstart("pretrain", "bert", "--corpus", corpus, *sizes, "--out", tmp_path / "bert", *on)
    fit = ("fit", "classification", data, "--encoder", tmp_path / "bert", "--transfer", "finetune")
    headstart(*fit, "--out", tmp_path / "model", *on)
    ours, theirs = (
        json.loads(
            headstart("predict", tmp_path / "model", "--text", documents[0], "--json", *more)
        )
        for more in (on, ())
    )
    assert ours[0]["label"] == theirs[0]["label"]
    close(ours[0]["probability"], theirs[0]["probability"])
    assert "accuracy" in headstart("evaluate", tmp_path / "model", data, *on)


@needs_gpu
def test_a_plan_says_what_a_gpu_takes(narrow):
    found = plan("gpt", size="tiny", tokens=100_000, device="cuda")
    assert found.tokens_per_second > 0
    assert found.gpu_bytes > 0


PROGRAM = """
import sys
from headstart.hub import pretraining
from headstart.hub.store import pretrain
from headstart.training.distributed import rank_and_size
pretraining.SIZES["tiny"] = (2, 32, 2, 64)
documents = open(sys.argv[1]).read().split("\\n\\n")
rows = {"tokens_per_row": 24, "rows_per_step": 4, "vocabulary_size": 300, "dropout": 0.0}
found = pretrain("gpt", documents, device="cuda", size="tiny", steps=30, options=rows)
print(found.lineage["validation"]["loss"], found.lineage["processes"])
"""


@needs_gpu
def test_two_processes_that_share_a_gpu_train_one_model(narrow, documents, tmp_path):
    program, corpus = tmp_path / "program.py", tmp_path / "corpus.txt"
    program.write_text(PROGRAM)
    corpus.write_text("\n\n".join(documents))
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, "-m", *torchrun, program, corpus],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    losses = [float(line.split()[0]) for line in done.stdout.splitlines()]
    alone = pretrain("gpt", documents, device="cuda", **STEPS).lineage["validation"]["loss"]
    assert losses == pytest.approx([alone, alone], rel=0.02)
