"""Who may use the monitor: a matter of where it listens."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx
import pytest
from llamad.server.gate import Gate
from llamad.server.listener import Listener
from llamad.server.monitor import make_monitor
from llamad.server.monitor_gate import MonitorGate
from llamad.server.state import ServerState
from llamad.settings import Settings

from .fake_models import FakeModels
from .fakes import FakeEngine
from .harness import client_of, on_loop
from .test_errors import error_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

EVERYWHERE = {"monitor_host": "0.0.0.0"}
INSIDE = (
    "/debug/slots",
    "/debug/stacks",
    "/debug/pprof/profile?seconds=0",
    "/DEBUG/slots",
    "/debug",
    "/nothing",
)
OPEN = ("/healthz", "/readyz", "/metrics")


@asynccontextmanager
async def monitor(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    gate = Gate(settings)
    state = ServerState(FakeModels({"tiny": FakeEngine()}), gate, max_body_bytes=1)
    state.ready = True
    application = make_monitor(state)
    await application.start()
    async with (
        Listener(MonitorGate(application, settings, gate), "127.0.0.1", 0) as listener,
        client_of(listener) as client,
    ):
        yield client


@pytest.mark.parametrize("path", OPEN)
@on_loop
async def test_whoever_is_on_this_machine(path: str) -> None:
    async with monitor(Settings(api_key=("sk-a",), admin_key="sk-root")) as client:
        assert (await client.get(path)).status_code == 200


@pytest.mark.parametrize("path", [*OPEN, *INSIDE])
@on_loop
async def test_no_page_under_another_name(path: str) -> None:
    async with monitor(Settings()) as client:
        response = await client.get(path, headers={"host": "evil.example:9090"})
        assert (response.status_code, error_of(response)["code"]) == (403, "host_not_allowed")


@pytest.mark.parametrize("path", INSIDE)
@on_loop
async def test_the_inside_is_for_operators_where_others_reach_it(path: str) -> None:
    async with monitor(Settings(api_key=("sk-a",), admin_key="sk-root", **EVERYWHERE)) as client:  # type: ignore[arg-type]
        for headers in ({}, {"authorization": "Bearer sk-a"}, {"authorization": "Bearer sk-wrong"}):
            response = await client.get(path, headers=headers)
            assert (response.status_code, error_of(response)["code"]) == (403, "admin_key_required")
        response = await client.get(path, headers={"authorization": "Bearer sk-root"})
        assert response.status_code != 403


@on_loop
async def test_without_an_admin_key_nobody_looks_inside_from_elsewhere() -> None:
    async with monitor(Settings(**EVERYWHERE)) as client:  # type: ignore[arg-type]
        response = await client.get("/debug/slots", headers={"authorization": "Bearer "[:6]})
        assert response.status_code == 403
        for path in OPEN:
            assert (await client.get(path, headers={"host": "10.0.0.1:9090"})).status_code == 200
