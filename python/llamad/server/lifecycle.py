"""Life and death of the serving process.

Life: bind both ports, answer, load the models to preload, be ready.

Death, on SIGTERM or SIGINT:
1. Drain: the monitor says "not ready", new requests get 503, running ones go on for `lameduck` seconds.
2. Close the models: what still runs ends with an error event on its stream.
3. Abort what is left (a body that does not end, a load that was waited for) with 503.
4. Close the connections and exit 0.
A second signal exits at once.

In between, SIGHUP has the configuration read again. systemd is told of all this where it asks to be.
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

from ..errors import LlamadError
from ..models.loader import EngineLoader
from ..models.manager import ModelManager
from ..models.tables import RELOADABLE
from . import banner, gate, logs
from .app import make_api
from .connection import ConnectionLimits
from .health import stalled
from .listener import Listener
from .loop_watch import watch
from .monitor import make_monitor
from .monitor_gate import MonitorGate
from .notify import Notifier
from .open_files import make_room_for
from .reload import Reloader
from .slow_readers import ReadLimits, SlowReaders
from .state import ServerState
from .tracing import make_tracing

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..settings import Settings
    from .state import Models

_CLOSE_S = 10.0
"""For an engine to end its step and free its memory."""

_FAREWELL_S = 2.0
"""For error events and 503s to be written once the engines are closed."""

_EXIT_S = 10.0
"""For threads to end once the loop is over; a load under way cannot always be given up."""

_logger = logging.getLogger("llamad.server")


def serve(settings: Settings, reread: Callable[[], Settings]) -> int:
    """Serve until a signal ends it. The process is to end with it: threads that linger are cut off.

    Args:
        settings: what to begin with.
        reread: returns what the configuration says by now; raises a `LlamadError` where it is wrong.

    Returns:
        The exit code: 0 after a clean shutdown, 1 if the server could not start.
    """
    logs.set_up(settings.log_level, settings.log_format)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code = runner.run(
            run(settings, ModelManager(settings, EngineLoader(logs.forward_native_lines)), reread)
        )
        _exit_in_any_case(code)
    return code


async def run(settings: Settings, models: Models, reread: Callable[[], Settings] | None = None) -> int:
    """Serve the models on the running loop until a signal ends it; returns the exit code.

    Without `reread`, SIGHUP finds the configuration as it was.
    """
    return await _Lifecycle(settings, models, reread or (lambda: settings)).run()


class _Lifecycle:
    def __init__(self, settings: Settings, models: Models, reread: Callable[[], Settings]) -> None:
        self._settings = settings
        self._models = models
        self._state = ServerState(
            models,
            gate.Gate(settings),
            max_body_bytes=settings.max_body_mib << 20,
            read_timeout_s=settings.read_timeout,
            stall_timeout_s=settings.stall_timeout,
            trust_request_chat_template=settings.trust_request_chat_template,
        )
        self._notifier = Notifier(os.environ)
        part = (RELOADABLE | gate.AT_RUN_TIME, self._reload)
        self._reloader = Reloader(settings, reread, self._state, part, self._notifier)
        self._tracing = make_tracing(os.environ)
        if self._tracing is not None:
            self._state.trace = self._tracing.record
        self._signalled = asyncio.Event()
        self._listeners: list[Listener] = []

    async def run(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._on_signal, number)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reloader.ask)
        chores = [
            asyncio.create_task(self._reloader.run()),
            asyncio.create_task(self._notifier.run_watchdog(lambda: not stalled(self._state))),
            asyncio.create_task(logs.forward_native_lines_forever()),
            asyncio.create_task(self._watch_slow_readers()),
            asyncio.create_task(watch(self._state)),
        ]
        try:
            async with AsyncExitStack() as listeners:
                await self._listen(listeners)
                try:
                    await self._live()
                finally:  # where preloading fails, too, other models may be at work
                    self._state.draining = True
                    await self._die()
        except LlamadError as error:
            print(f"llamad: {error}", file=sys.stderr, flush=True)
            return 1
        finally:
            await self._close_models()
            for chore in chores:
                chore.cancel()
            if self._tracing is not None:
                await asyncio.to_thread(self._tracing.close)
        _logger.info("stopped")
        return 0

    async def _listen(self, listeners: AsyncExitStack) -> None:
        settings = self._settings
        application, edge = make_api(self._state)
        await application.start()
        most = make_room_for(settings.max_connections)
        limits = ConnectionLimits(most, settings.header_timeout, settings.max_header_kib << 10)
        api = await listeners.enter_async_context(
            Listener(
                edge,
                settings.host,
                settings.port,
                limits=limits,
                tls=self._state.gate.tls,
                refusals=self._state.refused_connections,
            )
        )
        self._listeners = [api]
        monitor_url = None
        if settings.monitor_port >= 0:
            application = make_monitor(self._state)
            await application.start()
            guarded = MonitorGate(application, settings, self._state.gate)
            monitor = Listener(
                guarded,
                settings.monitor_host,
                settings.monitor_port,
                limits=limits,
                flags="--monitor-host, --monitor-port",
            )
            monitor_url = (await listeners.enter_async_context(monitor)).url
            self._listeners.append(monitor)
        entries = await self._models.read_entries()
        keyed = bool(self._state.gate.keys)
        print(banner.text(settings.model_directory, entries, api.url, monitor_url, keyed=keyed), flush=True)

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
                self._notifier.ready("serving")
                _logger.info("ready")
                await signalled
        finally:
            signalled.cancel()
            preload.cancel()

    async def _preload(self) -> None:
        await self._models.preload(self._settings.preload_model)

    async def _die(self) -> None:
        state, lameduck = self._state, self._reloader.settings.lameduck
        running = len(state.live)
        self._notifier.stopping(f"draining: {running} requests")
        if running:
            _logger.info("draining: %d running requests have %g s to finish", running, lameduck)
        if not await state.wait_idle(lameduck):
            _logger.warning("lameduck is over: ending %d requests", len(state.live))
        await self._close_models()
        if not await state.wait_idle(_FAREWELL_S):
            for exchange in list(state.live):
                exchange.abort()

    async def _reload(self, settings: Settings) -> None:
        use = self._state.gate.prepare(settings)
        await self._models.reload(settings)  # refuses before it changes anything
        use()

    async def _close_models(self) -> None:
        try:
            await asyncio.wait_for(self._models.close(), _CLOSE_S)
        except TimeoutError:
            _logger.warning("an engine did not stop within %g s", _CLOSE_S)

    def _on_signal(self, number: signal.Signals) -> None:
        if self._signalled.is_set():
            _logger.error("second %s: exiting at once", number.name)
            logs.flush()
            os._exit(128 + number)
        _logger.info("%s: shutting down; a second signal exits at once", number.name)
        self._state.draining = True
        self._signalled.set()


def _exit_in_any_case(code: int) -> None:
    """Exit with this code even if some thread never ends."""

    def exit_now() -> None:
        _logger.error("threads are still running after %g s: exiting", _EXIT_S)
        os._exit(code)

    timer = threading.Timer(_EXIT_S, exit_now)
    timer.daemon = True
    timer.start()
