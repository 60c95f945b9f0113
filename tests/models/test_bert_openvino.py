"""BERT read by OpenVINO: each test compares with torch, or says when torch is to read."""

import gc
import importlib.util
import os
import subprocess
import sys
import weakref

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headstart.models import bert_openvino as module
from headstart.models.bert import Bert, BertConfig
from headstart.models.bert_openvino import openvino_reader
from headstart.models.gpt import Gpt, GptConfig
from headstart.tokenize.batches import Encoded

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="the extra openvino is not installed"
)
WIDTH, POSITIONS, WORDS = 12, 24, 40
SIZES = {"vocabulary_size": WORDS, "width": WIDTH, "layers": 2, "heads": 3, "feed_forward": 20}


@pytest.fixture(autouse=True)
def few_are_enough(monkeypatch):
    monkeypatch.setattr(module, "_LEAST_TOKENS", 8)
    monkeypatch.setattr(module, "_TOKENS_AT_ONCE", 30)  # several batches of a length


def make(*, segments=2, **sizes):
    fresh = torch.Generator().manual_seed(0)
    config = BertConfig(**SIZES | {"positions": POSITIONS, "segments": segments} | sizes)
    model = Bert(config, generator=fresh).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=fresh))
    return model


def texts(*, pairs=False, longest=POSITIONS):
    random = np.random.default_rng(0)
    lengths = [*random.integers(2, longest + 1, 40), longest, 2, 2, 2]
    made = Encoded.from_lists([random.integers(0, WORDS, length).tolist() for length in lengths])
    seconds = np.array([random.integers(1, length) for length in lengths]) if pairs else None
    return Encoded(made.ids, made.offsets, seconds)


def states(model, encoded, row):
    """Return torch's last states of a text, alone in its row `[T, D]`."""
    ids = torch.from_numpy(encoded[row])[None].long()
    segments = None
    if encoded.seconds is not None:
        segments = (torch.arange(ids.shape[1]) >= encoded.seconds[row]).long()[None]
    with torch.no_grad():
        return model.encode(ids, torch.ones_like(ids).bool(), segments)[-1][0].numpy()


def read(reader, encoded):
    found = {}
    for rows, some in reader.read(encoded):
        assert len(rows) == len(some)
        for row, each in zip(rows.tolist(), some, strict=True):
            assert row not in found
            found[row] = each
    assert sorted(found) == list(range(len(encoded)))
    return [found[row] for row in range(len(encoded))]


@pytest.mark.parametrize("segments", [2, 1])  # one, as RoBERTa
@pytest.mark.parametrize("pairs", [False, True])
def test_it_reads_what_torch_reads(segments, pairs):
    model, encoded = make(segments=segments), texts(pairs=pairs)
    both = [
        read(openvino_reader(model, encoded, first_only=first), encoded) for first in (False, True)
    ]
    for row, (summaries, first) in enumerate(zip(*both, strict=True)):
        last = states(model, encoded, row)
        expected = np.concatenate([last.max(0), last.mean(0), last[0], last[-1]])
        np.testing.assert_allclose(summaries, expected, atol=2e-5, rtol=1e-4)
        np.testing.assert_allclose(first, last[0], atol=2e-5, rtol=1e-4)


def test_a_block_alone_reads_what_torch_reads():
    model, encoded = make(layers=1), texts()
    found = read(openvino_reader(model, encoded, first_only=True), encoded)
    for row, first in enumerate(found):
        np.testing.assert_allclose(first, states(model, encoded, row)[0], atol=2e-5, rtol=1e-4)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=200))
def test_every_text_is_in_one_batch_of_its_length(lengths):
    lengths = np.array(lengths)
    batches = list(module._of_one_length(lengths))
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    for rows in batches:
        assert len(set(lengths[rows].tolist())) == 1
        assert len(rows) == 1 or lengths[rows].sum() <= module._TOKENS_AT_ONCE


def test_a_model_is_compiled_once_and_anew_when_it_changes():
    model, encoded = make(), texts()
    before = openvino_reader(model, encoded)
    assert openvino_reader(model, encoded) is before
    assert openvino_reader(model, encoded, first_only=True) is not before
    assert openvino_reader(model, encoded) is before
    with torch.no_grad():
        model.blocks[1].down.bias.add_(1.0)
    after = openvino_reader(model, encoded)
    assert after is not before
    last = states(model, encoded, 0)
    np.testing.assert_allclose(read(after, encoded)[0][:WIDTH], last.max(0), atol=2e-5, rtol=1e-4)


def test_threads_are_not_bound_to_cores():
    """Those of two processes, as a comparison has, would be bound to the same ones."""
    compiled = openvino_reader(make(), texts())._compiled
    assert compiled.get_property("ENABLE_CPU_PINNING") is False
    assert compiled.get_property("INFERENCE_NUM_THREADS") == torch.get_num_threads()


def test_another_number_of_threads_is_compiled_for():
    model, encoded = make(), texts()
    before, threads = openvino_reader(model, encoded), torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        after = openvino_reader(model, encoded)
    finally:
        torch.set_num_threads(threads)
    assert after is not before
    np.testing.assert_array_equal(read(after, encoded), read(before, encoded))


def test_in_bfloat16_it_is_as_near_as_torch_is():
    model, encoded = make(), texts()
    exact = np.array(read(openvino_reader(model, encoded), encoded))
    with torch.autocast("cpu", torch.bfloat16):
        reader = openvino_reader(model, encoded)
        quick = np.array(read(reader, encoded))
        assert openvino_reader(model, encoded) is reader
    assert np.abs(quick - exact).max() < 0.1  # of numbers about as large as 1
    assert openvino_reader(model, encoded) is not reader


def test_what_was_compiled_goes_with_its_model():
    model, encoded = make(), texts()
    compiled = weakref.ref(openvino_reader(model, encoded))
    assert compiled() is not None
    del model
    gc.collect()
    assert compiled() is None


def test_torch_reads_what_openvino_would_not(monkeypatch):
    model, encoded = make(), texts()
    assert openvino_reader(model, encoded) is not None
    few = Encoded.from_lists([[1, 2, 3], [4, 5, 6]])
    assert openvino_reader(model, few) is None
    assert openvino_reader(model, Encoded.from_lists([])) is None
    assert openvino_reader(model, Encoded.from_lists([[1] * 10, []])) is None
    assert openvino_reader(model, texts(longest=POSITIONS + 1)) is None
    assert openvino_reader(make().bfloat16(), encoded) is None
    assert openvino_reader(make().to("meta"), encoded) is None
    sizes = {"vocabulary_size": WORDS, "width": 12, "layers": 1, "heads": 2, "feed_forward": 8}
    assert openvino_reader(Gpt(GptConfig(**sizes)), encoded) is None
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    assert openvino_reader(model, encoded) is None


def test_a_forked_child_reads_by_torch():
    """OpenVINO's threads stay with the parent, and a child would wait for them for ever."""
    model, encoded = make(), texts()
    assert openvino_reader(model, encoded) is not None
    child = os.fork()
    if not child:
        os._exit(openvino_reader(model, encoded) is not None)
    assert os.waitpid(child, 0)[1] == 0
    assert openvino_reader(model, encoded) is not None


def test_a_signal_is_handled_after_models_were_compiled_and_went():
    """A core of OpenVINO's for each would leave the stack of a core that is no more."""
    program = (
        "import gc, os, signal; from headstart.models.bert import Bert, BertConfig; "
        "from headstart.models.bert_openvino import OpenVinoBert; "
        "sizes = dict(vocabulary_size=9, width=8, layers=1, heads=1, feed_forward=8); "
        "settings = dict(threads=1, bf16=False, first_only=True); "
        "first, second = (OpenVinoBert(Bert(BertConfig(**sizes)), **settings) for _ in range(2)); "
        "del first; gc.collect(); del second; gc.collect(); "
        "signal.signal(signal.SIGTERM, lambda *_: print('handled')); "
        "os.kill(os.getpid(), signal.SIGTERM)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)  # noqa: PLW1510
    assert (done.returncode, done.stdout, done.stderr) == (0, "handled\n", "")


def test_nobody_is_told_of_it():
    """OpenVINO's own import sends its maker an event, through a package that is kept out."""
    program = (
        "import sys; from headstart.models.bert_openvino import _import_openvino as get; "
        "ov = get(); assert ov.Core().available_devices; "
        "print(*(name for name in sys.modules if name.startswith('openvino_telemetry'))); "
        "assert get() is ov; import openvino_telemetry"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)  # noqa: PLW1510
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")
