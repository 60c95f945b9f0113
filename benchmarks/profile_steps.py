"""Profile the steps of a job, and measure how much of the machine's matrix rate they use.

The jobs are:

- `bert`, `gpt`: training steps of the mini models as in `hs.pretrain`, except that GPT has eight
  rows and AdamW, because Muon's products are not the model's. `--rows 32` matches
  `bert_pretraining.py`.
- `elmo`, `cove`, `tagging` (a BiLSTM-CRF), `fine-tuning` (on AG News): training steps as in
  `bidirectional_lm.py`, `translation.py`, `tagging_speed.py` and `fine_tuning.py`.
- `tags`: tagging with that BiLSTM-CRF.
- `reading`: encoding short texts with MiniLM as in `prediction.py`.

Prints the shares of the operators' own time, by purpose, and the utilization: the operations of the
matrix products per CPU second, over those of one large bfloat16 product. Both are measured in
alternation on the same threads.

`loops` are word2vec and GloVe, which are compiled loops without operators. Prints what they compute
and the bytes of the vectors they touch per CPU second, and the rates of one large float32 product
and of copying an array larger than any cache.

    python benchmarks/profile_steps.py --threads 1
"""

import argparse
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import SHARED, by_torch
from public_data import articles

if TYPE_CHECKING:
    import torch

    from headstart.pretrain.causal_lm import Batch

PACKED_PRODUCT = "_linear_pointwise"  # with prepacked weights
PARTS = {  # by prefix of an operator's name; the first match counts
    "matrix products": ("mm", "addmm", "linear", "mkldnn_linear", PACKED_PRODUCT),
    "torch's LSTM": ("mkldnn_rnn_layer",),
    "batched products and convolutions": ("bmm", "baddbmm", "convolution", "mkldnn_convolution"),
    "softmax and logarithms": (
        "_softmax",
        "_log_softmax",
        "logsumexp",
        "exp",
        "log",
        "amax",
        "max",
    ),
    "norms, GELU and gates": ("native_layer_norm", "gelu", "sigmoid", "tanh", "relu"),
    "optimizer": ("_fused_adam", "_foreach", "linalg_vector_norm", "stack"),
    "copies and type conversions": (
        "copy_",
        "_to_copy",
        "cat",
        "fill_",
        "zero_",
        "index",
        "gather",
        "embedding",
    ),
    "elementwise additions and products": ("add", "mul", "sub", "div", "sum", "neg", "masked_fill"),
}
DOCUMENTS = 300
WARM_UP, STEPS = 3, 12
JOBS = ("bert", "gpt", "elmo", "cove", "tagging", "fine-tuning", "tags", "reading", "loops")
ROWS_OF_NEWS, SENTENCES = 320, 200
DIM, WINDOW, NEGATIVES, SAMPLE = 100, 5, 5, 1e-3  # settings of word vectors
COPIED = 1 << 27  # bytes
SQUARE = 1024  # side of the large product


Step = Callable[[], int]  # runs a step and returns its number of tokens


def language_model(method: str, arguments: argparse.Namespace, folder: Path) -> Step:
    """Return a step of BERT's or GPT's pretraining."""
    import torch

    from headstart.models.bert import Bert, BertConfig
    from headstart.models.gpt import Gpt, GptConfig
    from headstart.pretrain import causal_lm, masked_lm
    from headstart.tokenize.documents import encode_documents
    from headstart.tokenize.subwords import SubwordTokenizer
    from headstart.training.loop import train
    from headstart.training.optimizers import adamw
    from headstart.training.precision import has_fast_bf16

    texts = articles(arguments.data, "train")[:DOCUMENTS]
    kind = "wordpiece" if method == "bert" else "bpe"
    tokenizer = SubwordTokenizer.train(texts, kind=kind, vocabulary_size=8192)
    documents = encode_documents(texts, tokenizer, folder, by_sentence=method == "bert")
    fresh = torch.Generator().manual_seed(0)
    sizes = {"vocabulary_size": len(tokenizer.vocabulary), "positions": 128}
    how = {"rows_per_step": arguments.rows}
    objective: Any
    if method == "bert":
        model: Any = Bert(BertConfig(**sizes), generator=fresh)
        settings = masked_lm.MaskedLm(**how)
        objective = masked_lm.Objective(model, documents, tokenizer, settings, seed=0)
    else:
        model = Gpt(GptConfig(**sizes), generator=fresh)
        settings = causal_lm.CausalLm(**how)
        objective = causal_lm.Objective(model, documents, tokenizer, settings, seed=0)
    taken: list[int] = []

    def loss(batch: "Batch") -> tuple["torch.Tensor", "torch.Tensor"]:
        taken.append(objective.tokens(batch))
        with torch.autocast("cpu", torch.bfloat16, enabled=has_fast_bf16(torch.device("cpu"))):
            return objective.loss(batch)

    run = train(
        objective.batches(1), loss, adamw(model, learning_rate=1e-4), schedule=lambda _: 1.0, seed=0
    )

    def step() -> int:
        taken.clear()
        next(run)
        return sum(taken)

    return step


def elmo(arguments: argparse.Namespace) -> Step:
    """Return a step of ELMo's pretraining, as `bidirectional_lm.py` takes it."""
    from bidirectional_lm import ROWS, WORDS, our_training

    given = {"articles": DOCUMENTS, "rate": 1e-3, "seed": 0}
    trained = our_training(argparse.Namespace(**vars(arguments), **given))
    return lambda: (trained.step(), ROWS * WORDS)[1]


def cove(arguments: argparse.Namespace) -> Step:
    """Return a step of CoVe's pretraining, as `translation.py` takes it."""
    import torch

    from headstart.training.loop import train
    from headstart.training.optimizers import adamw
    from headstart.training.precision import quick_products
    from translation import objective

    given = {"width": 100, "hidden": 300, "steps": WARM_UP + 4 * STEPS, "seed": 0}
    own = objective(argparse.Namespace(**vars(arguments), **given))
    taken: list[int] = []

    def loss(batch: Any) -> tuple["torch.Tensor", "torch.Tensor"]:  # noqa: ANN401 - translation's
        taken.append(own.tokens(batch))
        with quick_products(torch.device("cpu")):
            return own.loss(batch)

    optimizer = adamw(own.model, learning_rate=1e-4)
    run = train(own.batches(1), loss, optimizer, schedule=lambda _: 1.0, seed=0)
    return lambda: (taken.clear(), next(run), sum(taken))[2]


def tagging(arguments: argparse.Namespace, *, trained: bool) -> Step:
    """Return a step of training a BiLSTM-CRF, or of tagging sentences with one."""
    import numpy as np

    from headstart.transfer.neural import train_steps
    from tagging_speed import BATCH, our_start, read

    given = argparse.Namespace(**vars(arguments), sentences=2000, seed=0)
    start, rows = our_start("words", given), np.arange(2000)
    tagger = start.fresh(rows)
    run = train_steps(start, tagger, rows, 10_000, schedule=lambda step: 1.0)
    if not trained:
        words = round(BATCH * float(start.given.lengths.mean()))
        return lambda: (next(run), words)[1]
    next(run)
    fitted, (_, (unseen, _)) = start.fitted(tagger.eval()), read(given)
    unseen = unseen[:256]
    return lambda: (fitted.predict(unseen), sum(map(len, unseen)))[1]


def fine_tuning(arguments: argparse.Namespace, folder: Path) -> Step:
    """Return a step of fine-tuning a mini BERT on AG News, as `fine_tuning.py` takes it."""
    import numpy as np
    import torch

    from fine_tuning import BATCH, start_of
    from headstart.hub.language_models import PretrainedBert
    from headstart.models.bert import Bert, BertConfig
    from headstart.tokenize.subwords import SubwordTokenizer
    from headstart.transfer.neural import train_steps

    texts = articles(arguments.data, "train")[:DOCUMENTS]
    tokenizer = SubwordTokenizer.train(texts, kind="wordpiece", vocabulary_size=8192)
    config = BertConfig(vocabulary_size=len(tokenizer.vocabulary), positions=128)
    model = Bert(config, generator=torch.Generator().manual_seed(0))
    encoder = PretrainedBert.of(model, tokenizer, lineage={})
    given = argparse.Namespace(**vars(arguments), agnews=ROWS_OF_NEWS, seed=0)
    start = start_of("agnews", encoder, given)
    rows = np.arange(ROWS_OF_NEWS)
    run = train_steps(start, start.fresh(rows), rows, 10_000, schedule=lambda step: 1.0)
    tokens = round(BATCH * float(start.encoded.lengths.mean()))
    return lambda: (next(run), tokens)[1]


def reading(arguments: argparse.Namespace) -> Step:
    """Return a step that encodes SST-2 sentences with MiniLM in torch, as `prediction.py` does."""
    from headstart.data.demo import fetch_demo
    from headstart.hub.store import load_encoder
    from headstart.transfer.features import quick_reading, text_states
    from public_data import sst2

    encoder = load_encoder(fetch_demo().minilm)
    texts = sst2(arguments.data, "train")[0][:SENTENCES]
    tokens = int(encoder.inputs(texts, 128)[0].lengths.sum())

    def step() -> int:
        with by_torch(), quick_reading():
            text_states(encoder, texts, max_tokens=128)
        return tokens

    return step


def step_of(job: str, arguments: argparse.Namespace, folder: Path) -> Step:
    match job:
        case "bert" | "gpt":
            return language_model(job, arguments, folder)
        case "elmo":
            return elmo(arguments)
        case "cove":
            return cove(arguments)
        case "tagging" | "tags":
            return tagging(arguments, trained=job == "tags")
        case "fine-tuning":
            return fine_tuning(arguments, folder)
    return reading(arguments)


def matrix_rate() -> float:
    """Return the operations per CPU second of one large bfloat16 product, from forty calls."""
    import torch

    square = torch.randn(SQUARE, SQUARE, dtype=torch.bfloat16)
    square @ square
    began = time.process_time()
    for _ in range(40):
        square @ square
    return 40 * 2 * SQUARE**3 / (time.process_time() - began)


def loops(arguments: argparse.Namespace) -> None:
    """Print what the loops of word2vec and GloVe compute and touch per CPU second."""
    import numpy as np
    import torch

    from headstart.budget import Budget
    from headstart.pretrain import glove, skip_gram
    from headstart.tokenize.encoded import encode_corpus
    from headstart.tokenize.words import WordTokenizer

    square = torch.randn(SQUARE, SQUARE)
    source = np.random.default_rng(0).random(COPIED // 8)
    target = np.empty_like(source)
    product, copy = (
        _rate(work)
        for work in (
            lambda: (square @ square, 2 * SQUARE**3)[1],
            lambda: (np.copyto(target, source), 2 * COPIED)[1],
        )
    )
    print(f"\none float32 product {product / 1e9:.0f} GFLOP/s, copying {copy / 1e9:.1f} GB/s")
    lines = articles(arguments.data, "train")[: 4 * DOCUMENTS]
    tokenizer = WordTokenizer.train(lines, min_count=5, split="whitespace")
    with tempfile.TemporaryDirectory() as name:
        corpus = encode_corpus(lines, tokenizer, Path(name))
        shares = corpus.counts[corpus.counts > 0] / corpus.counts.sum()
        kept = np.minimum(1.0, np.sqrt(SAMPLE / shares) + SAMPLE / shares)
        contexts = (WINDOW + 1) * float((shares * kept).sum())  # per word of the text
        settings = skip_gram.SkipGram(dim=DIM, window=WINDOW, negatives=NEGATIVES, sample=SAMPLE)

        def words() -> int:
            skip_gram.train(corpus, settings, budget=Budget(epochs=1), threads=arguments.threads)
            return int(corpus.counts.sum())

        words()
        speed = _rate(words, least_seconds=10)
        pairs = speed * contexts * (1 + NEGATIVES)
        _tell("word2vec", f"{speed:,.0f} words", pairs, 6 * DIM, 16 * DIM, product)
        fitting = glove.GloVe(dim=DIM, window=WINDOW)
        reports = [
            glove.train(corpus, fitting, budget=Budget(epochs=each), threads=arguments.threads)
            for each in (1, 6)
        ]
        # Five more iterations, to exclude reading, counting and loading compiled code.
        seconds = reports[1].report["training_seconds"] - reports[0].report["training_seconds"]
        pairs = 5 * reports[0].report["pairs"] / seconds / arguments.threads
        _tell("GloVe", "", pairs, 14 * DIM, 32 * DIM, product)


def _rate(work: Callable[[], int], least_seconds: float = 2.0) -> float:
    """Return the sum of what calls of `work` return, per CPU second."""
    work()
    began, done = time.process_time(), 0
    while time.process_time() - began < least_seconds:
        done += work()
    return done / (time.process_time() - began)


def _tell(name: str, speed: str, pairs: float, each: int, touched: int, product: float) -> None:
    print(
        f"{name}: {speed}{', ' * bool(speed)}{pairs / 1e6:.1f} million pairs per CPU second: "
        f"{pairs * each / 1e9:.1f} GFLOP/s, {pairs * each / product:.0%} of the product, "
        f"{pairs * touched / 1e9:.1f} GB/s of vectors"
    )


def operations(step: Callable[[], int]) -> float:
    """Return the operations per token of a step's matrix products, including the backward pass."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    def of_packed(x: Any, *_: Any, out_shape: Any, **__: Any) -> int:  # noqa: ANN401 - shapes
        return 2 * math.prod(x) * out_shape[-1]

    def of_lstm(x: Any, own: Any, carried: Any, *_: Any, out_shape: Any, **__: Any) -> int:  # noqa: ANN401 - shapes
        del out_shape
        return 2 * math.prod(x[:2]) * (math.prod(own) + math.prod(carried))

    mapping = {
        getattr(torch.ops.mkldnn, PACKED_PRODUCT): of_packed,
        torch.ops.aten.mkldnn_rnn_layer: of_lstm,
        torch.ops.aten.mkldnn_rnn_layer_backward: lambda *a, **k: 2 * of_lstm(*a, **k),
    }
    with FlopCounterMode(display=False, custom_mapping=mapping) as counter:
        tokens = step()
    return counter.get_total_flops() / tokens


def shares(step: Callable[[], int]) -> tuple[dict[str, float], float]:
    """Return each part's share of the time of some steps, and the share outside operators."""
    import torch

    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        began = time.perf_counter()
        for _ in range(STEPS):
            step()
        seconds = time.perf_counter() - began
    found = dict.fromkeys((*PARTS, "other operators"), 0.0)
    for event in profile.key_averages():
        library, _, name = event.key.partition("::")
        own = event.self_cpu_time_total / 1e6 / seconds
        if library not in {"aten", "mkldnn"}:
            continue
        fitting = (part for part, names in PARTS.items() if name.startswith(names))
        found[next(fitting, "other operators")] += own
    return found, 1 - sum(found.values())


def report(job: str, arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as name:
        step = step_of(job, arguments, Path(name))
        for _ in range(WARM_UP):
            step()
        each = operations(step)
        rates, products = [], []
        for _ in range(arguments.repetitions):
            products.append(matrix_rate())
            began, tokens = time.process_time(), 0
            for _ in range(STEPS):
                tokens += step()
            rates.append(tokens / (time.process_time() - began))
        found, rest = shares(step)
    used = [each * rate / product for rate, product in zip(rates, products, strict=True)]
    print(
        f"\n{job}: {each / 1e6:.1f} MFLOP per token, "
        f"{statistics.median(rates):,.0f} tokens per CPU second"
    )
    print(
        f"  utilization {statistics.median(used):.1%} ({min(used):.1%} to {max(used):.1%}) of "
        f"{statistics.median(products) / 1e9:.0f} GFLOP/s"
    )
    for part, share in sorted(
        [*found.items(), ("no operator: rows, masks, Python", rest)], key=_share
    ):
        print(f"  {share:6.1%}  {part}")


def _share(part: tuple[str, float]) -> float:
    return -part[1]


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=JOBS)
    parser.add_argument("--rows", type=int, default=8, help="rows per step of BERT and GPT")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--data", type=Path, default=SHARED / "data")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for job in arguments.jobs:
        loops(arguments) if job == "loops" else report(job, arguments)


if __name__ == "__main__":
    main()
