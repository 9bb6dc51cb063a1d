"""Life and death of the serving process.

Life: bind both ports, answer, load the models to preload, be ready.

Death, on SIGTERM or SIGINT:
1. Drain: the monitor says "not ready", new requests get 503, running ones go on for `lameduck` seconds.
2. Close the models: what still runs ends with an error event on its stream.
3. Abort what is left (a body that does not end, a load that was waited for) with 503.
4. Close the connections and exit 0.
A second signal exits at once.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from contextlib import AsyncExitStack
from itertools import chain
from typing import TYPE_CHECKING

import uvloop

from ..async_engine import AsyncEngine
from ..embedder import AsyncEmbedder
from ..errors import LlamadError
from ..models.manager import ModelManager
from ..models.metadata import read_metadata
from ..settings.options import embedder_options, engine_options
from . import banner, logs
from .app import make_api
from .listener import Listener
from .monitor import make_monitor
from .slow_readers import ReadLimits, SlowReaders
from .state import ServerState

if TYPE_CHECKING:
    from ..engine_protocol import EmbedderProtocol, EngineProtocol
    from ..models.specs import ModelSpec
    from ..settings import Settings
    from .state import Models

_CLOSE_S = 10.0
"""For an engine to end its step and free its memory."""

_FAREWELL_S = 2.0
"""For error events and 503s to be written once the engines are closed."""

_EXIT_S = 10.0
"""For threads to end once the loop is over; a load under way cannot always be given up."""

_logger = logging.getLogger("llamad.server")


def serve(settings: Settings) -> int:
    """Serve until a signal ends it. The process is to end with it: threads that linger are cut off.

    Returns:
        The exit code: 0 after a clean shutdown, 1 if the server could not start.
    """
    logs.set_up(settings.log_level)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code = runner.run(run(settings, _manager(settings)))
        _exit_in_any_case(code)
    return code


async def run(settings: Settings, models: Models) -> int:
    """Serve the models on the running loop until a signal ends it; returns the exit code."""
    return await _Lifecycle(settings, models).run()


class _Lifecycle:
    def __init__(self, settings: Settings, models: Models) -> None:
        self._settings = settings
        self._models = models
        self._state = ServerState(
            models, max_body_bytes=settings.max_body_mib << 20, read_timeout_s=settings.read_timeout
        )
        self._signalled = asyncio.Event()
        self._listeners: list[Listener] = []

    async def run(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._on_signal, number)
        chores = [
            asyncio.create_task(logs.forward_native_lines_forever()),
            asyncio.create_task(self._watch_slow_readers()),
        ]
        try:
            async with AsyncExitStack() as listeners:
                await self._listen(listeners)
                await self._live()
                await self._die()
        except LlamadError as error:
            print(f"llamad: {error}", file=sys.stderr, flush=True)
            return 1
        finally:
            await self._close_models()
            for chore in chores:
                chore.cancel()
        _logger.info("stopped")
        return 0

    async def _listen(self, listeners: AsyncExitStack) -> None:
        settings = self._settings
        application, edge = make_api(self._state)
        await application.start()
        api = await listeners.enter_async_context(Listener(edge, settings.host, settings.port))
        self._listeners = [api]
        monitor_url = None
        if settings.monitor_port >= 0:
            application = make_monitor(self._state)
            await application.start()
            monitor = Listener(application, settings.monitor_host, settings.monitor_port)
            monitor_url = (await listeners.enter_async_context(monitor)).url
            self._listeners.append(monitor)
        entries = await self._models.read_entries()
        print(banner.text(settings.model_directory, entries, api.url, monitor_url), flush=True)

    async def _watch_slow_readers(self) -> None:
        limits = ReadLimits(self._settings.max_unread_kib << 10, self._settings.write_timeout)
        readers = SlowReaders(self._state, limits)
        await readers.run(lambda: chain.from_iterable(one.connections for one in self._listeners))

    async def _live(self) -> None:
        """Preload, be ready, and return on the first signal."""
        signalled = asyncio.create_task(self._signalled.wait())
        preload = asyncio.create_task(self._preload())
        try:
            await asyncio.wait((signalled, preload), return_when=asyncio.FIRST_COMPLETED)
            if preload.done():
                await preload
                self._state.ready = True
                _logger.info("ready")
                await signalled
        finally:
            signalled.cancel()
            preload.cancel()

    async def _preload(self) -> None:
        for name in self._settings.preload_model:
            await self._models.preload(name)

    async def _die(self) -> None:
        state = self._state
        state.draining = True
        if state.live:
            running, lameduck = len(state.live), self._settings.lameduck
            _logger.info("draining: %d running requests have %g s to finish", running, lameduck)
        if not await state.wait_idle(self._settings.lameduck):
            _logger.warning("lameduck is over: ending %d requests", len(state.live))
        await self._close_models()
        if not await state.wait_idle(_FAREWELL_S):
            for exchange in list(state.live):
                exchange.abort()

    async def _close_models(self) -> None:
        try:
            await asyncio.wait_for(self._models.close(), _CLOSE_S)
        except TimeoutError:
            _logger.warning("an engine did not stop within %g s", _CLOSE_S)

    def _on_signal(self, number: signal.Signals) -> None:
        if self._signalled.is_set():
            print(f"llamad: second {number.name}: exiting at once", file=sys.stderr, flush=True)
            os._exit(128 + number)
        _logger.info("%s: shutting down; a second signal exits at once", number.name)
        self._signalled.set()


def _manager(settings: Settings) -> ModelManager:
    async def load(spec: ModelSpec) -> EngineProtocol | EmbedderProtocol:
        given_up = threading.Event()
        metadata = await asyncio.to_thread(read_metadata, spec.path)
        generates = metadata is None or metadata.kind == "generate"
        path = str(spec.path)
        try:
            if generates:
                return await AsyncEngine.load(
                    path, on_progress=lambda _: not given_up.is_set(), **engine_options(settings)
                )
            return await AsyncEmbedder.load(
                path, on_progress=lambda _: not given_up.is_set(), **embedder_options(settings)
            )
        finally:
            given_up.set()
            logs.forward_native_lines()

    return ModelManager(settings.model_directory, load, settings.load_timeout)


def _exit_in_any_case(code: int) -> None:
    """Exit with this code even if some thread never ends."""

    def exit_now() -> None:
        _logger.error("threads are still running after %g s: exiting", _EXIT_S)
        os._exit(code)

    timer = threading.Timer(_EXIT_S, exit_now)
    timer.daemon = True
    timer.start()
