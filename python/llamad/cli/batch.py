"""`llamad batch`."""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields
from typing import TYPE_CHECKING

from .. import allocator
from ..settings import OPTIONS
from ..settings.context import ContextSettings
from ..settings.engine import EngineSettings
from ..settings.log import LoggingSettings
from ..settings.models import ModelSettings
from ..settings.process import ProcessSettings
from .parser import Parser
from .settings import check_models, checked_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..settings.kinds import Option

_EPILOG = """Each line of IN is a request in OpenAI's batch format, each line of OUT an answer; they stand in
the order in which they were ready. Whatever ends a run, the same command goes on where it ended. The exit
code is 0 where every line has been answered with status 200. docs/batch.md says more."""

_GROUPS = (ModelSettings, EngineSettings, ContextSettings, LoggingSettings, ProcessSettings)
_LIMITS = ("max_queue", "queue_timeout", "request_timeout", "max_body_mib", "trust_request_chat_template")
_MEANINGLESS = ("preload_model",)
_MOST_AT_ONCE = 65536
"""Each of them holds its line in memory, and wakes up again and again while it waits for the queue."""


def run(arguments: list[str]) -> int:
    """Answer a file of requests."""
    parser = Parser(
        prog="llamad batch",
        usage="llamad batch IN -o OUT [flags]",
        description="Answer a file of requests, without a server.",
        epilog=_EPILOG,
    )
    parser.add_argument("source", metavar="IN", help="file of requests; - for standard input")
    parser.add_argument(
        "-o", "--output", metavar="OUT", required=True, help="file of answers; - for standard output"
    )
    parser.add_argument(
        "--concurrency",
        metavar="N",
        type=_concurrency,
        help="requests at once (default: twice the slots of a model, at least 16)",
    )
    parser.add_argument("--no-progress", action="store_true", help="show no bar")
    parser.add_options(_options())
    parsed = parser.parse(arguments)
    settings = checked_settings(parsed)
    check_models(settings)
    allocator.use(settings.allocator)
    # Not at the top: it imports the engine and the web framework, which `--help` can do without.
    from ..batch_files import session  # noqa: PLC0415

    progress = sys.stderr.isatty() and not parsed.no_progress
    return session.run(settings, session.BatchJob(parsed.source, parsed.output, parsed.concurrency, progress))


def _options() -> Iterator[Option]:
    """Return the settings of a server that mean something where nobody listens."""
    names = {field.name for group in _GROUPS for field in fields(group)} - {*_MEANINGLESS} | {*_LIMITS}
    return (option for name, option in OPTIONS.items() if name in names)


def _concurrency(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _MOST_AT_ONCE:
        raise argparse.ArgumentTypeError(f"expected an integer from 1 to {_MOST_AT_ONCE}, not {text!r}")
    return int(text)
