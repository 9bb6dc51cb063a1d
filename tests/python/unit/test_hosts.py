"""By which names a server on a loopback address may be called."""

from __future__ import annotations

import pytest
from llamad.server.cors import is_same_origin
from llamad.server.hosts import Hosts, is_loopback

LOCAL = (
    "localhost",
    "LOCALHOST:8080",
    "localhost.:8080",
    "app.localhost:8080",
    "127.0.0.1",
    "127.0.0.1:8080",
    "127.9.9.9",
    "[::1]:8080",
    "[::ffff:127.0.0.1]",
)
FOREIGN = (
    "evil.example",
    "evil.example:8080",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "evillocalhost",
    "192.168.0.1:8080",
    "0.0.0.0:8080",
    "[::]:8080",
    "[2001:db8::1]",
    "localhost@evil.example",
    "evil.example#localhost",
    "2130706433",
    "",
)


@pytest.mark.parametrize("host", LOCAL)
def test_names_of_this_machine(host: str) -> None:
    assert Hosts().refusal(host.encode()) is None


@pytest.mark.parametrize("host", FOREIGN)
def test_other_names(host: str) -> None:
    refused = Hosts().refusal(host.encode())
    assert refused is not None
    assert (refused.status, refused.code) == (403, "host_not_allowed")


def test_allowed_names() -> None:
    hosts = Hosts(["llm.example.org"])
    assert hosts.refusal(b"LLM.example.org:443") is None
    assert hosts.refusal(b"x.llm.example.org") is not None
    assert Hosts(["*"]).refusal(b"evil.example") is None


def test_programs_that_name_no_host_are_no_browsers() -> None:
    assert Hosts().refusal(None) is None


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("llm.example.org", False),
    ],
)
def test_addresses_of_this_machine_alone(address: str, *, loopback: bool) -> None:
    assert is_loopback(address) is loopback


@pytest.mark.parametrize(
    ("origin", "host", "same"),
    [
        (None, b"localhost:8080", True),
        (b"http://localhost:8080", b"localhost:8080", True),
        (b"https://LLM.example.org", b"llm.example.org", True),
        (b"http://localhost:3000", b"localhost:8080", False),
        (b"http://evil.example", b"localhost:8080", False),
        (b"null", b"localhost:8080", False),
        (b"", b"", False),
        (b"null", b"", False),
    ],
)
def test_pages_of_the_server_itself(origin: bytes | None, host: bytes, *, same: bool) -> None:
    headers = {b"host": host} | ({} if origin is None else {b"origin": origin})
    assert is_same_origin(headers) is same


def test_the_word_of_the_browser() -> None:
    headers = {b"host": b"127.0.0.1:8080", b"origin": b"https://llm.example.org"}
    assert is_same_origin(headers | {b"sec-fetch-site": b"same-origin"})
    assert not is_same_origin(headers | {b"sec-fetch-site": b"same-site"})
    assert not is_same_origin(headers | {b"sec-fetch-site": b"cross-site"})
