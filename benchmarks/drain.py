"""Kill and drain: SIGTERM at random moments under load, and whether all that was accepted was answered.

Each round starts a server of a tiny model, sends it streams and whole requests, signals it, and goes on
sending until it is gone. A request was accepted if the server's log has a line of it; it was answered
properly if

- its stream ended with a finish reason and `[DONE]`, or with an error event, or
- it got a whole answer, or an error with the status that belongs to it.

A connection that the server closes unread is no accepted request: the log has no line of it, and clients send
again. `make drain` runs a hundred rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.python.support.server_process import ONE_THREAD, ServerProcess
from tests.python.support.tiny_gguf import write_tiny_model

_N_CLIENTS = 8
_SIGNAL_WITHIN_S = 1.5
_LAMEDUCKS_S = (0.0, 0.1, 1.0, 30.0)
_ROUND_S = 60.0
"""Bound of a round's every wait; far above what an orderly one takes."""

_FLAGS = ("--n-parallel", "4", "--n-ctx", "512", "--log-format", "json", *ONE_THREAD)


@dataclass(slots=True)
class Round:
    """What came of one round.

    Attributes:
        endings: request id -> "finished", "error event", "refused", "unanswered" or "broken: …".
        accepted: ids of the requests that the server's log has a line of.
        exit_code: of the server.
        drain_s: from the signal until the process had ended.
    """

    endings: dict[str, str] = field(default_factory=dict)
    accepted: set[str] = field(default_factory=set)
    exit_code: int | None = None
    drain_s: float = 0.0

    @property
    def faults(self) -> list[str]:
        """What should not have been; nothing after an orderly end."""
        faults = [] if self.exit_code == 0 else [f"exit code {self.exit_code}"]
        for request_id, ending in self.endings.items():
            if ending.startswith("broken"):
                faults.append(f"{request_id} {ending}")
            if ending == "unanswered" and request_id in self.accepted:
                faults.append(f"{request_id} was accepted and not answered")
        faults += [f"{one} left a line, and nobody sent it" for one in self.accepted - set(self.endings)]
        return faults


class _Load:
    """Clients that send one request after the other until nobody listens any more."""

    def __init__(self, url: str, rng: random.Random) -> None:
        self.endings: dict[str, str] = {}
        self._client = httpx.AsyncClient(base_url=url, timeout=_ROUND_S, trust_env=False)
        self._rng = rng
        self._gone = False

    async def run(self) -> None:
        async with self._client:
            await asyncio.gather(*(self._send_forever(number) for number in range(_N_CLIENTS)))

    async def _send_forever(self, client: int) -> None:
        count = 0
        while not self._gone:
            count += 1
            request_id = f"client-{client}-{count}"
            self.endings[request_id] = await self._send(request_id)

    async def _send(self, request_id: str) -> str:
        path, body = self._request()
        headers = {"x-request-id": request_id}
        answered = False
        try:
            async with self._client.stream("POST", path, json=body, headers=headers) as answer:
                answered = True
                text = (await answer.aread()).decode()
        except httpx.ConnectError:
            self._gone = True
            return "unanswered"
        except httpx.HTTPError as error:
            return f"broken: {error!r}" if answered else "unanswered"
        return ending_of(answer.status_code, text, streamed=body["stream"])

    def _request(self) -> tuple[str, dict[str, Any]]:
        body: dict[str, Any] = {"model": "tiny", "max_tokens": self._rng.randint(1, 300), "ignore_eos": True}
        body |= {"stream": self._rng.random() < 0.6, "n": self._rng.choice((1, 1, 1, 2))}
        if self._rng.random() < 0.5:
            return "/v1/completions", body | {"prompt": "once upon a time"}
        return "/v1/chat/completions", body | {"messages": [{"role": "user", "content": "hello"}]}


def ending_of(status: int, text: str, *, streamed: bool) -> str:
    """Say how an answer ended that came to the end of its body."""
    if status != 200:
        proper = status == 503 and "error" in json.loads(text)
        return "refused" if proper else f"broken: status {status}: {text[:200]}"
    if not streamed:
        return "finished" if json.loads(text)["choices"] else "broken: no choices"
    events = [event.removeprefix("data: ") for event in text.split("\n\n")[:-1]]
    if events and events[-1] == "[DONE]":
        choices = [choice for event in events[:-1] for choice in json.loads(event)["choices"]]
        ended = any(choice["finish_reason"] for choice in choices)
        return "finished" if ended else "broken: no finish reason"
    if events and "error" in json.loads(events[-1]):
        return "error event"
    return f"broken: the stream ends with {text[-100:]!r}"


async def run_round(directory: Path, log_path: Path, rng: random.Random) -> Round:
    """Start a server, load it, signal it, and look at what came of it."""
    lameduck = rng.choice(_LAMEDUCKS_S)
    server = await asyncio.to_thread(ServerProcess, directory, log_path, "--lameduck", str(lameduck), *_FLAGS)
    result = Round()
    try:
        load = _Load(server.url, rng)
        loading = asyncio.create_task(load.run())
        await asyncio.sleep(rng.uniform(0, _SIGNAL_WITHIN_S))
        signalled = time.monotonic()
        server.signal(signal.SIGTERM)
        async with asyncio.timeout(_ROUND_S):
            await loading
        result.exit_code = await asyncio.to_thread(server.wait, _ROUND_S)
        result.drain_s = time.monotonic() - signalled
        result.endings = load.endings
        result.accepted = _accepted(server.log)
    finally:
        await asyncio.to_thread(server.close)
    return result


def _accepted(log: str) -> set[str]:
    lines = [json.loads(line) for line in log.splitlines()]
    ids = [line["request_id"] for line in lines if line["logger"] == "llamad.access"]
    assert len(ids) == len(set(ids)), "two lines of one request"
    return set(ids)


def main() -> int:
    """Run the rounds and print what came of them; 1 where something should not have been."""
    parser = argparse.ArgumentParser(prog="benchmarks.drain", description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    endings: Counter[str] = Counter()
    drains: list[float] = []
    n_faulty = 0
    with tempfile.TemporaryDirectory(prefix="llamad-drain-") as folder:
        models = Path(folder) / "models"
        models.mkdir()
        write_tiny_model(models / "tiny.gguf")
        for number in range(options.rounds):
            rng = random.Random(options.seed * 1_000_003 + number)
            result = asyncio.run(run_round(models, Path(folder) / "server.log", rng))
            endings.update(ending.partition(":")[0] for ending in result.endings.values())
            drains.append(result.drain_s)
            n_faulty += bool(result.faults)
            for fault in result.faults:
                print(f"round {number}: {fault}", flush=True)
    print(f"{options.rounds} rounds, {n_faulty} with a fault; {sum(endings.values())} requests:")
    for ending, count in endings.most_common():
        print(f"  {count:6} {ending}")
    print(
        f"from the signal to the end: {sorted(drains)[len(drains) // 2]:.2f} s, at most {max(drains):.2f} s"
    )
    return 1 if n_faulty else 0


if __name__ == "__main__":
    sys.exit(main())
