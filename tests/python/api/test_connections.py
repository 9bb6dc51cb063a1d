"""What clients may do to a connection before there is a request to answer, over real sockets."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from llamad.settings import Settings

from .fakes import WAIT_S, FakeEngine, delta, end
from .harness import on_loop, raw_request, serving, until, wait_for
from .raw_client import HEALTHZ, Client, connected

if TYPE_CHECKING:
    pass


async def drip(client: Client, data: bytes, every_s: float) -> None:
    """Send a byte now and then, until the connection is gone."""
    for byte in data:
        client.send(bytes([byte]))
        await asyncio.sleep(every_s)


@on_loop
async def test_a_head_that_does_not_end() -> None:
    async with serving(settings=Settings(header_timeout=0.5)) as served, connected(served) as client:
        client.send(HEALTHZ[:-2])
        answer = await client.rest()
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'"code":"header_timeout"' in answer
        assert served.state.refused_connections == {"header_timeout": 1}
        assert b"connection: close" in answer


@pytest.mark.parametrize(
    "data", [HEALTHZ[:-2] + b"x: " + b"y" * 10_000, b"\r\n" * 10_000, b"GET /" + b"x" * 10_000]
)
@on_loop
async def test_a_byte_now_and_then_does_not_hold_a_connection(data: bytes) -> None:
    async with serving(settings=Settings(header_timeout=0.2)) as served, connected(served) as client:
        dripping = asyncio.create_task(drip(client, data, 0.02))
        with suppress(ConnectionResetError):  # who asked for nothing is not answered
            await client.rest()
        await until(lambda: not served.listener.connections)
        dripping.cancel()


@on_loop
async def test_a_connection_that_asks_for_nothing() -> None:
    async with serving(settings=Settings(header_timeout=0.1)) as served, connected(served) as client:
        assert await client.rest() == b""


@on_loop
async def test_the_second_head_has_its_own_time() -> None:
    async with serving(settings=Settings(header_timeout=2)) as served, connected(served) as client:
        for _ in range(5):
            client.send(HEALTHZ[:20])
            await asyncio.sleep(0.5)
            client.send(HEALTHZ[20:])
            assert b" 200 " in await client.line()
            while (await client.line()) != b"\r\n":
                pass
            await client.exactly(len(b'{"status":"ok"}'))
        client.send(HEALTHZ[:20])
        assert b" 408 " in await client.line()


@on_loop
async def test_an_answer_may_take_longer_than_a_head() -> None:
    async with serving(FakeEngine(), settings=Settings(header_timeout=0.5)) as served:
        asked = asyncio.create_task(served.post())
        await wait_for(served.engine.submitted)
        await asyncio.sleep(0.8)
        end(served.engine.streams[0], "stop")
        assert (await asked).status_code == 200


@on_loop
async def test_idle_connections_are_kept() -> None:
    async with serving(settings=Settings(header_timeout=0.5)) as served:
        assert (await served.post()).status_code == 200
        await asyncio.sleep(0.8)
        assert len(served.listener.connections) == 1


@on_loop
async def test_two_hundred_of_them_hold_up_nobody() -> None:
    settings = Settings(header_timeout=3)
    async with serving(FakeEngine(texts=["Hel", "lo"] * 20), settings=settings) as served:
        slow = [await asyncio.open_connection(*served.address) for _ in range(200)]
        drips = [
            asyncio.create_task(drip(Client(*one), HEALTHZ[:-2] + b"x: " + b"y" * 10_000, 0.05))
            for one in slow
        ]
        for _ in range(20):
            async with asyncio.timeout(WAIT_S):
                assert (await served.post(stream=True)).status_code == 200
        answers = await asyncio.gather(*(Client(*one).rest() for one in slow))
        assert all(answer.startswith(b"HTTP/1.1 408 ") for answer in answers)
        for (_, writer), task in zip(slow, drips, strict=True):
            task.cancel()
            writer.close()
        await until(lambda: len(served.listener.connections) <= 1)
        assert (await served.post()).status_code == 200


@pytest.mark.parametrize(
    "head",
    [
        b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: " + b"y" * 3000 + b"\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n" + b"x: y\r\n" * 500 + b"\r\n",
        b"GET /" + b"x" * 3000 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nx: " + b"y" * 1_000_000,
        b"GET /" + b"x" * 1_000_000,
        b"GET /healthz HTTP/1.1\r\n" + b"y" * 1_000_000,
    ],
)
@on_loop
async def test_heads_that_are_too_large(head: bytes) -> None:
    async with serving(settings=Settings(max_header_kib=2)) as served, connected(served) as client:
        client.send(head)
        answer = await client.rest()
        assert answer.startswith(b"HTTP/1.1 431 ")
        assert b'"code":"headers_too_large"' in answer


@on_loop
async def test_headers_behind_a_body_change_nothing() -> None:
    async with serving(settings=Settings(api_key=("sk-a",))) as served, connected(served) as client:
        head = raw_request(b"", "connection: close").replace(
            b"content-length: 0", b"transfer-encoding: chunked"
        )
        client.send(head + b"2\r\n{}\r\n0\r\nauthorization: Bearer sk-a\r\n\r\n")
        assert b" 401 " in await client.line()


@pytest.mark.parametrize(
    "rest", [b"0\r\nx: " + b"y" * 5000, b"0\r\n" + b"x: y\r\n" * 1000, b"1;x=" + b"y" * 5000]
)
@on_loop
async def test_headers_behind_a_body_do_not_pile_up(rest: bytes) -> None:
    async with serving(settings=Settings(max_header_kib=1)) as served, connected(served) as client:
        head = raw_request(b"").replace(b"content-length: 0", b"transfer-encoding: chunked")
        client.send(head + b"2\r\n{}\r\n")
        await until(lambda: len(served.state.live) == 1)
        for start in range(0, len(rest), 500):
            client.send(rest[start : start + 500])
            await asyncio.sleep(0.01)
        await until(lambda: served.state.answered == {499: 1})


@on_loop
async def test_a_head_below_the_limit_after_others() -> None:
    """The limit is of each head, not of the connection, and bodies do not count."""
    async with serving(settings=Settings(max_header_kib=1)) as served:
        for _ in range(5):
            assert (await served.post(user="x" * 5000)).status_code == 200
        assert len(served.listener.connections) == 1


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\r\n\r\nnonsense\r\n\r\n",
        b"GET \xff HTTP/1.1\r\n\r\n",
    ],
)
@on_loop
async def test_what_is_not_http(garbage: bytes) -> None:
    async with serving() as served, connected(served) as client:
        client.send(garbage)
        answer = await client.rest()
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b'"code":"invalid_http"' in answer


def test_offers_of_other_protocols_are_declined(caplog: pytest.LogCaptureFixture) -> None:
    @on_loop
    async def scenario() -> None:
        async with serving() as served:
            for protocol in ("websocket", "h2c"):
                headers = {"connection": "upgrade", "upgrade": protocol}
                assert (await served.client.get("/healthz", headers=headers)).status_code == 200

    scenario()
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


@pytest.mark.parametrize("framing", ["length", "chunks"])
@pytest.mark.parametrize("apart", [False, True])
@on_loop
async def test_what_is_sent_with_an_offer_of_another_protocol_is_read(framing: str, apart: bool) -> None:
    async with serving() as served, connected(served) as client:
        body = b'{"model":"tiny","messages":"none"}'
        framed = b"content-length: %d\r\n" % len(body)
        if framing == "chunks":
            framed, body = b"transfer-encoding: chunked\r\n", b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        offer = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAEAAEAA\r\n"
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n" + offer + framed + b"\r\n"
        for _ in range(2):  # the connection stays in use
            client.send(head)
            if apart:
                await asyncio.sleep(0.05)
            client.send(body)
            assert b" 400 " in await client.line()
            length = 0
            while (line := await client.line()) != b"\r\n":
                if line.startswith(b"content-length:"):
                    length = int(line.partition(b":")[2])
            assert b'"param":"messages"' in await client.exactly(length)


@on_loop
async def test_offers_in_one_piece_are_answered_in_order() -> None:
    async with serving() as served, connected(served) as client:
        offer = b"GET %s HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"
        last = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        client.send(offer % b"/healthz" + offer % b"/nothing" + last)
        statuses = [part[:3] for part in (await client.rest()).split(b"HTTP/1.1 ")[1:]]
        assert statuses == [b"200", b"404", b"200"]


@on_loop
async def test_there_is_no_tunnel() -> None:
    async with serving() as served, connected(served) as client:
        client.send(b"CONNECT localhost:80 HTTP/1.1\r\nhost: localhost:80\r\n\r\n")
        assert (await client.rest()).startswith(b"HTTP/1.1 400 ")


@on_loop
async def test_garbage_behind_a_request_does_not_end_up_in_its_answer() -> None:
    async with serving(FakeEngine()) as served, connected(served) as client:
        client.send(
            raw_request(b'{"model":"tiny","stream":true,"messages":[{"role":"user","content":"Hi"}]}')
        )
        await wait_for(served.engine.submitted)
        delta(served.engine.streams[0], "Hel")
        assert b" 200 " in await client.line()
        client.send(b"\0\0\0\0\r\n\r\n")
        answer = await client.rest()
        assert b"invalid_http" not in answer
        await wait_for(served.engine.cancelled)


@on_loop
async def test_pipelined_requests_are_answered_in_order() -> None:
    async with serving() as served, connected(served) as client:
        paths = ["/healthz", "/nothing", "/v1/models", "/healthz"]
        client.send(
            b"".join(f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode() for path in paths[:-1])
        )
        client.send(HEALTHZ.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
        answer = await client.rest()
        statuses = [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]]
        assert statuses == [b"200", b"404", b"200", b"200"]


@on_loop
async def test_a_pipeline_without_end_is_cut() -> None:
    async with serving(FakeEngine()) as served, connected(served) as client:
        client.send(raw_request(b'{"model":"tiny","messages":[{"role":"user","content":"Hi"}]}'))
        await wait_for(served.engine.submitted)
        client.send(HEALTHZ * 1000)
        await client.rest()
        await wait_for(served.engine.cancelled)
        assert (await served.client.get("/healthz")).status_code == 200


@on_loop
async def test_leaving_is_noticed_with_requests_waiting() -> None:
    async with serving(FakeEngine()) as served:
        async with connected(served) as client:
            client.send(raw_request(b'{"model":"tiny","messages":[{"role":"user","content":"Hi"}]}'))
            client.send(HEALTHZ * 3)
            await wait_for(served.engine.submitted)
        await wait_for(served.engine.cancelled)
        assert await served.state.wait_idle(WAIT_S)
        assert served.state.answered == {499: 1}


@on_loop
async def test_a_body_of_a_byte_now_and_then_is_given_up() -> None:
    """Each byte comes within the limit, but so few of them are no progress."""
    async with serving(read_timeout_s=0.3) as served, connected(served) as client:
        client.send(raw_request(b"").replace(b"content-length: 0", b"content-length: 1000"))
        dripping = asyncio.create_task(drip(client, b"x" * 1000, 0.05))
        await until(lambda: served.state.answered == {408: 1})
        dripping.cancel()
