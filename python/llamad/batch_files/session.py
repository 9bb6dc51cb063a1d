"""One run: from a file of requests to a file of answers."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import uvloop

from ..models.loader import EngineLoader
from ..models.manager import ModelManager
from ..models.tables import read_tables
from ..server import logs
from ..server.app import make_api
from ..server.loop_watch import watch
from ..server.state import ServerState
from .feed import Feed
from .in_process import InProcessApi
from .output import STANDARD, open_output
from .progress import Progress, tokens_of
from .runner import Runner
from .source import Source

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

    from ..settings import Settings
    from .output import Output

_LEAST_IN_FLIGHT = 16
"""Short requests, such as embeddings, fill a batch only together."""

_CLOSE_S = 10.0
"""For engines to end their step and free their memory."""


@dataclass(frozen=True, slots=True)
class BatchJob:
    """What is to be done.

    Attributes:
        source: path of the requests, or "-".
        target: path of the answers, or "-".
        in_flight: requests at once; None: as many as keep the models busy.
        progress: whether a bar is shown.
    """

    source: str
    target: str
    in_flight: int | None = None
    progress: bool = False


def run(settings: Settings, job: BatchJob) -> int:
    """Answer what is not answered yet.

    Returns:
        The exit code: 0 if every line has been answered with status 200, 1 if not, 128 and a signal's number
        where that has ended the run.

    Raises:
        SettingsError: one of the files is not what it should be; nothing has been computed.
        BatchFileError: the requests could not be read on, or answers not be written.
    """
    source = Source(job.source, settings.max_body_mib << 20)
    source.check(job.target)
    output = open_output(job.target)
    try:
        source.check_asks_for(output)
        logs.set_up(_log_level(settings), settings.log_format)
        session = _Session(settings, job, source, output)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(session.run())
    finally:
        output.close()


def _log_level(settings: Settings) -> str:
    # At "info", a server's default, each request leaves a line.
    return "warning" if settings.log_level == "info" else settings.log_level


def default_in_flight(settings: Settings) -> int:
    """Return how many requests keep the models busy, and let the engine choose which comes next.

    That is twice as many as the model with the most slots has, at least `_LEAST_IN_FLIGHT`, and no more than
    run and wait there.
    """
    models = [settings, *(table.over(settings) for table in read_tables(settings).values())]
    most = max(2 * max(one.n_parallel for one in models), _LEAST_IN_FLIGHT)
    return min(most, max(one.n_parallel + one.max_queue for one in models))


class _Session:
    def __init__(self, settings: Settings, job: BatchJob, source: Source, output: Output) -> None:
        self._settings = settings
        self._job = job
        self._source = source
        self._output = output
        self._signal: signal.Signals | None = None
        self._work: asyncio.Task[None] | None = None

    async def run(self) -> int:
        settings, started = self._settings, time.monotonic()
        models = ModelManager(settings, EngineLoader(logs.forward_native_lines))
        state = ServerState(
            models,
            max_body_bytes=settings.max_body_mib << 20,
            trust_request_chat_template=settings.trust_request_chat_template,
        )
        application, edge = make_api(state)
        await application.start()
        bar = Progress(
            shown=self._job.progress,
            total=self._source.count() if self._job.progress else None,
            done=len(self._output.done),
            tokens=lambda: tokens_of(state),
        )
        runner = Runner(InProcessApi(edge), self._output, bar.line)
        try:
            with bar:
                await self._answer(runner, [bar.run(), watch(state), logs.forward_native_lines_forever()])
                if self._signal is None:
                    bar.finish()
        finally:
            n_tokens = tokens_of(state)
            with suppress(TimeoutError):
                await asyncio.wait_for(models.close(), _CLOSE_S)
            logs.flush()
        return self._report(runner, n_tokens, time.monotonic() - started)

    async def _answer(self, runner: Runner, chores: Iterable[Coroutine[Any, Any, None]]) -> None:
        """Answer all lines, or as many as there is time for until a signal comes; do the chores meanwhile."""
        done = self._output.done
        pending = Feed(line for line in self._source.lines() if line.id not in done)
        self._work = asyncio.create_task(
            runner.run(pending, self._job.in_flight or default_in_flight(self._settings))
        )
        tasks = [asyncio.create_task(chore) for chore in chores]
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._on_signal, number)
        try:
            await self._work
        except asyncio.CancelledError:
            if self._signal is None:
                raise
        finally:
            for task in tasks:
                task.cancel()

    def _on_signal(self, number: signal.Signals) -> None:
        if self._signal is not None or self._work is None:
            os._exit(128 + number)  # what is written is whole, and the next run goes on behind it
        self._signal = number
        self._work.cancel()

    def _report(self, runner: Runner, n_tokens: int, took_s: float) -> int:
        """Say on stderr what has become of it; returns the exit code."""
        failed = runner.failures
        told = f"{runner.n_answered} answered, {failed.total()} failed"
        if failed:
            told += f" ({', '.join(f'{n} {code}' for code, n in failed.most_common())})"
        if self._output.done:
            told += f", {len(self._output.done)} of them by earlier runs"
        if n_tokens:
            told += f"; {n_tokens} tokens in {took_s:.1f} s ({n_tokens / took_s:.0f} tok/s)"
        if self._signal is None:
            print(f"llamad: {self._output.name}: {told}", file=sys.stderr)
            return 1 if failed else 0
        resume = "" if self._job.target == STANDARD else "; run the same command again to go on"
        print(f"llamad: interrupted: {self._output.name}: {told}{resume}", file=sys.stderr)
        return 128 + self._signal
