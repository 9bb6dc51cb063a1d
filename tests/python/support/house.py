"""A model manager with room for two of its six models."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from .fake_loader import GIB, OVERHEAD, FakeLoader, FakeTime, manager_of, quiet, states, until, write_models

if TYPE_CHECKING:
    from pathlib import Path

    from llamad.models.lease import Lease
    from llamad.models.manager import ModelManager

ROOM_FOR_TWO = 2 * (GIB + OVERHEAD)
NAMES = "abcdef"


class House:
    """A manager of six models of a gibibyte each, with room for two."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        write_models(directory, NAMES)
        self.loader = FakeLoader(dict.fromkeys(NAMES, GIB))
        self.time = FakeTime()
        settings = {"budget": ROOM_FOR_TWO} | settings
        self.manager: ModelManager = manager_of(directory, self.loader, time=self.time, **settings)

    def ask(self, name: str) -> asyncio.Task[Lease[Any]]:
        return asyncio.create_task(self.manager.lease(name, "generate"))

    async def load(self, name: str, took_s: float = 0.0) -> Lease[Any]:
        """Ask for a model that is not there, and let it load."""
        count = len(self.loader.started)
        task = self.ask(name)
        await self.loader.loads(count + 1)
        self.time.now += took_s
        self.loader.finish()
        return await task

    async def settle(self, name: str, count: int = 1) -> None:
        """Wait until so many wait for a model whose need is known; files are read in threads before."""
        await until(lambda: self.manager.statistics().waiting.get(name) == count)
        await until(lambda: name in self.loader.estimated)
        await quiet()

    def there(self) -> set[str]:
        return {name for name, state in states(self.manager).items() if state == "loaded"}
