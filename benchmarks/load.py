"""Drive a server with conversations, so many at a time."""

from __future__ import annotations

import asyncio
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING

import uvloop

from benchmarks.client import Exchange, Trace, http_request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.workloads import Conversation


def run_load(
    port: int, conversations: Sequence[Conversation], streams: int, timeout_s: float
) -> tuple[list[list[Trace]], float]:
    """Hold every conversation, `streams` of them at a time.

    Each stream takes the next conversation as soon as its last one is over, and within one sends the next
    turn, with the model's own answers, as soon as the answer before is complete.

    Args:
        port: of the server on 127.0.0.1.
        conversations: what to send.
        streams: conversations at once.
        timeout_s: bound of the whole run.

    Returns:
        Of each conversation the traces of its turns, and the wall time in seconds.

    Raises:
        LoadError: a request failed.
        TimeoutError: the run took longer than `timeout_s`.
    """
    return uvloop.run(_run_load(port, conversations, streams, timeout_s))


async def _run_load(
    port: int, conversations: Sequence[Conversation], streams: int, timeout_s: float
) -> tuple[list[list[Trace]], float]:
    # Opening turns are encoded before the clock starts.
    openings = [http_request(port, conversation.body(())) for conversation in conversations]
    traces: list[list[Trace]] = [[] for _ in conversations]
    waiting = iter(zip(conversations, openings, traces, strict=True))

    async def work() -> None:
        for conversation, opening, of_conversation in waiting:
            await _converse(port, conversation, opening, of_conversation)

    async with asyncio.timeout(timeout_s):
        started = perf_counter()
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(streams):
                    group.create_task(work())
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return traces, perf_counter() - started


async def _converse(port: int, conversation: Conversation, opening: bytes, traces: list[Trace]) -> None:
    """Hold one conversation; appends the trace of each turn."""
    loop = asyncio.get_running_loop()
    request = opening
    for turns_left in reversed(range(len(conversation.turns))):
        connect = partial(Exchange, keep_answer=turns_left > 0)
        _, exchange = await loop.create_connection(connect, "127.0.0.1", port)
        traces.append(await exchange.send(request))
        if turns_left:
            request = http_request(port, conversation.body([trace.answer for trace in traces]))
