"""Traces as a collector receives them, over OTLP."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from llamad.server.tracing import Tracing, make_tracing
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.python.support.otlp_receiver import ReceivedSpan, Receiver, receiving

from .fakes import FakeEngine, delta, end
from .harness import CHAT, Served, chat_body, on_loop, serving

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT_ID = "00f067aa0ba902b7"
PHASES = ["queue", "prefill", "decode"]


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
        yield receiver


@asynccontextmanager
async def traced(engine: FakeEngine | None = None) -> AsyncIterator[Served]:
    """Serve; what was traced has been sent when the block is left."""
    tracing = Tracing()
    try:
        async with serving(engine) as served:
            served.state.trace = tracing.record
            yield served
    finally:
        await asyncio.to_thread(tracing.close)


def request_span(receiver: Receiver) -> ReceivedSpan:
    (span,) = [span for span in receiver.spans if span.kind == Span.SPAN_KIND_SERVER]
    return span


def children(receiver: Receiver, parent: ReceivedSpan) -> list[ReceivedSpan]:
    return [span for span in receiver.spans if span.parent_id == parent.span_id]


@pytest.mark.parametrize("stream", [False, True])
def test_span_of_a_chat(receiver: Receiver, stream: bool) -> None:
    before = time.time_ns()

    @on_loop
    async def scenario() -> None:
        async with traced() as served:
            headers = {"x-request-id": "one"}
            await served.client.post(CHAT, json=chat_body(stream=stream), headers=headers)

    scenario()
    span = request_span(receiver)
    assert receiver.paths == ["/v1/traces"]
    assert span.name == "chat tiny"
    assert not span.parent_id
    assert not span.error
    assert before <= span.start <= span.end <= time.time_ns()
    expected: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "llamad",
        "gen_ai.request.model": "tiny",
        "gen_ai.usage.input_tokens": 5,
        "gen_ai.usage.output_tokens": 2,
        "gen_ai.usage.cache_read.input_tokens": 2,
        "gen_ai.response.finish_reasons": ["stop"],
        "http.request.method": "POST",
        "http.route": CHAT,
        "http.response.status_code": 200,
        "llamad.request.id": "one",
    }
    given = dict(span.attributes)
    first = given.pop("gen_ai.response.time_to_first_chunk", None)
    assert (first is not None) == stream
    assert given == expected | ({"gen_ai.request.stream": True} if stream else {})


@pytest.mark.parametrize("stream", [False, True])
def test_phases_follow_each_other_inside(receiver: Receiver, stream: bool) -> None:
    @on_loop
    async def scenario() -> None:
        async with traced(FakeEngine()) as served:
            answer = asyncio.create_task(served.post(stream=stream))
            await served.engine.submitted.wait()
            await asyncio.sleep(0.02)  # the engine is to say that it has worked for 6 ms
            delta(served.engine.streams[0], "Hello")
            end(served.engine.streams[0], "stop", completion=1)
            await answer

    scenario()
    span = request_span(receiver)
    queue, prefill, decode = phases = children(receiver, span)
    assert [phase.name for phase in phases] == PHASES
    assert {phase.trace_id for phase in phases} == {span.trace_id}
    assert span.start <= queue.start
    assert queue.end == prefill.start
    assert prefill.end == decode.start
    assert decode.end <= span.end
    lengths = [round((phase.end - phase.start) / 1e6) for phase in phases]
    assert lengths == [1, 2, 3]
    assert prefill.attributes == {"llamad.prefill.tokens": 3}


@pytest.mark.parametrize(
    ("path", "fields", "name"),
    [("/v1/completions", {"prompt": "Hi"}, "text_completion tiny"), (CHAT, chat_body(), "chat tiny")],
)
def test_names_of_the_operations(receiver: Receiver, path: str, fields: dict[str, Any], name: str) -> None:
    @on_loop
    async def scenario() -> None:
        async with traced() as served:
            await served.client.post(path, json={"model": "tiny"} | fields)
            await served.client.get("/v1/models")
            await served.client.get("/healthz")

    scenario()
    assert request_span(receiver).name == name


def test_context_of_the_caller_is_kept(receiver: Receiver) -> None:
    @on_loop
    async def scenario() -> None:
        async with traced() as served:
            headers = {"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-01", "tracestate": "vendor=1"}
            await served.client.post(CHAT, json=chat_body(), headers=headers)

    scenario()
    span = request_span(receiver)
    assert (span.trace_id, span.parent_id) == (TRACE_ID, PARENT_ID)
    assert len(children(receiver, span)) == 3


@pytest.mark.parametrize("given", ["", "garbage", f"00-{'0' * 32}-{PARENT_ID}-01"])
def test_context_that_is_none_begins_a_trace(receiver: Receiver, given: str) -> None:
    @on_loop
    async def scenario() -> None:
        async with traced() as served:
            await served.client.post(CHAT, json=chat_body(), headers={"traceparent": given})

    scenario()
    span = request_span(receiver)
    assert span.trace_id.strip("0")
    assert not span.parent_id


def test_what_the_caller_does_not_sample_is_not_sent(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    @on_loop
    async def scenario() -> None:
        async with traced() as served:
            headers = {"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-00"}
            await served.client.post(CHAT, json=chat_body(), headers=headers)

    caplog.set_level("INFO")
    scenario()
    assert receiver.spans == []
    (record,) = [record for record in caplog.records if record.name == "llamad.access"]
    assert getattr(record, "fields")["trace_id"] == TRACE_ID  # noqa: B009 - made by `extra`


@pytest.mark.parametrize("stream", [False, True])
def test_failure_is_marked(receiver: Receiver, stream: bool) -> None:
    @on_loop
    async def scenario() -> None:
        async with traced(FakeEngine()) as served:
            answer = asyncio.create_task(served.post(stream=stream))
            await served.engine.submitted.wait()
            end(served.engine.streams[0], "error", kind="", message="broken")
            await answer

    scenario()
    span = request_span(receiver)
    assert span.error
    assert span.attributes["error.type"] == "generation_failed"
    assert span.attributes["http.response.status_code"] == (200 if stream else 500)


def test_mistake_of_the_client_is_told_but_no_error(receiver: Receiver) -> None:
    @on_loop
    async def scenario() -> None:
        async with traced() as served:
            await served.post(model="none such")

    scenario()
    span = request_span(receiver)
    assert not span.error
    assert span.name == "chat"
    assert span.attributes["error.type"] == "model_not_found"
    assert children(receiver, span) == []


@pytest.mark.parametrize(
    ("variable", "value", "name"),
    [
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio", "llamad"),
        ("OTEL_SERVICE_NAME", "chat-backend", "chat-backend"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=from-resource", "from-resource"),
    ],
)
def test_name_of_the_service(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, name: str
) -> None:
    @on_loop
    async def scenario() -> None:
        async with traced() as served:
            await served.post()

    monkeypatch.setenv(variable, value)
    scenario()
    assert receiver.resource["service.name"] == name


def test_neither_prompt_nor_answer_nor_key_is_sent(receiver: Receiver) -> None:
    @on_loop
    async def scenario() -> None:
        async with traced(FakeEngine(texts=["the-answer"])) as served:
            headers = {"authorization": "Bearer the-key", "x-api-key": "the-key"}
            messages = [{"role": "user", "content": "the-prompt"}]
            await served.client.post(CHAT, json=chat_body(messages=messages), headers=headers)

    scenario()
    assert len(receiver.spans) == 4
    told = repr(receiver.spans) + repr(receiver.resource)
    assert not [secret for secret in ("the-answer", "the-key", "the-prompt") if secret in told]


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_SERVICE_NAME": "llamad"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
    ],
)
def test_off(environ: dict[str, str]) -> None:
    assert make_tracing(environ) is None


def test_headers_of_the_client_are_not_logged(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    @on_loop
    async def scenario() -> None:
        async with traced() as served:
            headers = {
                "traceparent": f"00-{TRACE_ID}-{PARENT_ID}-01",
                "tracestate": "Told!=told",
                "baggage": "told," + "told=" + 9000 * "x",
            }
            assert (await served.client.post(CHAT, json=chat_body(), headers=headers)).status_code == 200

    scenario()
    assert request_span(receiver).parent_id
    assert "told" not in caplog.text


def test_missing_extra_is_told_and_no_reason_not_to_serve(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    assert make_tracing({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1"}) is None
    assert "pip install 'llamad[tracing]'" in caplog.text


def test_nothing_is_imported_while_it_is_off() -> None:
    code = (
        "import sys; from llamad.server import lifecycle, tracing; assert tracing.make_tracing({}) is None; "
        "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_collector_that_is_away_holds_up_nobody(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setattr("llamad.server.tracing._CLOSE_S", 0.1)

    @on_loop
    async def scenario() -> None:
        async with traced() as served:
            assert (await served.post()).status_code == 200

    scenario()
