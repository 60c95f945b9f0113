"""GloVe: headstart's `pretrain.glove` and Stanford's C programs, on the same words and pairs.

The corpus is tokenized text, one document per line (Wikipedia articles, or `--corpus`). Both keep
the words that occur at least five times, so both find the same pairs (`pairs`). Compared are:

- `counting_words_per_second`: the counter alone. Stanford's `cooccur` also reads text and looks up
  words, which headstart does earlier, when it encodes the corpus. `text_words_per_second` covers
  both: everything from text to counts, the vocabulary included, on both sides.
- `pairs_per_second` of training, without reading, writing and compiling.
- `cost_1`, `cost_2`, ..: the mean cost of each iteration, accumulated during training.
- Spearman correlations with the ratings of the word-similarity files.

Stanford's programs are built from github.com/stanfordnlp/GloVe with its own Makefile (`-O3
-march=native`). `--glove-build` names the folder of the binaries.

    python benchmarks/glove.py --glove-build GloVe/build
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import ROOT, Figures, Metric, argument_parser, main, measure, wikipedia
from headstart.budget import Budget
from headstart.hub.foreign.vectors import read_vectors
from headstart.inspect.word_tests import evaluate_similarity, read_similarity_test
from headstart.models.word_vectors import WordSpace
from headstart.pretrain import glove
from headstart.tokenize.encoded import encode_corpus
from headstart.tokenize.words import WordTokenizer

TESTS = {"wordsim": "EN-WS-353-ALL", "men": "EN-MEN-TR-3k", "simlex": "EN-SIMLEX-999"}
WARM_UP = ["a b c d", "b c d a"]  # compiles the loops, or loads them from the cache


def corpus(arguments: argparse.Namespace) -> Path:
    return arguments.corpus or wikipedia(arguments)


def headstart(arguments: argparse.Namespace) -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        train(WARM_UP, arguments, Path(folder), epochs=1, min_count=1)
    figures: Figures = {}
    with tempfile.TemporaryDirectory() as folder:
        lines = corpus(arguments).read_text().splitlines()
        timed = measure(
            lambda: figures.update(
                train(lines, arguments, Path(folder), arguments.iterations, min_count=5)
            )
        )
    return figures | {"others": timed.others}


def train(
    lines: list[str], arguments: argparse.Namespace, folder: Path, epochs: int, min_count: int
) -> Figures:
    start = time.perf_counter()
    tokenizer = WordTokenizer.train(lines, min_count=min_count, lowercase=False, split="whitespace")
    encoded = encode_corpus(lines, tokenizer, folder)
    encoding_seconds = time.perf_counter() - start
    result = glove.train(
        encoded,
        glove.GloVe(dim=arguments.dim, window=arguments.window, x_max=arguments.x_max),
        budget=Budget(epochs=epochs),
        seed=arguments.seed,
        threads=arguments.threads,
    )
    report = result.report
    return {
        "counting_words_per_second": encoded.words / report["counting_seconds"],
        "text_words_per_second": encoded.words / (encoding_seconds + report["counting_seconds"]),
        "pairs_per_second": report["pairs_per_second"],
        "pairs": report["pairs"],
        **{f"cost_{number}": cost for number, cost in enumerate(report["cost"], start=1)},
        **scores(WordSpace(tokenizer.vocabulary[2:], result.vectors[2:]), arguments),
    }


def stanford(arguments: argparse.Namespace) -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        figures: Figures = {}
        timed = measure(lambda: figures.update(run_programs(arguments, Path(folder))))
        file = read_vectors(Path(folder) / "vectors.txt")
    known = [row for row, word in enumerate(file.words) if word != "<unk>"]
    space = WordSpace([file.words[row] for row in known], file.matrix[known])
    return figures | scores(space, arguments) | {"others": timed.others}


def run_programs(arguments: argparse.Namespace, folder: Path) -> Figures:
    words = sum(len(line.split()) for line in corpus(arguments).open())

    def run(program: str, source: Path, target: str, **options: str | int) -> float:
        command = [str(arguments.glove_build / program), "-verbose", "0"]
        command += [part for name, value in options.items() for part in (f"-{name}", str(value))]
        start = time.perf_counter()
        with source.open() as text, (folder / target).open("w") as output:
            subprocess.run(
                [part.replace("_", "-") if part[0] == "-" else part for part in command],
                stdin=text,
                stdout=output,
                stderr=subprocess.DEVNULL,
                check=True,
            )
        return time.perf_counter() - start

    vocabulary = folder / "vocabulary.txt"
    reading = run("vocab_count", corpus(arguments), vocabulary.name, min_count=5)
    counting = run(
        "cooccur",
        corpus(arguments),
        "counts",
        memory=4,
        vocab_file=str(vocabulary),
        window_size=arguments.window,
        overflow_file=str(folder / "overflow"),
    )
    run("shuffle", folder / "counts", "shuffled", memory=4, temp_file=str(folder / "shuffling"))
    pairs = (folder / "shuffled").stat().st_size // 16
    moments, costs = train_stanford(arguments, folder)
    return {
        "counting_words_per_second": words / counting,
        "text_words_per_second": words / (reading + counting),
        "pairs_per_second": pairs * (len(moments) - 1) / (moments[-1] - moments[0]),
        "pairs": pairs,
        **{f"cost_{number}": cost for number, cost in enumerate(costs, start=1)},
    }


def train_stanford(arguments: argparse.Namespace, folder: Path) -> tuple[list[float], list[float]]:
    """Return the time at which each iteration ended, and its cost."""
    options = {
        "-input-file": folder / "shuffled",
        "-vocab-file": folder / "vocabulary.txt",
        "-save-file": folder / "vectors",
        "-gradsq-file": folder / "squares",
        "-threads": arguments.threads,
        "-iter": arguments.iterations,
        "-vector-size": arguments.dim,
        "-x-max": arguments.x_max,
        "-binary": 0,
        "-model": 2,
        "-seed": arguments.seed + 1,
        "-verbose": 2,
    }
    command = [str(arguments.glove_build / "glove")]
    command += [str(part) for option in options.items() for part in option]
    moments, costs = [], []
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr or ():
            if "cost: " in line:
                moments.append(time.perf_counter())
                costs.append(float(line.split("cost: ")[1]))
    if process.returncode or len(costs) < 2:
        sys.exit(f"{command[0]} failed")
    return moments, costs


def scores(space: WordSpace, arguments: argparse.Namespace) -> Figures:
    found = {}
    for name, file in TESTS.items():
        test = read_similarity_test(arguments.data / "wordsim" / f"{file}.txt")
        found[name] = evaluate_similarity(space, test).spearman
    return {name: score for name, score in found.items() if score is not None}


def absent(arguments: argparse.Namespace) -> dict[str, str]:
    if (arguments.glove_build / "glove").exists():
        return {}
    return {"stanford": f"no program at {arguments.glove_build / 'glove'}: see --help"}


if __name__ == "__main__":
    parser = argument_parser(__doc__)
    parser.set_defaults(peer_python=Path(sys.executable))  # the peer needs no interpreter
    parser.add_argument("--corpus", type=Path, help="text to count; by default Wikipedia articles")
    parser.add_argument("--glove-build", type=Path, default=ROOT / "GloVe/build")
    parser.add_argument("--iterations", type=int, default=15)
    parser.add_argument("--dim", type=int, default=100)
    parser.add_argument("--window", type=int, default=10)
    parser.add_argument("--x-max", type=float, default=10.0)
    parser.add_argument("--threads", type=int, default=2)
    iterations = parser.parse_args().iterations
    rates = ("counting_words_per_second", "text_words_per_second", "pairs_per_second")
    costs = [f"cost_{number}" for number in range(1, iterations + 1)]
    main(
        "glove",
        {"headstart": headstart, "stanford": stanford},
        [
            *(Metric(name) for name in rates),
            *(Metric(name, "difference") for name in ("pairs", *costs, *TESTS)),
        ],
        parser,
        prepare=corpus,
        absent=absent,
        ours=("headstart", "stanford"),  # Stanford's programs are started by this interpreter
        quick={"iterations": 2},
    )
