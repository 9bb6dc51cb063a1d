"""`/debug` on the monitor's port: a CPU profile, and what every thread is at."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from blacksheep import Content, Response

from ..openai.errors import WireError, invalid
from ..profile import CpuProfiler, ProfilerBusyError, ProfilerUnsupportedError, stacks_text
from .disconnect import DisconnectWatch
from .limits import RefusedError
from .routing import Route

if TYPE_CHECKING:
    from blacksheep import Request
    from blacksheep.contents import ASGIContent

_DEFAULT_S, _MOST_S = 30, 300


class Profiling:
    """The handlers of these routes."""

    def __init__(self) -> None:
        # Stacks are looked at by the profiler's own means; a profile waits for that rather than be refused.
        self._looking = asyncio.Lock()

    def routes(self) -> list[Route]:
        """Return the table of routes."""
        return [
            Route("GET", "/debug/pprof/profile", self.profile),
            Route("GET", "/debug/stacks", self.stacks),
        ]

    async def profile(self, request: Request) -> Response:
        """Profile the process for `?seconds=` and return the profile; a client that leaves ends it."""
        seconds = _seconds(request)
        watch = DisconnectWatch(cast("ASGIContent", request.content).receive)
        try:
            data = await watch.until_gone(self._profile(seconds))
        except ProfilerBusyError as busy:
            error = WireError(429, "rate_limit_error", "profiler_busy", str(busy))
            raise RefusedError(error) from None
        except ProfilerUnsupportedError as unsupported:
            error = WireError(501, "server_error", "not_implemented", str(unsupported), should_retry=False)
            raise RefusedError(error) from None
        finally:
            watch.close()
        response = Response(200, None, Content(b"application/octet-stream", data))
        response.add_header(b"content-disposition", b'attachment; filename="profile.pb.gz"')
        return response

    async def stacks(self, _: Request) -> Response:
        """Tell what every thread and every task is at."""
        async with self._looking:
            text = await asyncio.to_thread(stacks_text, asyncio.all_tasks())
        return Response(200, None, Content(b"text/plain; charset=utf-8", text.encode()))

    async def _profile(self, seconds: int) -> bytes:
        async with self._looking:
            profiler = CpuProfiler()
        with profiler:
            await asyncio.sleep(seconds)
        return await asyncio.to_thread(profiler.pprof)


def _seconds(request: Request) -> int:
    text = (request.query.get("seconds") or [str(_DEFAULT_S)])[-1]
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and 1 <= int(text) <= _MOST_S):
        message = f"seconds: a whole number from 1 to {_MOST_S}, not {text[:40]!r}"
        raise RefusedError(invalid(400, "invalid_request", message, "seconds"))
    return int(text)
