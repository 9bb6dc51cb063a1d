"""How fast `Engine.generate` decodes a batch, against `llama-batched-bench`: the bare decode loop.

Prompts of one token leave nothing but decoding: n prompts of T tokens are T calls of the model with n rows
each, on either side. llamad's time is that of the whole call, so tokenizing, sampling, detokenizing and
delivery count against it; llama-batched-bench samples nothing and feeds random tokens.

llamad runs in a process of its own, `python -m benchmarks.decode_rate`, which prints the seconds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.figures import DecodeFigures
from benchmarks.prompts import one_token_prompts
from benchmarks.servers import N_BATCH, N_UBATCH, compute_threads

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.workloads import DecodeWorkload

_TIMEOUT_S = 600.0


def llamad(model: Path, workload: DecodeWorkload) -> DecodeFigures:
    """Generate once in a fresh process.

    Raises:
        CalledProcessError: it failed; the reason stands on standard error.
    """
    command = [sys.executable, "-m", "benchmarks.decode_rate", str(model)]
    command += ["--prompts", str(workload.prompts), "--max-tokens", str(workload.max_tokens)]
    command += ["--n-ctx", str(workload.n_ctx), "--threads", str(compute_threads(workload))]
    return _figures(workload, float(_output(command)))


def batched_bench(binary: Path, model: Path, workload: DecodeWorkload) -> DecodeFigures:
    """Run llama-batched-bench once with one KV stream per sequence; takes its time of text generation.

    Raises:
        CalledProcessError: it failed.
    """
    n_ctx = workload.prompts * workload.n_ctx
    command = [str(binary), "--model", str(model), "-c", str(n_ctx), "--no-kv-unified"]
    command += ["-npp", "1", "-ntg", str(workload.max_tokens), "-npl", str(workload.prompts)]
    command += ["-b", str(N_BATCH), "-ub", str(N_UBATCH), "--threads", str(compute_threads(workload))]
    return _figures(workload, text_generation_s(_output([*command, "--output-format", "jsonl"])))


def text_generation_s(output: str) -> float:
    """Seconds that llama-batched-bench took for text generation, from its JSON lines.

    Raises:
        ValueError: there is not exactly one line with a result.
    """
    results = batched_bench_results(output)
    if len(results) != 1:
        raise ValueError(f"expected one result of llama-batched-bench, not {len(results)}:\n{output[-2000:]}")
    return float(results[0]["t_tg"])


def batched_bench_results(output: str) -> list[dict[str, float]]:
    """What llama-batched-bench printed: a JSON object for each batch, "pl" of "tg" tokens, "t_tg" seconds.

    A last line that is cut off is left out.
    """
    return [json.loads(line) for line in output.splitlines() if line.startswith("{") and line.endswith("}")]


def _figures(workload: DecodeWorkload, wall_s: float) -> DecodeFigures:
    return DecodeFigures(tokens_per_s=workload.prompts * workload.max_tokens / wall_s, wall_s=wall_s)


def _output(command: list[str]) -> str:
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=_TIMEOUT_S)
    return done.stdout


def _generate(model: str, n_prompts: int, max_tokens: int, n_ctx: int, n_threads: int) -> float:
    """Seconds of one `Engine.generate`, after a short one to warm up.

    Raises:
        RuntimeError: a prompt or an answer has not the length that the comparison rests on.
    """
    from llamad import Engine, SamplingParams  # noqa: PLC0415 - the parent process needs no llamad

    prompts = one_token_prompts(n_prompts)
    greedy = SamplingParams(temperature=0, ignore_eos=True)
    with Engine(model, n_parallel=n_prompts, n_ctx=n_ctx, n_threads=n_threads) as engine:
        engine.generate(prompts, greedy, max_tokens=8)
        started = perf_counter()
        results = engine.generate(prompts, greedy, max_tokens=max_tokens)
        wall_s = perf_counter() - started
    lengths = {(result.usage.prompt_tokens, result.usage.completion_tokens) for result in results}
    if lengths != {(1, max_tokens)}:
        raise RuntimeError(f"prompt and answer should have (1, {max_tokens}) tokens, not {lengths}")
    return wall_s


def main() -> None:
    """Generate and print the seconds."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decode_rate")
    parser.add_argument("model")
    for name in ("--prompts", "--max-tokens", "--n-ctx", "--threads"):
        parser.add_argument(name, type=int, required=True)
    arguments = parser.parse_args()
    print(
        _generate(
            arguments.model, arguments.prompts, arguments.max_tokens, arguments.n_ctx, arguments.threads
        )
    )


if __name__ == "__main__":
    main()
