"""A model manager's loader whose loads end when, and as, a test says."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from llamad.models.manager import ModelManager

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from llamad.engine_protocol import EngineProtocol
    from llamad.models.specs import ModelSpec

PATIENCE_S = 60.0
"""Longer than any machine needs; a wait that reaches it is a hang."""


class FakeEngine:
    def __init__(self, failure: Exception | None = None) -> None:
        self.closed = 0
        self._failure = failure

    async def close(self) -> None:
        self.closed += 1
        if self._failure is not None:
            raise self._failure


class FakeLoader:
    """A loader whose loads end when, and as, the test says."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.engines: list[FakeEngine] = []
        self._outcomes: list[asyncio.Future[FakeEngine]] = []
        self._changed = asyncio.Condition()

    async def __call__(self, spec: ModelSpec) -> EngineProtocol:
        outcome: asyncio.Future[FakeEngine] = asyncio.get_running_loop().create_future()
        self.started.append(spec.id)
        self._outcomes.append(outcome)
        async with self._changed:
            self._changed.notify_all()
        return cast("EngineProtocol", await outcome)

    async def loads(self, count: int) -> None:
        """Wait until that many loads have begun since the beginning."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.started) >= count)

    def finish(self, index: int = -1) -> EngineProtocol:
        engine = FakeEngine()
        self.engines.append(engine)
        self._outcomes[index].set_result(engine)
        return cast("EngineProtocol", engine)

    def fail(self, error: Exception, index: int = -1) -> None:
        self._outcomes[index].set_exception(error)

    def cancelled(self, index: int = -1) -> bool:
        return self._outcomes[index].cancelled()


class Clock:
    """A clock that moves past the rescan interval at every look, so that each look rescans."""

    def __init__(self, step: float = 10.0) -> None:
        self.now = 0.0
        self.step = step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def run(scenario: Callable[[], Coroutine[None, None, None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await scenario()

    asyncio.run(bounded())


def manager_of(
    directory: Path, loader: FakeLoader, *, load_timeout: float = PATIENCE_S, clock: Clock | None = None
) -> ModelManager:
    return ModelManager(directory, loader, load_timeout, clock=clock or Clock())


def states(manager: ModelManager) -> dict[str, str]:
    return {entry.id: entry.state for entry in manager.entries()}


async def settled(manager: ModelManager, model_id: str) -> None:
    """Let the loop run until a load whose outcome is there has been taken note of."""
    for _ in range(1000):
        if states(manager)[model_id] != "loading":
            return
        await asyncio.sleep(0)
    raise AssertionError(f"{model_id} is still loading")
