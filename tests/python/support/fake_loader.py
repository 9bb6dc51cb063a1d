"""A model manager's loader and its time, both in a test's hands."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from llamad.models.manager import ModelManager
from llamad.models.memory import Budget, DeviceMemory, Estimate, Placement
from llamad.models.residency import Policy
from llamad.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping

    from llamad.engine_protocol import EngineProtocol
    from llamad.models.catalogue import Definition
    from llamad.models.metadata import ModelKind

PATIENCE_S = 60.0
"""Longer than any machine needs; a wait that reaches it is a hang."""

GIB = 1 << 30
OVERHEAD = 64 << 20
"""More than the budget adds to an estimate, in bytes."""


def write_models(directory: Path, names: Iterable[str]) -> None:
    """Write files of five bytes that a catalogue takes for models."""
    for name in names:
        (directory / f"{name}.gguf").write_bytes(b"12345")


class FakeEngine:
    def __init__(self, failure: Exception | None = None) -> None:
        self.closed = 0
        self.info = SimpleNamespace(memory=[])
        self.closing = asyncio.Event()
        self.gate: asyncio.Event | None = None
        self._failure = failure

    async def close(self) -> None:
        self.closed += 1
        self.closing.set()
        if self.gate is not None:
            await self.gate.wait()
        if self._failure is not None:
            raise self._failure


class FakeLoader:
    """A loader whose loads end when, and as, the test says; `sizes` are in bytes, by model id."""

    def __init__(self, sizes: Mapping[str, int] | None = None) -> None:
        self.sizes = dict(sizes or {})
        self.started: list[str] = []
        self.estimated: list[str] = []
        self.caches: list[int] = []
        self.placements: list[Placement] = []
        self.definitions: list[Definition] = []
        self.progress: list[Callable[[float], None]] = []
        self.engines: list[FakeEngine] = []
        self.estimate_error: Exception | None = None
        self._outcomes: list[asyncio.Future[FakeEngine]] = []
        self._changed = asyncio.Condition()

    async def estimate(self, definition: Definition, kind: ModelKind, room: Mapping[str, int]) -> Estimate:
        self.estimated.append(definition.id)
        if self.estimate_error is not None:
            raise self.estimate_error
        return Estimate([memory("CPU", self.sizes.get(definition.id, 0))])

    async def load(
        self,
        definition: Definition,
        kind: ModelKind,
        cache_mib: int,
        placement: Placement,
        on_progress: Callable[[float], None],
    ) -> EngineProtocol:
        outcome: asyncio.Future[FakeEngine] = asyncio.get_running_loop().create_future()
        self.started.append(definition.id)
        self.caches.append(cache_mib)
        self.placements.append(placement)
        self.definitions.append(definition)
        self.progress.append(on_progress)
        self._outcomes.append(outcome)
        async with self._changed:
            self._changed.notify_all()
        return cast("EngineProtocol", await outcome)

    async def loads(self, count: int) -> None:
        """Wait until that many loads have begun since the beginning."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.started) >= count)

    def finish(self, index: int = -1, engine: FakeEngine | None = None) -> EngineProtocol:
        engine = engine or FakeEngine()
        self.engines.append(engine)
        self._outcomes[index].set_result(engine)
        return cast("EngineProtocol", engine)

    def fail(self, error: Exception, index: int = -1) -> None:
        self._outcomes[index].set_exception(error)

    def cancelled(self, index: int = -1) -> bool:
        return self._outcomes[index].cancelled()


def memory(device: str, size: int, free: int = 0, *, layers: int = 0) -> DeviceMemory:
    return {
        "device": device,
        "total": free,
        "free": free,
        "usable": free * 9 // 10,
        "layers": layers,
        "weights": size,
        "context": 0,
        "compute": 0,
    }


class FakeTime:
    """A clock that stands still, and calls what is due when the test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._timers: list[_Timer] = []

    def __call__(self) -> float:
        return self.now

    def call_later(self, delay: float, call: Callable[[], None]) -> asyncio.TimerHandle:
        timer = _Timer(self.now + max(0.0, delay), call)
        self._timers.append(timer)
        return cast("asyncio.TimerHandle", timer)

    async def advance(self, seconds: float) -> None:
        """Move the clock to each timer that falls due, call it, and let the loop run."""
        end = self.now + seconds
        await quiet()
        while due := [timer for timer in self._timers if timer.when <= end]:
            timer = min(due, key=lambda one: one.when)
            self._timers.remove(timer)
            self.now = max(self.now, timer.when)
            timer.fire()
            await quiet()
        self.now = end
        await quiet()


class _Timer:
    def __init__(self, when: float, call: Callable[[], None]) -> None:
        self.when = when
        self._call: Callable[[], None] | None = call

    def cancel(self) -> None:
        self._call = None

    def fire(self) -> None:
        if self._call is not None:
            self._call()


def run(scenario: Callable[[], Coroutine[None, None, None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await scenario()

    asyncio.run(bounded())


async def quiet(turns: int = 20) -> None:
    """Let the loop run for a while, for what needs no thread."""
    for _ in range(turns):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until something is true, threads included."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - nobody signals it
            await asyncio.sleep(0.001)


def manager_of(
    directory: Path,
    loader: FakeLoader,
    *,
    budget: int = 1 << 50,
    time: FakeTime | None = None,
    **settings: Any,
) -> ModelManager:
    """Return a manager with no prefix caches but those that a test asks for."""
    chosen = {"load_timeout": PATIENCE_S, "prefix_cache_mib": 0} | settings
    time = time or FakeTime()
    return ModelManager(
        Settings(model_directory=directory, **chosen),
        loader,
        budget=Budget(budget),
        policy=Policy(min_turn_s=2.0),
        clock=time,
        call_later=time.call_later,
    )


def states(manager: ModelManager) -> dict[str, str]:
    return {entry.id: entry.state for entry in manager.entries()}
