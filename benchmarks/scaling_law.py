"""The runs behind the expected loss of `headstart plan`, and the laws fitted to them.

Pretrains GPT and BERT on Wikipedia articles with `hs.pretrain`, in two sizes and with several
numbers of tokens. Each is a run of its own whose learning rate decays to zero. Takes the held-out
loss of each (for BERT that of masked tokens) and fits, as in Hoffmann et al., "Training
Compute-Optimal Large Language Models", 2022, section 3.3 (https://arxiv.org/abs/2203.15556),

    L(N, D) = E + A / N^a + B / D^b,    N parameters, D tokens.

E and a are taken from the paper, because runs of minutes cannot determine them. A, B and b are
fitted. Runs that are already in the results are skipped, so the job can be stopped and restarted.
Prints the constants for `headstart/hub/scaling.py` and the law's error for each run.

    python benchmarks/scaling_law.py --threads 1
"""

import argparse
import json
import multiprocessing
import resource
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import ROOT, SHARED
from public_data import articles

THOUSANDS_OF_TOKENS = {  # larger models see fewer tokens, so every run takes minutes
    "gpt": {"tiny": (125, 250, 500, 1000), "mini": (125, 250)},
    "bert": {"tiny": (125, 250, 500), "mini": (125, 250)},
}
LEAST, SIZE_POWER = 1.69, 0.34  # E and a
LOSS = {"gpt": "loss", "bert": "mlm_loss"}
Run = dict[str, Any]


def pretrain(method: str, size: str, tokens: int, arguments: argparse.Namespace) -> Run:
    """Pretrain once and return its cost and its loss."""
    import headstart as hs

    texts = articles(arguments.data, "train")
    kept = arguments.results / f"scaling_law_{method}_tokenizer.json"
    encoder = hs.pretrain(
        method,
        texts,
        size=size,
        tokens=tokens,
        threads=arguments.threads,
        tokenizer=kept if kept.exists() else None,
    )
    if not kept.exists():
        encoder.tokenizer.save(kept)
    used = resource.getrusage(resource.RUSAGE_SELF)
    report = encoder.lineage
    return {
        "method": method,
        "size": size,
        "tokens": report["tokens"],
        "parameters": sum(each.numel() for each in encoder.model.parameters()),
        "loss": report["validation"][LOSS[method]],
        "curve": report["curve"],
        "training_seconds": report["training_seconds"],
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "peak_megabytes": used.ru_maxrss * 1024 / 1e6,
    }


def law(constants: NDArray[np.float64], runs: list[Run]) -> NDArray[np.float64]:
    """Return the loss that a law predicts for each run; constants: log A, log B, b."""
    log_a, log_b, b = constants
    parameters, tokens = (np.log([run[name] for run in runs]) for name in ("parameters", "tokens"))
    return LEAST + np.exp(log_a - SIZE_POWER * parameters) + np.exp(log_b - b * tokens)


def fit(runs: list[Run]) -> NDArray[np.float64]:
    """Fit the law by least squares."""
    from scipy.optimize import least_squares

    measured = np.array([run["loss"] for run in runs])
    return least_squares(lambda constants: law(constants, runs) - measured, (4.0, 3.0, 0.1)).x


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--methods", nargs="+", default=list(THOUSANDS_OF_TOKENS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--data", type=Path, default=SHARED / "data")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks/results")
    arguments = parser.parse_args()
    path = arguments.results / "scaling_law.json"
    runs: list[Run] = json.loads(path.read_text()) if path.exists() else []
    spawn = multiprocessing.get_context("spawn")
    for method in arguments.methods:
        for size, numbers in THOUSANDS_OF_TOKENS[method].items():
            for tokens in (thousands * 1000 for thousands in numbers):
                if any(
                    (r["method"], r["size"], r["asked"]) == (method, size, tokens) for r in runs
                ):
                    continue
                with ProcessPoolExecutor(1, mp_context=spawn) as process:
                    run = process.submit(pretrain, method, size, tokens, arguments).result()
                runs.append({"asked": tokens, **run})
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(runs, indent=1))
                print(f"{method} {size} {run['tokens']:,} tokens: {run['loss']:.3f}", flush=True)
        report(method, [run for run in runs if run["method"] == method])


def report(method: str, runs: list[Run]) -> None:
    """Fit the law of a method and print it with its runs."""
    constants = fit(runs)
    print(f"\n{method}: log A, log B, b = {np.round(constants, 4).tolist()}")
    for run, expected in zip(runs, law(constants, runs), strict=True):
        print(
            f"  {run['size']:6} {run['parameters']:>11,} {run['tokens']:>11,} "
            f"{run['loss']:.3f} {expected:.3f} {expected - run['loss']:+.3f}"
        )


if __name__ == "__main__":
    main()
