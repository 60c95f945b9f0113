"""Text generation: `PretrainedGpt.generate` and `generate` of transformers.

Both run the same mini GPT (4 layers, width 256, 8192 byte pairs) on the same prompts, two threads,
with a cache of keys and values: one sequence and sixteen, the likeliest token (`greedy`) or sampled
from the 50 likeliest (`sampled`). Compared are new tokens per second; the model never ends a text.
`greedy_same` is the share of one sequence's greedy tokens that equal headstart's.

    python benchmarks/generation.py
"""

import argparse
from pathlib import Path

import numpy as np

from harness import (
    OURS,
    Figures,
    Metric,
    Timed,
    argument_parser,
    keep_others,
    main,
    measure_repeated,
)
from language_model_inputs import folder, mini_gpt
from public_data import articles

PROMPT = 16  # tokens
MANY, TOP_K = 16, 50
CASES = [(rows, drawn) for rows in (1, MANY) for drawn in (False, True)]


def prepare(arguments: argparse.Namespace) -> None:
    from headstart.hub.language_models import PretrainedGpt
    from headstart.hub.store import load_encoder

    mini_gpt(arguments)
    gpt = load_encoder(folder("gpt"))
    if not isinstance(gpt, PretrainedGpt):
        raise TypeError(f"{folder('gpt')} does not hold a GPT")
    prompts: list[str] = []
    for text in articles(arguments.data, "test"):
        ids = gpt.tokenizer.encode_batch([text])[0][: PROMPT - 1].tolist()
        prompt = gpt.tokenizer.decode(ids)
        if (
            gpt.tokenizer.encode_batch([prompt])[0].tolist() == ids
        ):  # round trip: decoding and encoding give the same ids
            prompts.append(prompt)
    added = gpt.generate(prompts[0], max_new_tokens=arguments.new_tokens, temperature=0.0)
    encoded = gpt.tokenizer.encode_batch(prompts[:MANY])
    np.savez(
        _file(),
        prompts=np.array(prompts[:MANY]),
        ids=encoded.surround([gpt.tokenizer.specials.end], []).ids.reshape(MANY, PROMPT),
        greedy=np.array([added]),
    )


def _file() -> Path:
    return folder("gpt").parent / "prompts.npz"


def _name(rows: int, *, drawn: bool) -> str:
    return f"{'sampled' if drawn else 'greedy'}_{rows}"


def _speed(name: str, rows: int, timed: Timed, arguments: argparse.Namespace) -> Figures:
    tokens = rows * arguments.new_tokens
    return {
        f"{name}_tokens_per_second": tokens / timed.seconds,
        f"{name}_tokens_per_cpu_second": tokens / timed.cpu_seconds,
        "others": timed.others,
    }


def ours(arguments: argparse.Namespace) -> Figures:
    import torch

    from headstart.hub.store import load_encoder

    torch.set_num_threads(arguments.threads)
    gpt = load_encoder(folder("gpt"))
    with np.load(_file()) as arrays:
        prompts, greedy = arrays["prompts"].tolist(), str(arrays["greedy"][0])
    figures: Figures = {}
    for rows, drawn in CASES:
        how = {"temperature": 1.0, "top_k": TOP_K} if drawn else {"temperature": 0.0}
        gpt.generate(prompts[:rows], max_new_tokens=8, **how)
        timed = measure_repeated(
            lambda rows=rows, how=how: gpt.generate(
                prompts[:rows], max_new_tokens=arguments.new_tokens, seed=arguments.seed, **how
            ),
            least_seconds=arguments.seconds,
        )
        keep_others(figures, _speed(_name(rows, drawn=drawn), rows, timed, arguments))
    added = gpt.generate(prompts[0], max_new_tokens=arguments.new_tokens, temperature=0.0)
    return {**figures, "greedy_same": float(added == greedy)}


def theirs(arguments: argparse.Namespace) -> Figures:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, set_seed

    torch.set_num_threads(arguments.threads)
    set_seed(arguments.seed)
    model = AutoModelForCausalLM.from_pretrained(folder("gpt")).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder("gpt"))
    with np.load(_file()) as arrays:
        ids, greedy = torch.from_numpy(arrays["ids"]).long(), str(arrays["greedy"][0])

    def generate(rows: int, new_tokens: int, *, drawn: bool) -> torch.Tensor:
        sampling = {"temperature": 1.0, "top_k": TOP_K} if drawn else {}
        config = GenerationConfig(
            max_new_tokens=new_tokens,
            do_sample=drawn,
            eos_token_id=None,
            pad_token_id=0,
            **sampling,
        )
        with torch.inference_mode():
            return model.generate(
                ids[:rows], attention_mask=torch.ones_like(ids[:rows]), generation_config=config
            )

    figures: Figures = {}
    for rows, drawn in CASES:
        generate(rows, 8, drawn=drawn)
        timed = measure_repeated(
            lambda rows=rows, drawn=drawn: generate(rows, arguments.new_tokens, drawn=drawn),
            least_seconds=arguments.seconds,
        )
        keep_others(figures, _speed(_name(rows, drawn=drawn), rows, timed, arguments))
    new = generate(1, arguments.new_tokens, drawn=False)[0, PROMPT:].tolist()
    wanted = tokenizer(greedy, add_special_tokens=False)["input_ids"]
    text = tokenizer.decode(new, clean_up_tokenization_spaces=False)
    pairs = list(zip(new, wanted, strict=False))
    same = 1.0 if text == greedy else sum(a == b for a, b in pairs) / max(1, len(pairs))
    return {**figures, "greedy_same": same}


if __name__ == "__main__":
    parser = argument_parser(__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--new-tokens", type=int, default=200)
    parser.add_argument(
        "--seconds", type=float, default=3.0, help="repeat calls for at least this long"
    )
    main(
        "generation",
        {OURS: ours, "transformers": theirs},
        [
            *(
                Metric(f"{_name(rows, drawn=drawn)}_tokens_per_{second}")
                for second in ("second", "cpu_second")
                for rows, drawn in CASES
            ),
            Metric("greedy_same", "difference"),
        ],
        parser,
        prepare=prepare,
        quick={"new_tokens": 20, "seconds": 0.0},
    )
