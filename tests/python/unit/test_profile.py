"""CPU profiles of this very process, and the file that they are written to."""

from __future__ import annotations

import hashlib
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from llamad import _engine
from llamad.profile import CpuProfiler, ProfilerBusyError, ProfilerUnsupportedError, stacks_text
from llamad.profile.pprof import Profile, PythonFrame

from tests.python.support import pprof_reader

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_S = 60.0
"""For CPU time, on a machine that has little to spare."""

pytestmark = pytest.mark.skipif(
    _engine.profiling_unsupported() is not None, reason="the system does not let stacks be walked"
)


def profiled(burn: Callable[[], object], holds: Callable[[pprof_reader.ReadProfile], bool]) -> Any:
    """Profile `burn` for longer and longer until `holds`: CPU time cannot be demanded."""
    deadline, duration = time.monotonic() + PATIENCE_S, 0.2
    while True:
        with CpuProfiler() as profiler:
            end = time.monotonic() + duration
            while time.monotonic() < end:
                burn()
        profile = pprof_reader.read(profiler.pprof())
        if holds(profile) or time.monotonic() > deadline:
            return profile
        duration *= 2


def burn_python() -> int:
    return sum(number * number for number in range(5000))


def burn_native() -> bytes:
    return hashlib.pbkdf2_hmac("sha256", b"password", b"salt", 5000)


def test_the_main_threads_python_functions_stand_in_for_the_interpreter():
    def holds(profile: pprof_reader.ReadProfile) -> bool:
        return any("burn_python" in name for name in profile.functions)

    profile = profiled(burn_python, holds)
    assert holds(profile)
    sample = next(one for one in profile.samples if "burn_python" in one.functions)
    assert sample.functions.index("burn_python") < sample.functions.index("profiled")
    assert not any("_PyEval_EvalFrameDefault" in name for name in sample.functions)
    assert sample.labels["thread_id"] == threading.get_native_id()
    assert "MainThread" in str(sample.labels["thread"])


def test_native_functions_lie_above_the_python_ones_that_call_them():
    def mixed(profile: pprof_reader.ReadProfile) -> list[pprof_reader.ReadSample]:
        return [one for one in profile.samples if "burn_native" in one.functions[1:]]

    profile = profiled(burn_native, lambda profile: bool(mixed(profile)))
    assert mixed(profile)


def test_what_a_sample_stands_for():
    profile = profiled(burn_python, lambda profile: bool(profile.samples))
    message = profile.message
    types = [(profile.text(one.type), profile.text(one.unit)) for one in message.sample_type]
    assert types == [("samples", "count"), ("cpu", "nanoseconds")]
    assert profile.text(message.default_sample_type) == "cpu"
    assert message.period == 10_000_000
    assert all(
        nanoseconds == 10_000_000 * count for count, nanoseconds in (s.values for s in profile.samples)
    )
    assert message.duration_nanos >= 200_000_000
    assert abs(message.time_nanos / 1e9 - time.time()) < 10 * PATIENCE_S
    assert any(
        "libpython" in profile.text(one.filename) or "python" in profile.text(one.filename)
        for one in message.mapping
    )


def test_other_threads_are_sampled():
    stop = threading.Event()

    def burn() -> None:
        while not stop.is_set():
            burn_native()

    thread = threading.Thread(target=burn, name="burner")
    thread.start()
    try:

        def seen(profile: pprof_reader.ReadProfile) -> bool:
            return any("burner" in str(one.labels["thread"]) for one in profile.samples)

        assert seen(profiled(lambda: time.sleep(0.05), seen))
    finally:
        stop.set()
        thread.join()


def test_one_at_a_time():
    with CpuProfiler():
        with pytest.raises(ProfilerBusyError):
            CpuProfiler()
        assert "a profile is being taken" in stacks_text()
    with CpuProfiler():
        pass


@pytest.mark.parametrize("before", [signal.SIG_DFL, signal.SIG_IGN, lambda _number, _frame: None])
def test_the_signals_handler_comes_back(before: Any):
    original = signal.signal(signal.SIGPROF, before)
    try:
        for _ in range(20):
            with CpuProfiler():
                burn_python()
            assert signal.getsignal(signal.SIGPROF) == before
    finally:
        signal.signal(signal.SIGPROF, original)


def test_it_can_be_made_in_any_thread():
    read: list[pprof_reader.ReadProfile] = []

    def profile() -> None:
        read.append(profiled(burn_native, lambda profile: bool(profile.samples)))

    thread = threading.Thread(target=profile)
    thread.start()
    thread.join()
    assert read[0].samples
    assert signal.getsignal(signal.SIGPROF) == signal.SIG_DFL


def test_a_profile_is_read_when_it_is_over():
    with CpuProfiler() as profiler, pytest.raises(RuntimeError, match="stop"):
        profiler.pprof()


def test_a_system_without_it_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_engine, "profiling_unsupported", lambda: "not on this system")
    with pytest.raises(ProfilerUnsupportedError, match="not on this system"):
        CpuProfiler()
    assert "no native stacks: not on this system" in stacks_text()


def test_stacks_show_every_thread_and_no_values():
    held, done = threading.Event(), threading.Event()

    def wait_for_the_end(secret: str) -> None:
        held.set()
        done.wait()

    thread = threading.Thread(target=wait_for_the_end, args=("the secret",), name="waiter")
    thread.start()
    try:
        held.wait()
        text = stacks_text()
    finally:
        done.set()
        thread.join()
    assert "(MainThread)" in text
    assert "(waiter)" in text
    assert "wait_for_the_end" in text
    assert "_PyEval_EvalFrameDefault" in text
    assert "the secret" not in text


def test_a_written_profile_reads_back():
    code = burn_python.__code__
    symbols = {
        0x1010: ("Engine::step()", "_ZN6Engine4stepEv", 0x1000),
        0x7FFF_FFFF_F010: ("[unknown]", "", None),
    }
    mappings = {0x1000: (0x2000, 64, "/lib/öl.so", "c0ffee", True)}
    profile = Profile(100, 17, 5_000_000_000, symbols, mappings)
    profile.threads[7] = "llamad-engine"
    profile.comments.append("2 samples were lost")
    profile.add((7, (0x1010, 0x7FFF_FFFF_F010), (PythonFrame(code, 300),)), 1 << 33)
    profile.add((8, (0x1010,), ()), 1)
    read = pprof_reader.read(profile.compressed())
    assert read.samples == (
        pprof_reader.ReadSample(
            ("Engine::step()", "[unknown]", "burn_python"),
            (1 << 33, (1 << 33) * 10_000_000),
            {"thread": "llamad-engine", "thread_id": 7},
        ),
        pprof_reader.ReadSample(("Engine::step()",), (1, 10_000_000), {"thread": "", "thread_id": 8}),
    )
    mapping = read.message.mapping[0]
    assert (mapping.memory_start, mapping.memory_limit, mapping.file_offset) == (0x1000, 0x2000, 64)
    assert (read.text(mapping.filename), read.text(mapping.build_id)) == ("/lib/öl.so", "c0ffee")
    assert mapping.has_functions
    assert [location.address for location in read.message.location] == [0x1010, 0x7FFF_FFFF_F010, 0]
    assert read.message.location[2].line[0].line == 300
    assert read.text(read.message.function[0].system_name) == "_ZN6Engine4stepEv"
    assert read.text(read.message.function[2].filename) == code.co_filename
    assert [read.text(one) for one in read.message.comment] == ["2 samples were lost"]
