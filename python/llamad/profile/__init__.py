"""Looking into the running process: where its CPU time goes, and what its threads are at.

    with llamad.profile.CpuProfiler() as profiler:
        ...
    pathlib.Path("profile.pb.gz").write_bytes(profiler.pprof())

The file opens with `go tool pprof`, and in a browser with speedscope.
"""

from .cpu import CpuProfiler, ProfilerBusyError, ProfilerUnsupportedError
from .stacks import stacks_text

__all__ = ["CpuProfiler", "ProfilerBusyError", "ProfilerUnsupportedError", "stacks_text"]
