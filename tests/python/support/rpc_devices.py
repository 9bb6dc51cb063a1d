"""GPUs on machines that have none: processes that compute for llama.cpp's RPC backend.

`tests/cpp/rpc` builds them, and an `_engine` that knows that backend. A process has one `_engine`, so tests
run programs with it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_ROOT = Path(__file__).parents[3]
_PATIENCE_S = 120.0
"""Longer than any machine needs."""


def build_directory() -> Path | None:
    """Where the devices have been built; None where they have not. `RPC_BUILD` names another place."""
    usual = _ROOT / "build" / str(sys.implementation.cache_tag) / "tests/cpp/rpc"
    directory = Path(os.environ.get("RPC_BUILD", usual))
    return directory if (directory / "rpc_device").exists() and any(directory.glob("_engine.*")) else None


@contextlib.contextmanager
def device(directory: Path, capacity: int, reported: int | None = None) -> Iterator[str]:
    """Run a device, and yield the address at which it serves.

    Args:
        directory: where it has been built.
        capacity: bytes of its memory.
        reported: how many it says it has, where that is something else.
    """
    sizes = [str(capacity), *([] if reported is None else [str(reported)])]
    with subprocess.Popen([directory / "rpc_device", *sizes], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = next(line.split()[1] for line in process.stdout if line.startswith("port "))
            yield f"127.0.0.1:{port}"
        finally:
            process.kill()


def write_package(directory: Path, target: Path) -> Path:
    """Make a directory to import llamad from: as it is installed, but for the module, which knows devices."""
    spec = importlib.util.find_spec("llamad")
    assert spec is not None
    assert spec.origin is not None
    package = target / "llamad"
    package.mkdir(parents=True)
    for entry in Path(spec.origin).parent.iterdir():
        if not entry.name.startswith("_engine.") or entry.suffix == ".pyi":
            (package / entry.name).symlink_to(entry)
    (module,) = directory.glob("_engine.*")
    (package / module.name).symlink_to(module)
    return target


class Machine:
    """Runs programs that see devices.

    Args:
        package: where they import llamad from.
        addresses: of the devices, in their order.
    """

    def __init__(self, package: Path, addresses: Sequence[str]) -> None:
        self.environ = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(package), str(_ROOT)]),
            "RPC_DEVICES": ",".join(addresses),
        }

    def run(self, arguments: Sequence[str]) -> str:
        """Run Python with arguments and return what it printed."""
        command = [sys.executable, *arguments]
        done = subprocess.run(
            command, env=self.environ, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def answer(self, program: str, **arguments: object) -> Any:
        """Run a program that reads its arguments from `given`, and return what it gave to `tell`."""
        prologue = (
            "import json, sys\nimport llamad\nfrom llamad import _engine\n"
            "given = json.loads(sys.argv[1])\n"
            "def tell(answer): print('\\n' + json.dumps(answer))\n"
            "def size_by_device(memory):\n"
            "    return {one['device']: one['weights'] + one['context'] + one['compute'] for one in memory}\n"
        )
        return json.loads(self.run(["-c", prologue + program, json.dumps(arguments)]).splitlines()[-1])
