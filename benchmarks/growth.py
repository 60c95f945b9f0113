"""How time and memory grow with the text: 1, 4 and 16 times as much, with the same vocabulary.

`time` is the CPU time of one epoch on one thread, from reading the text to the encoder. If it is
linear, 16 times the text takes 16 times as long. `memory` is the peak memory of the process itself,
in MB, while it reads and encodes the text and trains on a little of it. If it is flat, it is the
same at all scales. Pages of memory-mapped files are not counted: they are the system's cache, which
it reclaims when needed. Each figure is from a process of its own. Times are measured in `--rounds`
rounds over all scales, and the minimum counts, because a virtual machine's speed changes. Linux
only.

    python benchmarks/growth.py
    python benchmarks/growth.py --part memory --jobs bert predict
"""

import argparse
import json
import math
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from harness import ROOT, SHARED
from public_data import articles, sst2

SCALES = (1, 4, 16)
PARTS = ("time", "memory")
MODELS = ("gpt", "bert", "elmo")
JOBS = ("word2vec", "counts", "glove", *MODELS, "cove", "predict")
CHARACTERS = {  # of the text at 1x
    "time": {"word2vec": 2_000_000, "counts": 4_000_000, "glove": 2_000_000, "cove": 100_000}
    | dict.fromkeys(MODELS, 120_000),
    "memory": dict.fromkeys(JOBS, 4_000_000),
}
ROWS = 62_500  # to predict at 1x; a million at 16x
STEPS = 20  # of a model whose memory is measured


def write_text(path: Path, texts: list[str], times: int) -> None:
    with path.open("w", encoding="utf-8") as file:
        for _ in range(times):
            file.writelines(json.dumps({"text": text}) + "\n" for text in texts)


def vectors(job: str, part: str, path: Path, tokenizer: Path) -> None:
    """Train word2vec or GloVe for one epoch, or only count, as `hs.pretrain` does."""
    import headstart as hs
    from headstart.data.corpora import read_corpus
    from headstart.hub.bundle import load_tokenizer
    from headstart.pretrain import cooccurrence
    from headstart.tokenize.encoded import encode_corpus

    del part
    if job != "counts":
        hs.pretrain(job, path, tokenizer=tokenizer, epochs=1, threads=1)
        return
    with tempfile.TemporaryDirectory() as name:
        texts = read_corpus(path).texts()
        corpus = encode_corpus(texts, load_tokenizer(tokenizer), Path(name))
        cooccurrence.count(corpus, Path(name), window=10, threads=1)


def model(job: str, part: str, path: Path, tokenizer: Path) -> None:
    """Train a tiny model for one epoch, or for some steps if memory is measured."""
    import headstart as hs

    budget = {"epochs": 1} if part == "time" else {"steps": STEPS}
    hs.pretrain(job, path, size="tiny", tokenizer=tokenizer, threads=1, **budget)


def translation(job: str, part: str, path: Path, tokenizer: Path) -> None:
    """Train a tiny CoVe for one epoch to repeat its input sentences."""
    import headstart as hs

    del part
    lines = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    sentences = [each for line in lines for each in line["text"].split(". ") if each]
    pairs = [(each, each) for each in sentences]
    words = hs.pretrain("glove", sentences, tokenizer=tokenizer, size="tiny", epochs=1, threads=1)
    hs.pretrain(job, parallel=pairs, vectors=words, size="tiny", epochs=1, threads=1)


def prediction(job: str, part: str, path: Path, tokenizer: Path) -> None:
    """Predict the rows of a file with a fitted classifier and write them to another."""
    import headstart as hs
    from headstart.serve.predictor import predict_file

    del job, part, tokenizer
    classifier = hs.load(path.parent / "classifier")
    predict_file(classifier, path, path.with_suffix(".out.csv"))


WORK: dict[str, Callable[[str, str, Path, Path], None]] = (
    dict.fromkeys(("word2vec", "counts", "glove"), vectors)
    | dict.fromkeys(MODELS, model)
    | {"cove": translation, "predict": prediction}
)


def own_megabytes() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) * 1024 / 1e6


def watched(work: Callable[[], None]) -> dict[str, float]:
    """Run `work`; return its CPU time and its peak memory, sampled every 10 ms."""
    done, most = threading.Event(), own_megabytes()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.01):
            most = max(most, own_megabytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.process_time()
    try:
        work()
    finally:
        done.set()
        watcher.join()
    return {"time": time.process_time() - began, "memory": most}


def measured(job: str, part: str, path: Path, warm_up: Path, tokenizer: Path) -> float:
    """Return the figure of a part, after a warm-up that compiles and imports."""
    import torch

    torch.set_num_threads(1)
    work = WORK[job]
    work(job, "memory", warm_up, tokenizer)
    return watched(partial(work, job, part, path, tokenizer))[part]


def prepare(job: str, part: str, folder: Path, data: Path) -> tuple[Path, Path]:
    """Write the text of every scale; return a small text for warming up, and the tokenizer."""
    from headstart.transfer.estimators import TextClassifier

    tokenizer, little = folder / "tokenizer.json", folder / "little.jsonl"
    if job == "predict":
        texts, labels = sst2(data, "train")
        TextClassifier(transfer="tfidf").fit(texts[:500], labels[:500]).save(folder / "classifier")
        texts = (texts * (ROWS // len(texts) + 1))[:ROWS]
    else:
        everything = articles(data, "train")
        characters, count = CHARACTERS[part][job], 0
        while characters > 0:
            characters -= len(everything[count])
            count += 1
        texts = everything[:count]
        tokenizer.write_text(learnt(job, texts))
    for scale in SCALES:
        write_text(folder / f"{scale}.jsonl", texts, scale)
    write_text(little, texts[:12], 1)
    return little, tokenizer


def learnt(job: str, texts: list[str]) -> str:
    """Return the tokenizer of the 1x text, as saved JSON."""
    from headstart.tokenize.subwords import SubwordTokenizer
    from headstart.tokenize.words import WordTokenizer

    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "tokenizer.json")
        if job in {"gpt", "bert"}:
            kind = "bpe" if job == "gpt" else "wordpiece"
            SubwordTokenizer.train(texts, kind=kind, vocabulary_size=8192).save(path)
        else:
            WordTokenizer.train(texts).save(path)
        return path.read_text(encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", choices=PARTS, help="what to measure; by default both")
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=JOBS)
    parser.add_argument("--rounds", type=int, default=2, help="rounds of times; the minimum counts")
    parser.add_argument("--quick", action="store_true", help="only 1x and 4x")
    parser.add_argument("--data", type=Path, default=SHARED / "data")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks/results")
    arguments = parser.parse_args()
    scales = SCALES[:2] if arguments.quick else SCALES
    spawn = multiprocessing.get_context("spawn")
    path = arguments.results / "growth.json"
    found = json.loads(path.read_text()) if path.exists() else {}
    for part in (arguments.part,) if arguments.part else PARTS:
        for job in arguments.jobs:
            figures = [math.inf] * len(scales)
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                little, tokenizer = prepare(job, part, folder, arguments.data)
                rounds = arguments.rounds if part == "time" else 1
                for at, scale in list(enumerate(scales)) * rounds:
                    text = folder / f"{scale}.jsonl"
                    with ProcessPoolExecutor(1, mp_context=spawn) as process:
                        given = (job, part, text, little, tokenizer)
                        figures[at] = min(figures[at], process.submit(measured, *given).result())
            grown = figures[-1] / figures[0]
            print(
                f"{part:7}{job:9}"
                + "".join(f"{each:9.1f}" for each in figures)
                + f"   {scales[-1]}x / 1x: {grown:.2f}",
                flush=True,
            )
            found.setdefault(part, {})[job] = dict(zip(map(str, scales), figures, strict=True))
    if not arguments.quick:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
