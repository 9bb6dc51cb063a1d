"""Runs over files of requests as `llamad batch` makes them, answered by nobody real."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import TYPE_CHECKING

from llamad.batch_files.feed import Feed
from llamad.batch_files.in_process import Response
from llamad.batch_files.output import open_output
from llamad.batch_files.runner import Runner
from llamad.batch_files.source import Source

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MAX_BODY_BYTES = 1 << 20
WAIT_S = 30.0
"""Bounds every run; only a failing test comes near it."""


def request_line(custom_id: str, prompt: str = "Hi") -> str:
    body = {"model": "m", "prompt": prompt}
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": "/v1/completions", "body": body})


def write_twelve(path: Path) -> Path:
    """Write twelve requests, and behind the sixth a line that is none."""
    lines = [request_line(f"r{i}") for i in range(12)]
    lines.insert(6, "this is no request")
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


TWELVE: Counter[str | None] = Counter([*(f"r{i}" for i in range(12)), None])
"""The answers to these."""


class EchoApi:
    """Answers every request with its body, or as `tell` says; none before it has had `hold` at once."""

    def __init__(self, tell: Callable[[int], Response | None] = lambda number: None, hold: int = 1) -> None:
        self.bodies: list[bytes] = []
        self.most = 0
        self._running = 0
        self._tell = tell
        self._hold = hold
        self._held = asyncio.Event()

    async def post(self, path: str, body: bytes) -> Response:
        self.bodies.append(body)
        number = len(self.bodies)
        self._running += 1
        self.most = max(self.most, self._running)
        if self._running >= self._hold:
            self._held.set()
        await self._held.wait()
        await asyncio.sleep(0)
        self._running -= 1
        return self._tell(number) or Response(200, f"req-{number}", body)


def error(status: int, code: str) -> Response:
    return Response(status, "req-x", json.dumps({"error": {"message": "no", "code": code}}).encode())


def run(source: Path, target: Path, api: EchoApi, in_flight: int = 3) -> Runner:
    """Run as `llamad batch` does, without its models."""
    requests, output = Source(str(source), MAX_BODY_BYTES), open_output(str(target))
    try:
        requests.check_asks_for(output)
        runner = Runner(api, output)
        done = output.done

        async def answer() -> None:
            lines = Feed(line for line in requests.lines() if line.id not in done)
            await asyncio.wait_for(runner.run(lines, in_flight), WAIT_S)

        asyncio.run(answer())
        return runner
    finally:
        output.close()


def custom_ids(target: Path) -> Counter[str | None]:
    return Counter(json.loads(line)["custom_id"] for line in target.read_bytes().splitlines())
