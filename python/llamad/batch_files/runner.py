"""`Runner`: many requests at once, each answered with one line."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import chain, repeat
from typing import TYPE_CHECKING, Protocol

import orjson

from .answers import answered, failure, refused
from .lines import BadLine, Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from .in_process import Response
    from .lines import Line
    from .output import Output

_TRY_AGAIN = frozenset({"queue_full", "queue_timeout", "model_loading"})
"""Say that there is too much to do at the moment, and nothing of the request."""

_PAUSES_S = (0.1, 0.2, 0.5, 1.0, 2.0)
"""Before a request is sent again; from then on, the last."""


class Api(Protocol):
    """Answers requests."""

    async def post(self, path: str, body: bytes) -> Response: ...


class Lines(Protocol):
    """The lines that are still to be answered."""

    async def next(self) -> Line | None: ...


class Runner:
    """Answers lines as they come, and writes the answers as they are there.

    Lives on one event loop.

    Args:
        api: answers requests.
        output: takes the answers.
        on_line: called after each line that is written.

    Attributes:
        n_answered: how many lines were answered with status 200, those of runs before included.
        failures: how many were not, by code.
    """

    def __init__(self, api: Api, output: Output, on_line: Callable[[], None] = lambda: None) -> None:
        self.failures = Counter(output.failures)
        self.n_answered = len(output.done) - self.failures.total()
        self._api = api
        self._output = output
        self._on_line = on_line

    async def run(self, lines: Lines, in_flight: int) -> None:
        """Answer all lines, so many at a time; cancelling it leaves those that are not written yet.

        Raises:
            BatchFileError: lines cannot be read, or answers not be written.
        """
        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(in_flight):
                    workers.create_task(self._work(lines))
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None

    async def _work(self, lines: Lines) -> None:
        while (line := await lines.next()) is not None:
            if isinstance(line, BadLine):
                await self._write(refused(line), line.code)
            else:
                response, code = await self._answer(line)
                await self._write(answered(line, response), code)

    async def _answer(self, request: Request) -> tuple[Response, str | None]:
        """Return the server's answer, and the code of the error that it tells."""
        pauses = chain(_PAUSES_S, repeat(_PAUSES_S[-1]))
        while True:
            response = await self._api.post(request.url, request.body)
            if response.status == 200:
                return response, None
            code = failure(response.status, orjson.loads(response.body))
            if code not in _TRY_AGAIN:
                return response, code
            await asyncio.sleep(next(pauses))

    async def _write(self, line: bytes, code: str | None) -> None:
        await self._output.append(line)
        if code is None:
            self.n_answered += 1
        else:
            self.failures[code] += 1
        self._on_line()
