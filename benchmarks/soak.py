"""Soak: mixed traffic for half an hour, and whether the server is at its end what it was at its beginning.

Twelve clients ask five tiny models, which do not all fit into the memory budget: chats and completions,
streamed and whole, embeddings, rankings, mistakes, and streams that their client drops. After a warm-up, and
again at the end, everything is let go idle and unloaded, and looked at:

- memory: the anonymous memory's slope over the run, by least squares, amounts to less than 5 % or 8 MiB;
- slots: nothing runs, waits or is being answered;
- descriptors and threads: as many as after the warm-up, but for asyncio's pool of threads;
- the log: no error; the exit code: 0.

`make soak` runs it; `make soak ARGS="--minutes 3"` for a look.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.python.support.server_process import ONE_THREAD, ServerProcess, serving, wait_until
from tests.python.support.tiny_embedders import write_embedder
from tests.python.support.tiny_gguf import TinyModel, write_tiny_model

_WRITERS = ("a", "b", "c")
_MODELS = (*_WRITERS, "embed", "rank")
_FLAGS = (
    *("--n-parallel", "4", "--n-ctx", "512", "--prefix-cache-mib", "16", "--memory-budget", "120MiB"),
    *("--log-format", "json", "--log-level", "info", *ONE_THREAD),
)
_TIMEOUT_S = 120.0
_SAMPLE_S = 1.0
_POOL_THREADS = min(32, (os.cpu_count() or 1) + 4)
"""asyncio's pool starts them one by one, as it needs them, and keeps them."""

_MOST_GROWTH = 0.05
_LEAST_GROWTH_BYTES = 8 << 20
_WORDS = ("the", "cat", "sat", "on", "a", "mat", "while", "dog", "ran", "over", "hill", "and", "far")


@dataclass(frozen=True, slots=True)
class Look:
    """What a process holds while nothing happens and no model is loaded."""

    memory_bytes: int
    descriptors: int
    threads: int


class Traffic:
    """Clients that send what comes into their minds until their time is over.

    Attributes:
        answers: how many requests of which kind ended how.
        faults: what should not have been.
    """

    def __init__(self, url: str, seed: int) -> None:
        self._url = url
        self._rng = random.Random(seed)
        self.answers: Counter[str] = Counter()
        self.faults: list[str] = []

    async def run(self, n_clients: int, seconds: float) -> None:
        """Send for so long; returns when the last answer is there."""
        until = time.monotonic() + seconds
        async with httpx.AsyncClient(base_url=self._url, timeout=_TIMEOUT_S, trust_env=False) as client:
            await asyncio.gather(*(self._send_until(client, until) for _ in range(n_clients)))

    async def _send_until(self, client: httpx.AsyncClient, until: float) -> None:
        kinds: list[tuple[str, Callable[[httpx.AsyncClient], Awaitable[int]], int]] = [
            ("chat", self._chat, 30),
            ("completion", self._completion, 20),
            ("dropped", self._dropped, 15),
            ("embeddings", self._embeddings, 15),
            ("rerank", self._rerank, 10),
            ("mistake", self._mistake, 10),
        ]
        weights = [weight for _, _, weight in kinds]
        while time.monotonic() < until:
            ((name, send, _),) = self._rng.choices(kinds, weights)
            try:
                status = await send(client)
            except httpx.HTTPError as error:
                self.faults.append(f"{name}: {error!r}")
                continue
            self.answers[f"{name} {status}"] += 1
            # A model that has to wait too long for its turn may be refused; nothing else may.
            expected = range(400, 500) if name == "mistake" else (200, 503)
            if status not in expected:
                self.faults.append(f"{name}: status {status}")

    def _text(self) -> str:
        return " ".join(self._rng.choices(_WORDS, k=self._rng.randint(1, 60)))

    def _generation(self, **fields: Any) -> dict[str, Any]:
        rng = self._rng
        body: dict[str, Any] = {"model": rng.choice(_WRITERS), "max_tokens": rng.randint(1, 120)}
        return body | {"stream": rng.random() < 0.5, "n": rng.choice((1, 1, 1, 3))} | fields

    async def _chat(self, client: httpx.AsyncClient) -> int:
        body = self._generation(messages=[{"role": "user", "content": self._text()}])
        return (await client.post("/v1/chat/completions", json=body)).status_code

    async def _completion(self, client: httpx.AsyncClient) -> int:
        body = self._generation(prompt=[self._text() for _ in range(self._rng.randint(1, 3))])
        return (await client.post("/v1/completions", json=body)).status_code

    async def _dropped(self, client: httpx.AsyncClient) -> int:
        body = self._generation(prompt=self._text(), stream=True, max_tokens=400, ignore_eos=True)
        async with client.stream("POST", "/v1/completions", json=body) as answer:
            async for _ in answer.aiter_raw():
                if self._rng.random() < 0.3:
                    break
        return answer.status_code

    async def _embeddings(self, client: httpx.AsyncClient) -> int:
        body = {"model": "embed", "input": [self._text() for _ in range(self._rng.randint(1, 8))]}
        return (await client.post("/v1/embeddings", json=body)).status_code

    async def _rerank(self, client: httpx.AsyncClient) -> int:
        documents = [self._text() for _ in range(self._rng.randint(1, 4))]
        body = {"model": "rank", "query": "the cat", "documents": documents}
        return (await client.post("/v1/rerank", json=body)).status_code

    async def _mistake(self, client: httpx.AsyncClient) -> int:
        path, body = self._rng.choice(
            [
                ("/v1/chat/completions", b"{"),
                ("/v1/chat/completions", b'{"model": "a", "messages": 3}'),
                ("/v1/completions", b'{"model": "none", "prompt": "a"}'),
                ("/v1/completions", b'{"model": "a", "prompt": "a", "max_tokens": -1}'),
                ("/v1/embeddings", b'{"model": "a", "input": "a"}'),
                ("/v1/nowhere", b"{}"),
            ]
        )
        headers = {"content-type": "application/json"}
        return (await client.post(path, content=body, headers=headers)).status_code


def slope(samples: list[tuple[float, float]]) -> float:
    """Return the slope of the straight line through points by least squares; 0 for fewer than two."""
    if len(samples) < 2:
        return 0.0
    mean_x = sum(x for x, _ in samples) / len(samples)
    mean_y = sum(y for _, y in samples) / len(samples)
    spread = sum((x - mean_x) ** 2 for x, _ in samples)
    return sum((x - mean_x) * (y - mean_y) for x, y in samples) / spread if spread else 0.0


def anonymous_bytes(pid: int) -> int:
    """Return a process's resident memory that no file backs: what can leak."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) << 10
    raise AssertionError("no RssAnon in /proc/PID/status")


def look(server: ServerProcess) -> Look:
    """Wait until nothing is under way, unload all models, and count what the process still holds."""
    server.wait_until_idle()
    server.wait_for_metric("llamad_http_requests_live", lambda live: live == 0)
    with httpx.Client(base_url=server.url, timeout=_TIMEOUT_S, trust_env=False) as client:
        for model in _MODELS:
            client.post(f"/v1/models/{model}/unload").raise_for_status()
    server.wait_for_metric("llamad_model_state", lambda loaded: loaded == 0, state="loaded")
    process = Path(f"/proc/{server.pid}")
    # The connections that have just been closed are not gone yet on the other side.
    counts: list[int] = []

    def settled() -> bool:
        counts.append(len(list((process / "fd").iterdir())))
        return len(counts) > 5 and len(set(counts[-5:])) == 1

    wait_until(settled, "a steady number of descriptors")
    return Look(anonymous_bytes(server.pid), counts[-1], len(list((process / "task").iterdir())))


async def _sampled(pid: int, work: Awaitable[None]) -> list[tuple[float, float]]:
    """Run `work`; return its memory as it went: seconds, bytes."""
    samples = []
    started = time.monotonic()
    task = asyncio.ensure_future(work)
    while not task.done():
        samples.append((time.monotonic() - started, float(anonymous_bytes(pid))))
        await asyncio.wait({task}, timeout=_SAMPLE_S)
    task.result()
    return samples


def _write_models(directory: Path) -> None:
    directory.mkdir()
    for seed, name in enumerate(_WRITERS):
        write_tiny_model(directory / f"{name}.gguf", TinyModel(seed=seed))
    write_embedder("mean", directory / "embed.gguf", n_ctx=1024)
    write_embedder("rank", directory / "rank.gguf", n_ctx=1024)


def faults_of(
    before: Look, after: Look, samples: list[tuple[float, float]], evictions: float, log: str
) -> list[str]:
    """Print what was measured and return what should not have been."""
    per_second, seconds = slope(samples), samples[-1][0]
    growth, level = per_second * seconds, sorted(used for _, used in samples)[len(samples) // 2]
    print(f"memory: {level / 2**20:.1f} MiB, slope {per_second * 3600 / 2**20:+.2f} MiB/h", flush=True)
    print(f"idle, after the warm-up: {before}\nidle, at the end:        {after}\nevictions: {evictions:.0f}")
    faults = []
    if growth > max(_MOST_GROWTH * level, _LEAST_GROWTH_BYTES):
        faults.append(f"memory grew by {growth / 2**20:.1f} MiB")
    if after.descriptors > before.descriptors:
        faults.append(f"{after.descriptors - before.descriptors} descriptors leaked")
    if after.threads > before.threads + _POOL_THREADS:
        faults.append(f"{after.threads - before.threads} threads leaked")
    if not evictions:
        faults.append("no model was evicted: the budget was no constraint")
    errors = [line for line in map(json.loads, log.splitlines()) if line["level"] in {"error", "critical"}]
    return faults + [f"log: {line['logger']}: {line['message']}" for line in errors]


def main() -> int:
    """Soak, print what came of it; 1 where something should not have been."""
    parser = argparse.ArgumentParser(prog="benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--clients", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    seconds = options.minutes * 60
    warm_up = min(120.0, seconds / 4)
    with tempfile.TemporaryDirectory(prefix="llamad-soak-") as folder:
        directory, log_path = Path(folder) / "models", Path(folder) / "server.log"
        _write_models(directory)
        with serving(directory, *_FLAGS, log_path=log_path) as server:
            traffic = Traffic(server.url, options.seed)
            asyncio.run(traffic.run(options.clients, warm_up))
            before = look(server)
            samples = asyncio.run(_sampled(server.pid, traffic.run(options.clients, seconds - warm_up)))
            after = look(server)
            evictions = server.metric("llamad_model_evictions_total")
        faults = traffic.faults + faults_of(before, after, samples, evictions, server.log)
    print(f"{sum(traffic.answers.values())} requests in {options.minutes:g} minutes:")
    for answer, count in sorted(traffic.answers.items()):
        print(f"  {count:7} {answer}")
    for fault, count in Counter(faults).most_common(20):
        print(f"FAULT, {count} times: {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
