"""What every thread and task is at, as text."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

from .. import _engine

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable, Iterator
    from types import FrameType


def stacks_text(tasks: Iterable[asyncio.Task[object]] = ()) -> str:
    """Return the native and the Python stack of every thread, and the stacks of tasks; the innermost first.

    Interrupts every thread for some microseconds, and waits at most a fifth of a second, without the GIL, for
    those that do not answer. Shows where code is, and no values.
    """
    why_not = _engine.profiling_unsupported()
    native = _engine.native_stacks() if why_not is None else None
    parts = []
    if native is None:
        native = {}
        parts.append(f"no native stacks: {why_not or 'a profile is being taken'}\n")
    threads = {thread.native_id: thread for thread in threading.enumerate() if thread.native_id is not None}
    frames = sys._current_frames()  # noqa: SLF001 - public in all but the name, which warns of its use
    for thread_id in sorted(native.keys() | threads.keys()):
        thread = threads.get(thread_id)
        python_name = "" if thread is None else f" ({thread.name})"
        lines = [f"thread {thread_id} {_engine.thread_name(thread_id)}{python_name}"]
        lines += [f"  {function}" for function in native.get(thread_id, ())]
        if thread is not None and thread.ident in frames:
            lines += ["  in Python:", *_called(frames[thread.ident])]
        parts.append("\n".join([*lines, ""]))
    parts += [
        "\n".join([f"task {task.get_name()}", *_awaited(task), ""])
        for task in sorted(tasks, key=lambda one: one.get_name())
    ]
    return "\n".join(parts)


def _called(frame: FrameType | None) -> Iterator[str]:
    while frame is not None:
        yield _line(frame)
        frame = frame.f_back


def _awaited(task: asyncio.Task[object]) -> list[str]:
    lines = []
    awaiting: object = task.get_coro()
    while awaiting is not None:
        frame = getattr(awaiting, "cr_frame", None) or getattr(awaiting, "ag_frame", None)
        if frame is not None:
            lines.append(_line(frame))
        awaiting = getattr(awaiting, "cr_await", None) or getattr(awaiting, "ag_await", None)
    return lines[::-1]


def _line(frame: FrameType) -> str:
    return f"    {frame.f_code.co_qualname} ({frame.f_code.co_filename}:{frame.f_lineno})"
