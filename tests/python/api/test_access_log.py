"""The line that each request leaves in the log."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from llamad.errors import EngineClosedError, GenerationError, ModelLoadingError
from llamad.server.log_format import JsonFormatter, TextFormatter

from .fakes import FakeEngine, end, queue_full
from .harness import CHAT, Served, chat_body, on_loop, serving, until

KEYS = [
    "request_id",
    "key",
    "method",
    "path",
    "status",
    "outcome",
    "model",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "queue_ms",
    "ttft_ms",
    "duration_ms",
    "trace_id",
]


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Told:
    caplog.set_level(logging.INFO)
    return Told(caplog)


class Told:
    """What the access log has said."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    @property
    def records(self) -> list[logging.LogRecord]:
        return [record for record in self._caplog.records if record.name == "llamad.access"]

    async def lines(self, count: int) -> list[dict[str, Any]]:
        await until(lambda: len(self.records) >= count)
        return [getattr(record, "fields") for record in self.records]  # noqa: B009 - made by `extra`

    async def outcome(self) -> str:
        (line,) = await self.lines(1)
        outcome: str = line["outcome"]
        return outcome


def test_one_line_a_request_with_stable_keys(told: Told) -> None:
    @on_loop
    async def scenario() -> None:
        async with serving() as served:
            for request_id, body in (("one", chat_body(stream=True)), ("two", chat_body()), ("three", {})):
                await served.client.post(CHAT, json=body, headers={"x-request-id": request_id})
            one, two, three = await told.lines(3)
        assert [list(line) for line in (one, two, three)] == [KEYS] * 3
        for line, request_id in ((one, "one"), (two, "two")):
            assert line["duration_ms"] > 0
            assert line["ttft_ms"] > 0
            expected: dict[str, Any] = {
                "request_id": request_id,
                "key": None,
                "method": "POST",
                "path": CHAT,
                "status": 200,
            }
            expected |= {"outcome": "ok", "model": "tiny", "queue_ms": 1.0, "trace_id": None}
            expected |= {"prompt_tokens": 5, "cached_tokens": 2, "completion_tokens": 2}
            assert line.items() >= expected.items()
        assert three["outcome"] == "invalid"
        assert three["status"] == 400
        assert all(three[key] is None for key in ("model", "prompt_tokens", "queue_ms", "ttft_ms"))

    scenario()


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (queue_full(), "refused"),
        (GenerationError("no"), "error"),
        (RuntimeError("no"), "error"),
        (EngineClosedError("no"), "stopped"),
        (ModelLoadingError("wait"), "refused"),
    ],
)
def test_outcome_of_what_is_not_answered(told: Told, error: Exception, outcome: str) -> None:
    @on_loop
    async def scenario() -> None:
        async with serving(FakeEngine(submit_error=error)) as served:
            await served.post()
            assert await told.outcome() == outcome

    scenario()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("reason", "error", "outcome"),
    [
        ("stop", {}, "ok"),
        ("length", {}, "length"),
        ("error", {"kind": "timeout", "message": "late"}, "timeout"),
        ("error", {"kind": "queue_timeout", "message": "late"}, "timeout"),
        ("error", {"kind": "engine_closed", "message": "bye"}, "stopped"),
        ("error", {"kind": "", "message": "broken"}, "error"),
    ],
)
def test_outcome_of_a_generation(
    told: Told, stream: bool, reason: str, error: dict[str, str], outcome: str
) -> None:
    @on_loop
    async def scenario() -> None:
        async with serving(FakeEngine()) as served:
            answer = asyncio.create_task(served.post(stream=stream))
            await served.engine.submitted.wait()
            end(served.engine.streams[0], reason, completion=3, **error)
            await answer
            assert await told.outcome() == outcome

    scenario()


def test_partial_of_a_timeout_is_counted(told: Told) -> None:
    @on_loop
    async def scenario() -> None:
        async with serving(FakeEngine()) as served:
            answer = asyncio.create_task(served.post())
            await served.engine.submitted.wait()
            end(served.engine.streams[0], "error", completion=3, kind="timeout", message="late")
            assert (await answer).status_code == 408
            (line,) = await told.lines(1)
        assert line["completion_tokens"] == 3
        assert line["queue_ms"] == 1.0

    scenario()


@pytest.mark.parametrize("stream", [False, True])
def test_client_that_leaves(told: Told, stream: bool) -> None:
    async def leave(served: Served) -> None:
        request = asyncio.create_task(served.post(stream=stream))
        await served.engine.submitted.wait()
        request.cancel()
        await asyncio.wait({request})

    @on_loop
    async def scenario() -> None:
        async with serving(FakeEngine()) as served:
            await leave(served)
            (line,) = await told.lines(1)
        assert (line["outcome"], line["status"]) == ("cancelled", 499)
        assert (line["prompt_tokens"], line["completion_tokens"]) == (5, 0)

    scenario()


def test_draining_server_refuses(told: Told) -> None:
    @on_loop
    async def scenario() -> None:
        async with serving() as served:
            served.state.draining = True
            assert (await served.post()).status_code == 503
            assert await told.outcome() == "refused"

    scenario()


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_lines_cannot_be_forged(told: Told, formatter: logging.Formatter) -> None:
    @on_loop
    async def scenario() -> None:
        async with serving() as served:
            await served.client.get("/x%0Aforged")
            await served.post(model="x\nforged\x1b[2J")
            await told.lines(2)

    scenario()
    lines = [formatter.format(record) for record in told.records]
    assert all(line.isprintable() for line in lines)
    assert all("x?forged" in line for line in lines)


def test_neither_prompt_nor_key_nor_answer_is_logged(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    secrets = ("TheFirstSecret", "sk-TheSecondSecret", "TheThirdSecret", "TheFourthSecret")
    prompt, key, answer, header = secrets

    @on_loop
    async def scenario() -> None:
        async with serving(FakeEngine(texts=[answer])) as served:
            headers = {
                "authorization": f"Bearer {key}",
                "x-request-id": f"no such id {header}",
                "x-a": header,
            }
            message = [{"role": "user", "content": prompt}]
            for body in (chat_body(messages=message), chat_body(messages=[{"role": prompt, "content": 3}])):
                await served.client.post(f"{CHAT}?key={key}", json=body, headers=headers)
            await told.lines(2)

    caplog.set_level(logging.DEBUG, "llamad")
    scenario()
    ours = [
        record for record in caplog.records if record.name.startswith(("llamad", "uvicorn", "blacksheep"))
    ]
    text = "\n".join(JsonFormatter().format(record) for record in ours)
    assert "request" in text
    assert not [secret for secret in secrets if secret in text]
