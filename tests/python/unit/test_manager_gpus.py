"""Models whose number of layers on a GPU is automatic take turns there, and leave alone what is pinned."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from llamad.models.memory import Estimate, Placement
from llamad.models.tables import FILE_NAME

from tests.python.support.fake_loader import GIB, FakeLoader, FakeTime, manager_of, memory, run, write_models

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from llamad.models.catalogue import Definition
    from llamad.models.lease import Lease
    from llamad.models.manager import ModelManager
    from llamad.models.metadata import ModelKind

USABLE = 10 * GIB
"""Of the only GPU; a layer takes one GiB."""


class GpuLoader(FakeLoader):
    """Models of some layers each, as many of which are put on a GPU as have room."""

    def __init__(self, layers: Mapping[str, int]) -> None:
        super().__init__()
        self.layers = layers

    async def estimate(self, definition: Definition, kind: ModelKind, room: Mapping[str, int]) -> Estimate:
        self.estimated.append(definition.id)
        room = {"GPU": USABLE, **room}
        n_layers = min(self.layers[definition.id], room["GPU"] // GIB)
        gpu = memory("GPU", n_layers * GIB, layers=n_layers)
        gpu["usable"] = USABLE
        return Estimate([memory("CPU", 0), gpu], Placement(n_gpu_layers=n_layers), room)


class Shop:
    def __init__(self, directory: Path, layers: Mapping[str, int], **tables: str) -> None:
        write_models(directory, layers)
        text = "\n".join(f'[models."{name}"]\n{line}' for name, line in tables.items())
        (directory / FILE_NAME).write_text(text)
        self.loader = GpuLoader(layers)
        self.time = FakeTime()
        self.manager: ModelManager = manager_of(directory, self.loader, time=self.time)

    async def load(self, name: str) -> Lease[Any]:
        count = len(self.loader.started)
        lease = asyncio.create_task(self.manager.lease(name, "generate"))
        await self.loader.loads(count + 1)
        self.loader.finish()
        return await lease

    def placed(self) -> list[tuple[str, int]]:
        """Which models have been loaded, with how many layers on the GPU."""
        return [
            (name, placement["n_gpu_layers"])
            for name, placement in zip(self.loader.started, self.loader.placements, strict=True)
        ]


def test_a_model_is_not_squeezed_in_beside_one_that_can_go(tmp_path: Path) -> None:
    async def scenario() -> None:
        shop = Shop(tmp_path, {"a": 8, "b": 6})
        (await shop.load("a")).release()
        await shop.time.advance(1)
        (await shop.load("b")).release()
        assert shop.placed() == [("a", 8), ("b", 6)]
        assert shop.manager.statistics().memory_used["GPU"] == 6 * GIB

    run(scenario)


def test_two_that_fit_together_stay_together(tmp_path: Path) -> None:
    async def scenario() -> None:
        shop = Shop(tmp_path, {"a": 4, "b": 6})
        for name in ("a", "b"):
            (await shop.load(name)).release()
        assert shop.placed() == [("a", 4), ("b", 6)]
        assert shop.manager.statistics().memory_used["GPU"] == 10 * GIB
        assert shop.loader.estimated == ["a", "b"]

    run(scenario)


def test_a_model_takes_what_pinned_ones_leave(tmp_path: Path) -> None:
    async def scenario() -> None:
        shop = Shop(tmp_path, {"a": 7, "b": 20}, a="pinned = true")
        (await shop.load("a")).release()
        (await shop.load("b")).release()
        assert shop.placed() == [("a", 7), ("b", 3)]
        assert shop.manager.statistics().memory_used["GPU"] == 10 * GIB

    run(scenario)


def test_it_is_estimated_again_when_they_leave_something_else(tmp_path: Path) -> None:
    async def scenario() -> None:
        shop = Shop(tmp_path, {"a": 7, "b": 20}, a="pinned = true")
        (await shop.load("b")).release()
        await shop.time.advance(1)
        (await shop.load("a")).release()
        (await shop.load("b")).release()
        await shop.manager.unload("a")
        await shop.manager.unload("b")
        (await shop.load("b")).release()
        assert shop.placed() == [("b", 10), ("a", 7), ("b", 3), ("b", 10)]
        assert shop.loader.estimated == ["b", "a", "b", "b"]

    run(scenario)
