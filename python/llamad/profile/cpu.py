"""A CPU profile of the process: C++ threads and Python together."""

from __future__ import annotations

import signal
import threading
import time
from bisect import bisect_right
from collections import Counter
from typing import TYPE_CHECKING, Any, Self

from .. import _engine
from ..errors import LlamadError
from .pprof import Profile, PythonFrame

if TYPE_CHECKING:
    from types import FrameType, TracebackType

    from .pprof import Stack

HZ = 100
"""Samples per second of a thread's CPU time. The kernel looks at such clocks at its tick, often 250 times."""


class ProfilerBusyError(LlamadError):
    """There is one profile at a time, and somebody else takes it."""


class ProfilerUnsupportedError(LlamadError):
    """This system does not let a thread's stack be walked at any moment."""


class CpuProfiler:
    """Samples every thread of the process from its making until `stop`.

    The native engine samples with a timer on each thread's CPU clock (SIGPROF), and its stacks are native
    ones. Of the main thread, where Python runs signal handlers, the Python stack is noted as soon after the
    sample as Python can; where the native stack shows that Python was then still in the same call, its frames
    take the place of the interpreter's own. Other threads keep the interpreter's.

    To be made and stopped in the same thread; made in another one than the main thread, it notes no Python
    stacks. It holds up neither: `stop` waits some milliseconds for its own thread, without the GIL.

    Raises:
        ProfilerBusyError: another profile is being taken, or something else owns SIGPROF.
        ProfilerUnsupportedError: see `_engine.profiling_unsupported`.
    """

    def __init__(self) -> None:
        unsupported = _engine.profiling_unsupported()
        if unsupported is not None:
            raise ProfilerUnsupportedError(unsupported)
        if signal.getsignal(signal.SIGPROF) is None:
            raise ProfilerBusyError("SIGPROF has a handler that Python does not know: another profiler's")
        self._notes: list[tuple[int, int, tuple[PythonFrame, ...]]] = []
        self._known_stacks: dict[tuple[PythonFrame, ...], tuple[PythonFrame, ...]] = {}
        self._thread_names: dict[int | None, str] = {}
        self._handler_before: Any = None
        self._notes_python = threading.current_thread() is threading.main_thread()
        self._stopped = False
        self._started_ns = time.time_ns()
        self._duration_ns = 0
        native = _engine.CpuProfiler.start(HZ)
        if native is None:
            raise ProfilerBusyError("a profile is being taken already")
        self._native = native
        if self._notes_python:
            self._handler_before = signal.signal(signal.SIGPROF, self._note)
            native.reclaim_signal()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End sampling; idempotent."""
        if self._stopped:
            return
        self._stopped = True
        self._duration_ns = time.time_ns() - self._started_ns
        self._native.stop()
        if self._notes_python:  # and `signal` first runs the handler of what is pending
            signal.signal(signal.SIGPROF, self._handler_before)
        self._thread_names = {thread.native_id: thread.name for thread in threading.enumerate()}

    def pprof(self) -> bytes:
        """Return the profile in pprof's format, compressed; to be called once it is stopped.

        Takes some tenths of a second for a large one. May be called in any thread.
        """
        if not self._stopped:
            raise RuntimeError("the profile is still being taken: stop() comes first")
        seen = self._native.profile()
        engine_first = dict(sorted(seen["mappings"].items(), key=lambda one: one[1][2] != _engine.__file__))
        profile = Profile(HZ, self._started_ns, self._duration_ns, seen["symbols"], engine_first)
        for thread_id, name in seen["threads"].items():
            # Python names its threads better than the system, to which most are called as the process is.
            python_name = self._thread_names.get(thread_id)
            profile.threads[thread_id] = f"{name} ({python_name})" if python_name else name
        for stack, count in self._stacks(seen).items():
            profile.add(stack, count)
        if seen["failure"]:
            profile.comments.append(f"the profile ended early: {seen['failure']}")
        if seen["lost"]:
            profile.comments.append(f"{seen['lost']} samples were lost for want of room")
        if seen["unwatched"]:
            profile.comments.append(f"the system granted no timer for {seen['unwatched']} threads")
        return profile.compressed()

    def _note(self, _number: int, frame: FrameType | None) -> None:
        """Python's handler of SIGPROF."""
        n_samples, evaluator_frame = self._native.mark()
        frames = []
        while frame is not None:
            frames.append(PythonFrame(frame.f_code, frame.f_lineno))
            frame = frame.f_back
        stack = tuple(frames)
        stack = self._known_stacks.setdefault(stack, stack)
        self._notes.append((n_samples, evaluator_frame, stack))

    def _stacks(self, seen: dict[str, Any]) -> Counter[Stack]:
        counts: Counter[Stack] = Counter()
        n_samples = [note[0] for note in self._notes]
        for thread_id, addresses, count, evaluator_at, evaluator_frame, ordinals in seen["samples"]:
            if evaluator_at < 0:
                counts[thread_id, addresses, ()] += count
                continue
            for ordinal in ordinals:
                after = bisect_right(n_samples, ordinal)
                # A later stack than the sample's, unless the evaluator is still in the same call.
                if after < len(self._notes) and self._notes[after][1] == evaluator_frame:
                    counts[thread_id, addresses[:evaluator_at], self._notes[after][2]] += 1
                else:
                    counts[thread_id, addresses, ()] += 1
        return counts
