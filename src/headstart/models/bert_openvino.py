"""BERT inference with OpenVINO: the same hidden states in three quarters of the time, on a CPU.

OpenVINO is the optional extra `openvino`; without it, torch is used. Each thread computes its own
batches one by one. All texts of a batch have the same length, so nothing is padded or masked.

Shapes: N texts, T tokens, D width, H heads, K head width.
"""

import functools
import importlib.util
import os
import sys
from collections import deque
from collections.abc import Iterator
from threading import Event
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from headstart.models.attention import compute_dtype
from headstart.models.bert import Bert
from headstart.models.packed_weights import version
from headstart.tokenize.batches import Encoded, Rows

_LEAST_TOKENS = 4096  # with fewer, torch finishes before a graph is compiled
_TOKENS_AT_ONCE = 1024
_REQUESTS = 2  # per thread: while one is computed, the next is prepared


def openvino_reader(
    model: object, encoded: Encoded, *, first_only: bool = False
) -> "OpenVinoBert | None":
    """Return an OpenVINO copy of the model if it encodes these texts faster, else None.

    OpenVINO, where it is installed, is used for a float32 BERT on a CPU; products are in bfloat16
    if autocast is on. The model is compiled once, and again after its weights change.

    Args:
        model: The model.
        encoded: The texts.
        first_only: Whether only the state of each text's first token is needed.
    """
    lengths = encoded.lengths
    if not isinstance(model, Bert) or len(encoded.ids) < _LEAST_TOKENS:
        return None
    weights = list(model.parameters())
    usual = all(each.device.type == "cpu" and each.dtype == torch.float32 for each in weights)
    fits = lengths.min() > 0 and lengths.max() <= model.config.positions
    missing = _LEFT_BEHIND.is_set() or importlib.util.find_spec("openvino") is None
    if missing or not (usual and fits):
        return None
    state = (
        torch.get_num_threads(),
        compute_dtype(weights[0]) == torch.bfloat16,
        [(each.data_ptr(), version(each)) for each in weights],
    )
    known = _COMPILED.setdefault(model, {})
    if first_only not in known or known[first_only][0] != state:
        threads, bf16, _ = state
        known[first_only] = state, OpenVinoBert(model, threads, bf16=bf16, first_only=first_only)
    return known[first_only][1]


class OpenVinoBert:
    """A BERT compiled for this CPU, with its current weights.

    Args:
        model: The model.
        threads: Number of threads.
        bf16: Whether to multiply in bfloat16.
        first_only: Whether to compute only the first token's last hidden state.
    """

    def __init__(self, model: Bert, threads: int, *, bf16: bool, first_only: bool) -> None:
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": threads,
            "ENABLE_CPU_PINNING": False,  # pinning would put two processes on one core
            "INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32",
        }
        graph = _graph(_import_openvino(), model, first_only=first_only)
        self._compiled = _core().compile_model(graph, "CPU", settings)
        self._requests = _REQUESTS * threads
        self._segments = model.config.segments > 1

    def read(self, encoded: Encoded) -> Iterator[tuple[Rows, NDArray[np.float32]]]:
        """Yield the rows of each batch of texts with their vectors, until all are encoded.

        A vector concatenates the max, mean, first and last of a text's last hidden states
        `[rows, 4 * D]`, or is the first state alone `[rows, D]`.
        """
        free = [self._compiled.create_infer_request() for _ in range(self._requests)]
        computing: deque[tuple[Any, Rows]] = deque()
        for rows in _of_one_length(encoded.lengths):
            if not free:
                yield _finish(computing, free)
            request = free.pop()
            request.start_async(self._inputs(encoded, rows))
            computing.append((request, rows))
        while computing:
            yield _finish(computing, free)

    def _inputs(self, encoded: Encoded, rows: Rows) -> list[NDArray[np.int32]]:
        places = np.arange(encoded.lengths[rows[0]])
        ids_NT = encoded.ids[encoded.offsets[rows][:, None] + places]
        segments_NT = np.zeros_like(ids_NT)
        if self._segments and encoded.seconds is not None:
            segments_NT[:] = places >= encoded.seconds[rows][:, None]
        return [ids_NT, segments_NT]


_COMPILED: WeakKeyDictionary[Bert, dict[bool, tuple[Any, OpenVinoBert]]] = WeakKeyDictionary()
_LEFT_BEHIND = Event()


def _after_fork() -> None:
    """Fall back to torch: OpenVINO would wait for threads that only the parent process has."""
    if "openvino" in sys.modules:
        _LEFT_BEHIND.set()


os.register_at_fork(after_in_child=_after_fork)


def _finish(
    computing: deque[tuple[Any, Rows]], free: list[Any]
) -> tuple[Rows, NDArray[np.float32]]:
    request, rows = computing.popleft()
    request.wait()
    free.append(request)
    return rows, request.get_output_tensor(0).data.copy()


def _of_one_length(lengths: Rows) -> Iterator[Rows]:
    """Split all texts into batches of one text length each, the longest first."""
    order = np.argsort(-lengths, kind="stable")
    for same in np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1):
        at_once = max(1, _TOKENS_AT_ONCE // int(lengths[same[0]]))
        for start in range(0, len(same), at_once):
            yield same[start : start + at_once]


@functools.cache
def _core() -> Any:  # noqa: ANN401 - an optional dependency
    """Return the only core, which lives as long as the process.

    Each core installs a stack for signal handlers. If there were two, the last one destroyed would
    restore the stack of the first, which no longer exists, and the next signal would end the
    process.
    """
    return _import_openvino().Core()


def _import_openvino() -> Any:  # noqa: ANN401 - an optional dependency
    """Import OpenVINO without its telemetry package, which reports every import."""
    telemetry = "openvino_telemetry"
    if telemetry in sys.modules:
        import openvino
    else:
        sys.modules[telemetry] = None  # type: ignore[assignment]
        try:
            import openvino
        finally:
            del sys.modules[telemetry]
    return openvino


def _graph(openvino: Any, model: Bert, *, first_only: bool) -> Any:  # noqa: ANN401 - an optional dependency
    """Express the model in OpenVINO operators; weights are shared, not copied."""
    ops = openvino.opset13
    ids, segments = (ops.parameter([-1, -1], np.int32) for _ in range(2))
    first, last, one = (ops.constant(np.int64(each)) for each in (0, -1, 1))
    begin, step = ops.constant(np.array([0])), ops.constant(np.array([1]))

    def learnt(weight: Tensor) -> Any:  # noqa: ANN401
        return ops.constant(weight.detach().numpy(), shared_memory=True)

    def linear(x: Any, layer: nn.Linear) -> Any:  # noqa: ANN401
        product = ops.matmul(x, learnt(layer.weight), False, True)  # noqa: FBT003
        return ops.add(product, learnt(layer.bias))

    def norm(x: Any, layer: nn.LayerNorm) -> Any:  # noqa: ANN401
        axis = ops.constant(np.array([-1]))
        normed = ops.mvn(x, axis, True, layer.eps, "inside_sqrt")  # noqa: FBT003
        return ops.add(ops.multiply(normed, learnt(layer.weight)), learnt(layer.bias))

    def block(x: Any, looking: Any, layer: Any) -> Any:  # noqa: ANN401
        """Return the next states of the tokens `looking`, which attend to `x`."""
        heads = ops.constant(np.array([0, 0, layer.num_heads, model.width // layer.num_heads]))
        joined = ops.constant(np.array([0, 0, model.width]))
        swapped = ops.constant(np.array([0, 2, 1, 3]))
        q, k, v = (
            ops.transpose(ops.reshape(linear(read, each), heads, True), swapped)  # noqa: FBT003
            for read, each in ((looking, layer.query), (x, layer.key), (x, layer.value))
        )
        mixed = ops.transpose(ops.scaled_dot_product_attention(q, k, v), swapped)
        mixed = linear(ops.reshape(mixed, joined, True), layer.out)  # noqa: FBT003
        looking = norm(ops.add(looking, mixed), layer.attention_norm)
        thought = linear(ops.gelu(linear(looking, layer.up), "erf"), layer.down)
        return norm(ops.add(looking, thought), layer.feed_forward_norm)

    tables = model.embeddings
    tokens = ops.gather(ops.shape_of(ids), step, first)
    positions = ops.slice(learnt(tables.positions.weight), begin, tokens, step, begin)
    x = ops.add(ops.gather(learnt(tables.tokens.weight), ids, first), positions)
    x = norm(ops.add(x, ops.gather(learnt(tables.segments.weight), segments, first)), tables.norm)
    *lower, top = model.blocks
    for each in lower:
        x = block(x, x, each)
    if first_only:
        of_first = block(x, ops.gather(x, begin, one), top)
        return openvino.Model([ops.gather(of_first, first, one)], [ids, segments], "first")
    x = block(x, x, top)
    found = [ops.reduce_max(x, one), ops.reduce_mean(x, one)]
    found += [ops.gather(x, place, one) for place in (first, last)]
    return openvino.Model([ops.concat(found, -1)], [ids, segments], "summaries")
