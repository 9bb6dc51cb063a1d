"""What a reload changes, and what it leaves alone."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from llamad.errors import SettingsError
from llamad.server.notify import Notifier
from llamad.server.reload import Part, Reloader
from llamad.server.state import ServerState
from llamad.settings import Settings

from tests.python.api.harness import until


@pytest.fixture(autouse=True)
def _log_level() -> Iterator[None]:
    names = (None, "uvicorn", "blacksheep", "urllib3")
    before = [logging.getLogger(name).level for name in names]
    yield
    for name, level in zip(names, before, strict=True):
        logging.getLogger(name).setLevel(level)


class Told(Notifier):
    """Remembers what the service manager would be told."""

    def __init__(self) -> None:
        super().__init__({})
        self.messages: list[str] = []

    def _send(self, *lines: str) -> None:
        self.messages.append(lines[0])


async def take(_: Settings) -> None:
    """Take what there is, which is nothing."""


class Server:
    """A reloader with sources that the test writes."""

    def __init__(self, settings: Settings, part: Part | None = None) -> None:
        self.source: Settings | Exception = settings
        self.state = ServerState(cast("Any", None), max_body_bytes=settings.max_body_mib << 20)
        self.state.ready = True
        self.notifier = Told()
        self.reloader = Reloader(
            settings, self._reread, self.state, part or (frozenset(), take), self.notifier
        )

    def _reread(self) -> Settings:
        if isinstance(self.source, Exception):
            raise self.source
        return self.source

    def reload(self, **changes: Any) -> None:
        self.source = dataclasses.replace(self.reloader.settings, **changes)
        asyncio.run(self.reloader.reload())


def test_what_can_change_changes(caplog: pytest.LogCaptureFixture) -> None:
    server = Server(Settings())
    caplog.set_level(logging.INFO)
    server.reload(
        log_level="debug", max_body_mib=1, read_timeout=7.0, trust_request_chat_template=True, lameduck=3.0
    )
    assert logging.getLogger().level == logging.DEBUG
    assert (server.state.body_limits.most_bytes, server.state.body_limits.stall_s) == (1 << 20, 7.0)
    assert server.state.trust_request_chat_template
    assert server.reloader.settings.lameduck == 3.0
    assert "reload: done; changed: lameduck, log_level, max_body_mib" in caplog.text


def test_what_cannot_change_is_named_and_stays(caplog: pytest.LogCaptureFixture) -> None:
    server = Server(Settings(port=1, host="a"))
    for _ in range(2):
        caplog.clear()
        server.reload(port=2, host="b", lameduck=5.0)
        assert "a restart is needed to change host, port" in caplog.text
    assert (server.reloader.settings.port, server.reloader.settings.lameduck) == (1, 5.0)


def test_part_gets_its_settings_at_every_reload() -> None:
    """What settings name, such as a file of keys, may have changed though they have not."""
    told: list[Settings] = []

    async def apply(settings: Settings) -> None:
        told.append(settings)

    server = Server(Settings(port=1), (frozenset({"api_key"}), apply))
    server.reload(api_key=("new",), port=2)
    server.reload()
    assert [(one.api_key, one.port) for one in told] == [(("new",), 1)] * 2


def test_part_that_refuses_leaves_the_settings_as_they_were() -> None:
    async def refuse(_: Settings) -> None:
        raise SettingsError("no such file")

    server = Server(Settings(), (frozenset({"api_key"}), refuse))
    with pytest.raises(SettingsError):
        server.reload(api_key=("new",), max_body_mib=1)
    assert server.reloader.settings == Settings()
    assert server.state.body_limits.most_bytes == Settings().max_body_mib << 20


async def ask_and_wait(server: Server, condition: Callable[[], bool]) -> None:
    running = asyncio.create_task(server.reloader.run())
    server.reloader.ask()
    await until(condition)
    running.cancel()


@pytest.mark.parametrize("error", [SettingsError("c.toml: not a TOML file"), RuntimeError("a bug")])
def test_broken_source_changes_nothing(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    server = Server(Settings(lameduck=9.0))
    server.source = error
    asyncio.run(ask_and_wait(server, lambda: len(server.notifier.messages) == 2))
    assert server.reloader.settings == Settings(lameduck=9.0)
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "the configuration before stays in force" in record.getMessage()
    assert server.notifier.messages == ["RELOADING=1", "READY=1"]


def test_reloading_goes_on_after_a_broken_source() -> None:
    server = Server(Settings())

    async def scenario() -> None:
        server.source = SettingsError("broken")
        await ask_and_wait(server, lambda: len(server.notifier.messages) == 2)
        server.source = Settings(lameduck=1.0)
        await ask_and_wait(server, lambda: len(server.notifier.messages) == 4)

    asyncio.run(scenario())
    assert server.reloader.settings.lameduck == 1.0


def test_server_that_drains_is_not_told_to_be_ready_again() -> None:
    server = Server(Settings())
    server.state.draining = True

    async def scenario() -> None:
        await ask_and_wait(server, lambda: len(server.notifier.messages) == 1)
        await asyncio.sleep(0)

    asyncio.run(scenario())
    assert server.notifier.messages == ["RELOADING=1"]


def test_server_that_still_preloads_is_not_told_to_be_ready() -> None:
    server = Server(Settings())
    server.state.ready = False
    server.source = Settings(lameduck=1.0)

    async def scenario() -> None:
        await ask_and_wait(server, lambda: server.reloader.settings.lameduck == 1.0)
        await asyncio.sleep(0)

    asyncio.run(scenario())
    assert server.notifier.messages == []
