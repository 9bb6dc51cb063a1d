"""What `--allocator` brings: memory and throughput of the same work on each allocator that is installed.

The work: models are loaded, asked by eight clients at once, and unloaded for the next one, again and again;
one after the other on each allocator, in an order that changes from round to round. The models are tiny,
unless --directory names others.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from llamad.allocator import ALLOCATORS, find

from benchmarks.soak import anonymous_bytes
from tests.python.support.server_process import ONE_THREAD, serving
from tests.python.support.tiny_gguf import TinyModel, write_tiny_model

_MODELS = ("a", "b", "c")
_FLAGS = ("--n-parallel", "8", "--n-ctx", "1024", "--prefix-cache-mib", "16")
_TINY_BUDGET = "100MiB"
_N_CLIENTS = 8
_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Figures:
    """What came of one run.

    Attributes:
        tokens_per_s: generated.
        peak_bytes: largest anonymous memory.
        end_bytes: anonymous memory when all is over.
    """

    tokens_per_s: float
    peak_bytes: int
    end_bytes: int


def measure(allocator: str, directory: Path, log_path: Path, cycles: int, *flags: str) -> Figures:
    """Load, ask and evict the models of a directory so many times."""
    models = sorted(path.stem for path in directory.glob("*.gguf"))
    flags = ("--allocator", allocator, *_FLAGS, *ONE_THREAD, *flags)
    with serving(directory, *flags, log_path=log_path) as server:
        started, tokens, peak = time.monotonic(), 0, 0
        for cycle in range(cycles):
            tokens += asyncio.run(_ask(server.url, models[cycle % len(models)]))
            peak = max(peak, anonymous_bytes(server.pid))
        seconds = time.monotonic() - started
        return Figures(tokens / seconds, peak, anonymous_bytes(server.pid))


async def _ask(url: str, model: str) -> int:
    async with httpx.AsyncClient(base_url=url, timeout=_TIMEOUT_S, trust_env=False) as client:
        bodies = [_body(model, number) for number in range(4 * _N_CLIENTS)]
        limit = asyncio.Semaphore(_N_CLIENTS)

        async def send(body: dict[str, Any]) -> int:
            async with limit:
                answer = await client.post("/v1/completions", json=body)
            answer.raise_for_status()
            tokens: int = answer.json()["usage"]["completion_tokens"]
            return tokens

        return sum(await asyncio.gather(*map(send, bodies)))


def _body(model: str, number: int) -> dict[str, Any]:
    prompt = f"{number} " + "the cat sat on the mat " * (number % 8)
    return {"model": model, "prompt": prompt, "max_tokens": 100, "ignore_eos": True, "logprobs": 5}


def _write_models(directory: Path) -> Path:
    directory.mkdir()
    for seed, name in enumerate(_MODELS):
        write_tiny_model(directory / f"{name}.gguf", TinyModel(seed=seed))
    return directory


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="benchmarks.allocators", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cycles", type=int, default=12)
    parser.add_argument("--directory", type=Path, help="of models that generate text; default: tiny ones")
    options = parser.parse_args()
    names = [name for name in ALLOCATORS if name == "system" or find(name)]
    figures: dict[str, list[Figures]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory(prefix="llamad-allocators-") as folder:
        directory, flags = options.directory, list[str]()
        if directory is None:
            directory, flags = _write_models(Path(folder) / "models"), ["--memory-budget", _TINY_BUDGET]
        for number in range(options.rounds):
            for name in names[number % len(names) :] + names[: number % len(names)]:
                log_path = Path(folder) / "server.log"
                figures[name].append(measure(name, directory, log_path, options.cycles, *flags))
    print("| allocator | tokens/s | memory at its peak | at the end |\n|---|---|---|---|")
    for name, runs in figures.items():
        speed = statistics.median(run.tokens_per_s for run in runs)
        peak, end = (
            statistics.median(getattr(run, what) for run in runs) / 2**20
            for what in ("peak_bytes", "end_bytes")
        )
        print(f"| {name} | {speed:.0f} | {peak:.0f} MiB | {end:.0f} MiB |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
