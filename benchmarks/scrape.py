"""Do metrics and health checks answer at once while the server has its hands full?

All slots stream, the queue is full, clients that are turned away try again; meanwhile each path is asked over
and over, each time on a connection of its own. The load comes from another process, so that what is measured
is the server's delay; on a small machine they share its processors all the same.

    python -m benchmarks.scrape --seconds 20
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path
from time import perf_counter
from urllib.parse import urlsplit

from benchmarks.client import http_request
from benchmarks.figures import percentile
from tests.python.support.server_process import ServerProcess, serving, wait_until

_MODELS = Path(__file__).resolve().parents[1] / "models"
_PATHS = ("/metrics", "/healthz", "/readyz", "/debug/slots")
_LIMIT_MS = 20.0
_RETRY_S = 0.1
_PAUSE_S = 0.02
_ANSWER_S = 30.0


def _load_forever(port: int, model: str, clients: int) -> None:
    """Stream as many answers as there are clients, each followed by the next; to be ended from outside."""
    body = {
        "model": model,
        "messages": [{"role": "user", "content": "Tell me a story."}],
        "stream": True,
        "max_tokens": 400,
        "ignore_eos": True,
    }
    asyncio.run(_stream_forever(port, http_request(port, json.dumps(body).encode()), clients))


async def _stream_forever(port: int, request: bytes, clients: int) -> None:
    async def client() -> None:
        while True:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request)
            refused = not (await reader.readline()).startswith(b"HTTP/1.1 200")
            while not refused and not (await reader.readline()).startswith(b"data: [DONE]"):
                pass
            writer.close()
            if refused:
                await asyncio.sleep(_RETRY_S)

    await asyncio.gather(*(client() for _ in range(clients)))


async def _ask(url: str, until: float, times_ms: list[float]) -> None:
    address = urlsplit(url)
    request = f"GET {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\nConnection: close\r\n\r\n".encode()
    while perf_counter() < until:
        begin = perf_counter()
        async with asyncio.timeout(_ANSWER_S):
            reader, writer = await asyncio.open_connection(address.hostname, address.port)
            writer.write(request)
            answer = await reader.read()
        times_ms.append((perf_counter() - begin) * 1e3)
        writer.close()
        if not answer.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"{url}: {answer[:200]!r}")
        await asyncio.sleep(_PAUSE_S)


async def _measure(urls: list[str], seconds: float) -> dict[str, list[float]]:
    times_ms: dict[str, list[float]] = {url: [] for url in urls}
    until = perf_counter() + seconds
    await asyncio.gather(*(_ask(url, until, times) for url, times in times_ms.items()))
    return {url: sorted(times) for url, times in times_ms.items()}


def _under_load(server: ServerProcess, options: argparse.Namespace) -> dict[str, list[float]]:
    port = urlsplit(server.url).port
    clients = options.slots + options.queue + options.surplus
    load = multiprocessing.get_context("spawn").Process(
        target=_load_forever, args=(port, options.model, clients), daemon=True
    )
    load.start()
    try:
        running, waiting = "llamad_num_requests_running", "llamad_num_requests_waiting"
        wait_until(lambda: server.metric(running) == options.slots, "all slots are busy")
        wait_until(lambda: server.metric(waiting) == options.queue, "the queue is full")
        urls = [f"{server.monitor_url}{path}" for path in _PATHS] + [f"{server.url}/healthz"]
        return asyncio.run(_measure(urls, options.seconds))
    finally:
        load.kill()
        load.join()


def _report(server: ServerProcess, options: argparse.Namespace, times_ms: dict[str, list[float]]) -> None:
    rejected = server.metric("llamad_requests_rejected_total")
    tokens = server.metric("llamad_generation_tokens_total")
    print(f"{options.slots} slots, queue of {options.queue}: {tokens:.0f} tokens, {rejected:.0f} turned away")
    print(f"{'':24} {'n':>5} {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8}")
    for url, times in times_ms.items():
        where = "main" if url.startswith(server.url) else "monitor"
        figures = (percentile(times, 50), percentile(times, 99), times[-1])
        print(f"{where + ' ' + urlsplit(url).path:24} {len(times):5}", *(f"{one:8.1f}" for one in figures))


def main() -> int:
    """Print the times; exit 1 where the p99 of a path is 20 ms or more."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model-directory", type=Path, default=_MODELS)
    parser.add_argument("--model", default="SmolLM2-135M-Instruct.Q4_1")
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--queue", type=int, default=16)
    parser.add_argument("--surplus", type=int, default=4, help="clients that find no room")
    parser.add_argument("--threads", type=int, default=1, help="compute threads of the server")
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    flags = ["--n-parallel", options.slots, "--max-queue", options.queue, "--threads", options.threads]
    flags += ["--n-ctx", 1024, "--preload-model", options.model, "--lameduck", 0, "--log-level", "warning"]
    with tempfile.TemporaryDirectory() as folder:
        log_path = Path(folder) / "server.log"
        begin = time.monotonic()
        with serving(options.model_directory, *map(str, flags), log_path=log_path) as server:
            times_ms = _under_load(server, options)
            _report(server, options, times_ms)
        print(f"{time.monotonic() - begin:.0f} s in all")
    return 0 if all(percentile(times, 99) < _LIMIT_MS for times in times_ms.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
