"""`llamad [serve]`, and what `llamad` without a command says of itself."""

from __future__ import annotations

import importlib.metadata
from functools import partial

from .. import allocator
from ..settings import OPTIONS
from . import peers
from .commands import COMMANDS
from .parser import Parser
from .settings import check_models, checked_settings

_EPILOG = """Every flag is also an environment variable, named in brackets, and a key of the TOML file that
--config names: --n-parallel 8 is LLAMAD_N_PARALLEL=8 and n_parallel = 8. A flag wins over the
environment, the environment over the file."""


def run(arguments: list[str]) -> int:
    """Serve until a signal ends it."""
    parser = Parser(prog="llamad", usage=_usage(), epilog=_EPILOG, hint=peers.hint)
    parser.add_argument("--version", action="store_true", help="print the versions and exit")
    parser.add_options(OPTIONS.values())
    parsed = parser.parse(arguments)
    if parsed.version:
        print(_version())
        return 0
    settings = checked_settings(parsed)
    check_models(settings)
    allocator.use(settings.allocator)
    # Not at the top: it imports the engine and the web framework, which `--help` can do without.
    from ..server.lifecycle import serve  # noqa: PLC0415

    return serve(settings, partial(checked_settings, parsed))


def _usage() -> str:
    lines = [(command.usage, command.summary) for command in COMMANDS.values()]
    lines.append(("--version", "what this is built from"))
    width = max(len(usage) for usage, _ in lines)
    # argparse puts "usage: " before the first.
    return "\n       ".join(f"llamad {usage:<{width}}   {summary}" for usage, summary in lines)


def _version() -> str:
    from .. import _engine  # noqa: PLC0415 - `--help` can do without

    lines = [
        f"llamad {importlib.metadata.version('llamad')}",
        f"llama.cpp {_engine.llama_cpp_commit} (llama-cpp-python {_engine.llama_cpp_version})",
        f"CUDA: {'yes' if _engine.cuda else 'no'}",
        f"backends: {', '.join(_engine.backends())}",
    ]
    for device in _engine.devices():
        memory = f"{device['free'] / 2**30:.1f} of {device['total'] / 2**30:.1f} GiB free"
        lines.append(f"device {device['name']}: {device['description']}, {memory}")
    return "\n".join(lines)
