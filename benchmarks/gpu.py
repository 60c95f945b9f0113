"""What a GPU changes: pretraining of BERT and GPT and encoding with BERT, on the CPU and a GPU.

Pretraining is that of `hs.pretrain`: its own loop on batches of Wikipedia, including the time to
make them. The arms add one change after the other: the GPU alone, in float32 with plain attention
and the default number of rows per step; products in bfloat16; fused attention, which is headstart's
default on a GPU; 64 rows per step, and 256; and `torch.compile` for the blocks, which headstart
does not use. Printed are tokens per wall-clock second, without the first steps and without
validation, the share of the rate of one large bfloat16 product that the model's products use, and
the peak of the GPU's memory. `transformers` is its own model of the same sizes, if the library is
installed: bfloat16, its fused attention, fused AdamW, the same number of rows, all full and made
beforehand.

Reading is encoding as in `probe` and `predict --bf16`: 4,000 paragraphs of up to 128 tokens, in
bfloat16.

    python benchmarks/gpu.py --sizes mini base
"""

import argparse
import importlib.util
import itertools
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch

from harness import ROOT, SHARED
from public_data import articles

DOCUMENTS, VOCABULARY, TOKENS = 1000, 8192, 128
WARM_UP = 5  # steps
PARAGRAPHS = 4000
THEIR_ROWS = (64, 256)
SQUARE = 8192  # side of the large product
CPU, GPU = torch.device("cpu"), torch.device("cuda")
ARMS: dict[str, dict[str, Any]] = {  # each adds to the one before
    "cpu": {"device": CPU},
    "gpu, float32": {"device": GPU, "bf16": False, "plain": True},
    "bfloat16": {"bf16": True},
    "fused attention": {"plain": False},
    "64 rows": {"rows": 64},
    "256 rows": {"rows": 256},
    "compiled": {"compiled": True},
}


def matrix_rate() -> float:
    """Return the operations per second of one large bfloat16 product on the GPU."""
    a, b = (torch.randn(SQUARE, SQUARE, device=GPU, dtype=torch.bfloat16) for _ in range(2))
    seconds = seconds_of(lambda: a @ b)
    return 2 * SQUARE**3 / seconds


def seconds_of(work: Callable[[], object], times: int = 20) -> float:
    """Return the seconds of one call on the GPU, after three that are not timed."""
    for _ in range(3):
        work()
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(times):
        work()
    torch.cuda.synchronize()
    return (time.perf_counter() - began) / times


@contextmanager
def attention(*, plain: bool) -> Iterator[None]:
    """Make PyTorch compute attention by plain products within the context, if `plain`."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    with sdpa_kernel(SDPBackend.MATH) if plain else ExitStack():
        yield


class Corpus:
    """Wikipedia, encoded for each method with a tokenizer trained on it."""

    def __init__(self, data: Path, folder: Path) -> None:
        from headstart.tokenize.documents import encode_documents
        from headstart.tokenize.subwords import SubwordTokenizer

        self.texts = articles(data, "train")[:DOCUMENTS]
        self.of: dict[str, Any] = {}
        for method, kind in (("bert", "wordpiece"), ("gpt", "bpe")):
            tokenizer = SubwordTokenizer.train(
                lambda: iter(self.texts),
                kind=kind,
                vocabulary_size=VOCABULARY,
                lowercase=method == "bert",
            )
            (folder / method).mkdir()
            documents = encode_documents(
                iter(self.texts), tokenizer, folder / method, by_sentence=method == "bert"
            )
            self.of[method] = tokenizer, documents


def new_model(method: str, size: str) -> Any:  # noqa: ANN401 - a Bert or a Gpt
    from headstart.hub.pretraining import SIZES
    from headstart.models.bert import Bert, BertConfig
    from headstart.models.gpt import Gpt, GptConfig

    layers, width, heads, feed_forward = SIZES[size]
    sizes = {
        "vocabulary_size": VOCABULARY,
        "width": width,
        "layers": layers,
        "heads": heads,
        "feed_forward": feed_forward,
        "positions": TOKENS,
    }
    fresh = torch.Generator().manual_seed(0)
    if method == "bert":
        return Bert(BertConfig(**sizes), generator=fresh)
    return Gpt(GptConfig(**sizes), generator=fresh)


def pretraining(
    method: str, size: str, corpus: Corpus, settings: dict[str, Any], seconds: float
) -> dict[str, float]:
    """Pretrain for some seconds and return tokens per second and further figures."""
    from torch.utils.flop_counter import FlopCounterMode

    from headstart.devices import one_ahead
    from headstart.pretrain import causal_lm, masked_lm
    from headstart.training.loop import train
    from headstart.training.optimizers import OPTIMIZERS
    from headstart.training.precision import has_fast_bf16

    tokenizer, documents = corpus.of[method]
    device: torch.device = settings["device"]
    model = new_model(method, size).to(device).train()
    own: dict[str, Any] = {"tokens_per_row": TOKENS}
    if rows := settings.get("rows"):
        own |= {"rows_per_step": rows, "rows_at_once": rows}
    given: Any = model, documents, tokenizer
    objective: Any = (
        masked_lm.Objective(*given, masked_lm.MaskedLm(**own), seed=0)
        if method == "bert"
        else causal_lm.Objective(*given, causal_lm.CausalLm(**own), seed=0)
    )
    if settings.get("compiled"):
        for block in model.blocks:
            block.compile()
    bf16 = settings.get("bf16", has_fast_bf16(device))
    read = 0

    def loss(batch: Any) -> tuple[torch.Tensor, torch.Tensor]:  # noqa: ANN401 - of either
        nonlocal read
        read += objective.tokens(batch)
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            return objective.loss(batch)

    batches = objective.batches(1)
    optimizer = OPTIMIZERS[getattr(objective.settings, "optimizer", "adamw")]
    steps = train(
        batches if device == CPU else one_ahead(batches),
        loss,
        optimizer(model, learning_rate=1e-4),
        schedule=lambda step: 1.0,
        seed=0,
    )
    with attention(plain=bool(settings.get("plain"))):
        began = time.perf_counter()
        for _ in range(WARM_UP):
            next(steps)
        warm, read = time.perf_counter() - began, 0
        if device == GPU:
            torch.cuda.reset_peak_memory_stats()
        began = time.perf_counter()
        while time.perf_counter() - began < seconds:
            next(steps)  # waits for the loss
        found = {
            "tokens_per_second": read / (time.perf_counter() - began),
            "first_seconds": warm,
        }
    steps.close()
    if device == GPU:
        found["megabytes"] = torch.cuda.max_memory_allocated() / 1e6
        plain, batch = new_model(method, size).to(GPU), next(objective.batches(1))[0]
        objective.model = plain  # operations of a compiled model are not counted
        with FlopCounterMode(display=False) as counter, attention(plain=True):
            objective.loss(batch)[0].backward()
        found["operations"] = counter.get_total_flops() / objective.tokens(batch)
    return found


def transformers_pretraining(method: str, size: str, rows: int, seconds: float) -> float:
    """Return tokens per second of transformers' own model, on rows made beforehand."""
    import transformers

    from headstart.hub.pretraining import SIZES

    layers, width, heads, feed_forward = SIZES[size]
    torch.manual_seed(0)
    if method == "bert":
        config: Any = transformers.BertConfig(
            vocab_size=VOCABULARY,
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            intermediate_size=feed_forward,
            max_position_embeddings=TOKENS,
        )
        model: Any = transformers.BertForPreTraining(config).to(GPU)
    else:
        config = transformers.GPT2Config(
            vocab_size=VOCABULARY,
            n_embd=width,
            n_layer=layers,
            n_head=heads,
            n_inner=feed_forward,
            n_positions=TOKENS,
        )
        model = transformers.GPT2LMHeadModel(config).to(GPU)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    ids = torch.randint(VOCABULARY, (rows, TOKENS), device=GPU)
    labels = ids.clone()
    given: dict[str, Any] = {"input_ids": ids, "labels": labels}
    if method == "bert":
        labels[torch.rand(rows, TOKENS, device=GPU) > 0.15] = -100
        given["next_sentence_label"] = torch.randint(2, (rows,), device=GPU)
        given["attention_mask"] = torch.ones_like(ids)

    def step() -> None:
        with torch.autocast("cuda", torch.bfloat16):
            loss = model(**given).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()

    return rows * TOKENS / seconds_of(step, max(5, int(seconds / seconds_of(step, 3))))


def reading(size: str, corpus: Corpus, device: torch.device) -> float:
    """Return the texts per second that a BERT encodes."""
    from headstart.hub.language_models import PretrainedBert
    from headstart.transfer.features import quick_reading, text_states

    tokenizer, _ = corpus.of["bert"]
    encoder = PretrainedBert.of(new_model("bert", size).to(device), tokenizer, lineage={})
    lines = [line for text in corpus.texts for line in text.splitlines()]
    texts = lines[: PARAGRAPHS if device == GPU else PARAGRAPHS // 8]
    with quick_reading():
        text_states(encoder, texts[:100], max_tokens=TOKENS)
        began = time.perf_counter()
        text_states(encoder, texts, max_tokens=TOKENS)
        return len(texts) / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--methods", nargs="+", choices=("bert", "gpt"), default=("bert", "gpt"))
    parser.add_argument("--sizes", nargs="+", default=("mini", "base"))
    parser.add_argument("--arms", nargs="+", choices=tuple(ARMS), default=tuple(ARMS))
    parser.add_argument("--seconds", type=float, default=5.0, help="seconds of training per figure")
    parser.add_argument("--data", type=Path, default=SHARED / "data")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("skipped: PyTorch finds no GPU")
        return
    rate = matrix_rate()
    found: list[dict[str, Any]] = []

    def tell(line: str, **figures: Any) -> None:  # noqa: ANN401 - plain values
        print(line, flush=True)
        found.append(figures)
        arguments.results.mkdir(parents=True, exist_ok=True)
        about = {"gpu": torch.cuda.get_device_name(), "product": rate, "figures": found}
        (arguments.results / "gpu.json").write_text(json.dumps(about, indent=1))

    print(f"{torch.cuda.get_device_name()}: one large product {rate / 1e12:,.0f} TFLOP/s")
    with tempfile.TemporaryDirectory() as name:
        corpus = Corpus(arguments.data, Path(name))
        for method, size in itertools.product(arguments.methods, arguments.sizes):
            what = {"method": method, "size": size}
            settings: dict[str, Any] = {}
            for arm, more in ARMS.items():
                settings = {**settings, **more}
                if arm not in arguments.arms:
                    continue
                figures = pretraining(method, size, corpus, settings, arguments.seconds)
                speed = figures["tokens_per_second"]
                tell(
                    f"{method} {size:5} {arm:16}{speed:12,.0f} tokens/s"
                    f"{figures.get('operations', 0) * speed / rate:8.1%}"
                    f"{figures.get('megabytes', 0):10,.0f} MB"
                    f"{figures['first_seconds']:8.1f} s for the first {WARM_UP} steps",
                    **what,
                    arm=arm,
                    **figures,
                )
            if importlib.util.find_spec("transformers") is None:
                continue
            for rows in THEIR_ROWS:
                speed = transformers_pretraining(method, size, rows, arguments.seconds)
                line = f"{method} {size:5} transformers, {rows} rows {speed:12,.0f} tokens/s"
                tell(line, **what, transformers=rows, tokens_per_second=speed)
        for size, device in itertools.product(arguments.sizes, (CPU, GPU)):
            speed = reading(size, corpus, device)
            line = f"reading {size:5} {device.type:5}{speed:10,.0f} texts/s"
            tell(line, reading=size, device=device.type, texts_per_second=speed)


if __name__ == "__main__":
    main()
