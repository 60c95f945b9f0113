"""Encoding short texts: MiniLM in headstart and in other tools that run it on a CPU.

All encode the same sentences of SST-2 with all-MiniLM-L6-v2 (6 layers, width 384), truncated at 128
tokens, and return the mean of each sentence's hidden states. `headstart` is `TextFeatures` under
`quick_reading`, which multiplies in bfloat16; `headstart-float32` is the same without. Both use
OpenVINO, the extra of that name. `headstart-torch` uses torch, under `quick_reading`. The peers:

- `pipeline`: transformers' feature extraction with its defaults, one text at a time, in float32.
- `sentence-transformers` with its defaults, and `sentence-transformers-bf16`, its weights in
  bfloat16.
- `openvino`: OpenVINO in bfloat16, on batches of similar length that are tokenized together. People
  rarely use it that way, but it is the fastest.

`lowest_cosine` is the lowest cosine between a contender's vectors and those of torch in float32.

    python benchmarks/prediction.py
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import (
    OURS,
    Figures,
    Metric,
    argument_parser,
    by_torch,
    fast_bf16,
    main,
    measure_repeated,
)
from language_model_inputs import folder
from public_data import sst2

MAX_TOKENS, BATCH = 128, 32
SORTED_BATCH, TOKENS_AT_ONCE = 64, 4096  # limits of OpenVINO's batches
Encode = Callable[[Sequence[str]], NDArray[np.float32]]


def texts_of(arguments: argparse.Namespace) -> list[str]:
    return sst2(arguments.data, "train")[0][: arguments.texts]


def expected_file() -> Path:
    return folder("minilm").parent / "minilm-sst2.npy"


def prepare(arguments: argparse.Namespace) -> None:
    from headstart.data.demo import fetch_demo
    from headstart.transfer.text_features import TextFeatures

    texts = texts_of(arguments)
    place = folder("minilm")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    place.symlink_to(arguments.minilm or fetch_demo().minilm)
    with by_torch():
        np.save(expected_file(), TextFeatures(place, max_tokens=MAX_TOKENS).transform(texts))


def contender(make: Callable[[argparse.Namespace], Encode]) -> Callable[..., Figures]:
    """Return a contender that measures the encoder that `make` returns."""

    def figures(arguments: argparse.Namespace) -> Figures:
        import torch

        torch.set_num_threads(arguments.threads)
        texts, encode = texts_of(arguments), make(arguments)
        found = encode(texts)
        timed = measure_repeated(lambda: encode(texts), least_seconds=arguments.seconds)
        expected = np.load(expected_file())
        sizes = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
        return {
            "texts_per_second": len(texts) / timed.seconds,
            "texts_per_cpu_second": len(texts) / timed.cpu_seconds,
            "lowest_cosine": float(((found * expected).sum(1) / sizes).min()),
            "others": timed.others,
        }

    return figures


def ours(arguments: argparse.Namespace) -> Encode:
    from headstart.transfer.features import quick_reading

    exact = ours_in_float32(arguments)

    def encode(texts: Sequence[str]) -> NDArray[np.float32]:
        with quick_reading():
            return exact(texts)

    return encode


def ours_in_float32(arguments: argparse.Namespace) -> Encode:
    from headstart.transfer.text_features import TextFeatures

    del arguments
    features = TextFeatures(folder("minilm"), max_tokens=MAX_TOKENS).fit(["a text"])
    return features.transform


def ours_by_torch(arguments: argparse.Namespace) -> Encode:
    quick = ours(arguments)

    def encode(texts: Sequence[str]) -> NDArray[np.float32]:
        with by_torch():
            return quick(texts)

    return encode


def pipeline(arguments: argparse.Namespace) -> Encode:
    from transformers import pipeline as make_pipeline

    del arguments
    extract = make_pipeline("feature-extraction", model=str(folder("minilm")), device="cpu")
    cut = {"truncation": True, "max_length": MAX_TOKENS}
    return lambda texts: np.stack(
        [np.asarray(each[0], np.float32).mean(0) for each in extract(texts, tokenize_kwargs=cut)]
    )


def sentence_transformers(*, bf16: bool) -> Callable[[argparse.Namespace], Encode]:
    def make(arguments: argparse.Namespace) -> Encode:
        from sentence_transformers import SentenceTransformer

        del arguments
        model = SentenceTransformer(str(folder("minilm")), device="cpu")
        model.max_seq_length = MAX_TOKENS
        if bf16:
            model = model.bfloat16()

        def encode(texts: Sequence[str]) -> NDArray[np.float32]:
            found = model.encode(
                texts, batch_size=BATCH, show_progress_bar=False, convert_to_tensor=True
            )
            return found.float().numpy()

        return encode

    return make


def openvino(arguments: argparse.Namespace) -> Encode:
    import openvino as ov
    import torch
    from tokenizers import Tokenizer
    from transformers import AutoModel

    model = AutoModel.from_pretrained(folder("minilm"))

    class States(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:  # noqa: ANN401
            given = {"input_ids": input_ids, "attention_mask": attention_mask}
            return self.model(**given).last_hidden_state

    ones = torch.ones(3, 11, dtype=torch.long)
    example = {"input_ids": ones, "attention_mask": ones}
    converted = ov.convert_model(States().eval(), example_input=example)
    settings = {
        "INFERENCE_NUM_THREADS": arguments.threads,
        "INFERENCE_PRECISION_HINT": "bf16" if fast_bf16() else "f32",
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = ov.Core().compile_model(converted, "CPU", settings)
    request = compiled.create_infer_request()
    tokenizer = Tokenizer.from_file(str(folder("minilm") / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)

    def encode(texts: Sequence[str]) -> NDArray[np.float32]:
        ids = [encoding.ids for encoding in tokenizer.encode_batch_fast(list(texts))]
        lengths = np.array([len(each) for each in ids])
        found = np.empty((len(ids), model.config.hidden_size), np.float32)
        for rows in _sorted_batches(lengths):
            mask = (np.arange(lengths[rows].max()) < lengths[rows][:, None]).astype(np.int64)
            padded = np.zeros_like(mask)
            padded[mask > 0] = np.concatenate([ids[row] for row in rows])
            states = request.infer({0: padded, 1: mask})[compiled.output(0)]
            found[rows] = (states * mask[..., None]).sum(1) / lengths[rows][:, None]
        return found

    return encode


def _sorted_batches(lengths: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    order, batches, start = np.argsort(-lengths, kind="stable"), [], 0
    while start < len(order):
        size = min(SORTED_BATCH, max(1, TOKENS_AT_ONCE // int(lengths[order[start]])))
        batches.append(order[start : start + size])
        start += size
    return batches


if __name__ == "__main__":
    parser = argument_parser(__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--texts", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=2.0, help="minimum seconds per contender")
    parser.add_argument("--minilm", type=Path, help="folder of the encoder; by default the demo's")
    main(
        "prediction",
        {
            OURS: contender(ours),
            "headstart-float32": contender(ours_in_float32),
            "headstart-torch": contender(ours_by_torch),
            "pipeline": contender(pipeline),
            "sentence-transformers": contender(sentence_transformers(bf16=False)),
            "sentence-transformers-bf16": contender(sentence_transformers(bf16=True)),
            "openvino": contender(openvino),
        },
        [
            Metric("texts_per_second"),
            Metric("texts_per_cpu_second"),
            Metric("lowest_cosine", "difference"),
        ],
        parser,
        prepare=prepare,
        ours=(OURS, "headstart-float32", "headstart-torch"),
        quick={"texts": 128, "seconds": 0.0},
    )
