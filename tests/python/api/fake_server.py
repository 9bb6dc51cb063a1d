"""A whole serving process around a fake engine: `python -m tests.python.api.fake_server LAMEDUCK_S`.

It generates one token each 20 ms, as many as `max_tokens` asks for, or without end. The text of a token
is repeated `seed` times, so that a test can fill a client's buffers. To preload `damaged` fails as soon as
there is a request for another model.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import uvloop
from llamad import _engine
from llamad.aio.stream import TokenStream
from llamad.errors import ModelLoadError
from llamad.server import logs
from llamad.server.lifecycle import run
from llamad.settings import Settings

from .fake_models import FakeModels
from .fakes import FakeEngine, delta, end

if TYPE_CHECKING:
    from collections.abc import Sequence


class PacedEngine(FakeEngine):
    def submit_choices(self, *prepared: _engine.Prepared) -> list[TokenStream]:
        streams = super().submit_choices(*prepared)
        params = cast("Any", prepared[0]).params
        for stream in streams:
            self._next(stream, 0, params.max_tokens, params.seed or 1)
        return streams

    def _next(self, stream: TokenStream, count: int, most: int | None, times: int) -> None:
        if stream.finished:
            return
        if count == most:
            end(stream, "length", completion=count)
            return
        delta(stream, f"{count} " * times)
        asyncio.get_running_loop().call_later(0.02, self._next, stream, count + 1, most, times)


class Models(FakeModels):
    async def preload(self, model_ids: Sequence[str]) -> None:
        if "damaged" in model_ids:
            await self.getting.wait()
            raise ModelLoadError("model 'damaged' is cut off")
        await super().preload(model_ids)


async def main(lameduck: float, *preload: str) -> int:
    settings = Settings(
        model_directory=Path(), port=0, monitor_port=0, lameduck=lameduck, preload_model=preload
    )
    logs.set_up("info")
    return await run(settings, Models({"tiny": PacedEngine()}))


if __name__ == "__main__":
    sys.exit(uvloop.run(main(float(sys.argv[1]), *sys.argv[2:])))
