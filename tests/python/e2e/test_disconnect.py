"""A client that goes away frees its slot, whatever its request was doing."""

from __future__ import annotations

import http.client
import json
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.python.support.server_process import ONE_THREAD, REQUEST_TIMEOUT_S, ServerProcess, serving
from tests.python.support.tiny_gguf import ENDLESS_N_CTX

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(300)

RUNNING, WAITING = "llamad_num_requests_running", "llamad_num_requests_waiting"
LONG_PROMPT = "hello world " * 45_000
"""About 90,000 tokens; computing them takes the better part of a minute."""


@pytest.fixture(scope="module")
def one_slot(endless_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    log_path = tmp_path_factory.mktemp("log") / "server.log"
    flags = ("--n-parallel", "1", "--n-ctx", str(ENDLESS_N_CTX), "--preload-model", "endless", *ONE_THREAD)
    with serving(endless_model.parent, *flags, log_path=log_path) as server:
        yield server


def send(server: ServerProcess, content: str, *, stream: bool) -> http.client.HTTPConnection:
    """Send a request that would run for minutes; closing the connection is how its client vanishes."""
    body: dict[str, Any] = {"model": "endless", "messages": [{"role": "user", "content": content}]}
    body |= {"stream": stream, "ignore_eos": True, "temperature": 0}
    address = urlsplit(server.url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=REQUEST_TIMEOUT_S)
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"content-type": "application/json"})
    return connection


def assert_slot_is_free(server: ServerProcess) -> None:
    server.wait_for_metric(RUNNING, lambda count: count == 0)
    with server.client() as client:
        completion = client.chat.completions.create(
            model="endless", messages=[{"role": "user", "content": "hello"}], max_tokens=4
        )
    assert completion.usage is not None
    assert completion.usage.completion_tokens >= 1


@pytest.mark.parametrize("stream", [True, False])
def test_gone_while_decoding(one_slot: ServerProcess, stream: bool) -> None:
    before = one_slot.metric("llamad_generation_tokens_total")
    with closing(send(one_slot, "hello", stream=stream)):
        one_slot.wait_for_metric("llamad_generation_tokens_total", lambda count: count > before + 10)
        assert one_slot.metric(RUNNING) == 1
    assert_slot_is_free(one_slot)


@pytest.mark.parametrize("stream", [True, False])
def test_gone_while_prefilling(one_slot: ServerProcess, stream: bool) -> None:
    generated = one_slot.metric("llamad_generation_tokens_total")
    prefilled = one_slot.metric("llamad_prefilled_tokens_total")
    with closing(send(one_slot, f"{stream} {LONG_PROMPT}", stream=stream)):
        one_slot.wait_for_metric(RUNNING, lambda count: count == 1)
    one_slot.wait_for_metric(RUNNING, lambda count: count == 0)
    assert one_slot.metric("llamad_generation_tokens_total") == generated
    assert one_slot.metric("llamad_prefilled_tokens_total") - prefilled < 80_000
    assert_slot_is_free(one_slot)


@pytest.mark.parametrize("stream", [True, False])
def test_gone_while_queued(one_slot: ServerProcess, stream: bool) -> None:
    with closing(send(one_slot, "hello", stream=True)):
        one_slot.wait_for_metric(RUNNING, lambda count: count == 1)
        with closing(send(one_slot, "world", stream=stream)):
            one_slot.wait_for_metric(WAITING, lambda count: count == 1)
        one_slot.wait_for_metric(WAITING, lambda count: count == 0)
        assert one_slot.metric(RUNNING) == 1
    assert_slot_is_free(one_slot)


def test_gone_while_the_body_is_on_its_way(one_slot: ServerProcess) -> None:
    address = urlsplit(one_slot.url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=REQUEST_TIMEOUT_S)
    with closing(connection):
        connection.putrequest("POST", "/v1/chat/completions")
        connection.putheader("content-type", "application/json")
        connection.putheader("content-length", "1000")
        connection.endheaders(b'{"model": ')
        one_slot.wait_for_metric("llamad_http_requests_live", lambda count: count == 1)
    one_slot.wait_for_metric("llamad_http_requests_live", lambda count: count == 0)
    assert_slot_is_free(one_slot)
