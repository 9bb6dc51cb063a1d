"""`llamad bench`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from ...errors import LlamadError, SettingsError
from ...settings.options import engine_options
from ..model import add_model_arguments, model_path
from ..parser import Parser
from ..settings import checked_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from .measuring import Asked

_STREAMS = (1, 2, 4, 8, 16, 32)

_EPILOG = """More requests at once make each of them slower. The fewest slots are suggested that give 95 % of
the best throughput, of those whose tokens come within --max-itl. --n-ctx is the context that a slot will
have: more requests at once than find room with it are not measured."""


def run(arguments: list[str]) -> int:
    """Measure a model on this machine, and suggest what to serve it with."""
    parsed = _parser().parse(arguments)
    settings = checked_settings(parsed)
    options = engine_options(settings)
    # Only now: `--help` can do without the engine.
    from ...models.memory import Budget  # noqa: PLC0415
    from .measuring import Bench  # noqa: PLC0415
    from .plan import streams_that_fit  # noqa: PLC0415
    from .report import as_record, as_text  # noqa: PLC0415

    path = model_path(parsed.model, settings)
    fitting = streams_that_fit(parsed.streams, path, options)
    left_out = [n for n in parsed.streams if n not in fitting]
    asked = _asked(parsed, fitting, settings.threads)
    with tqdm(bar_format="{elapsed} {desc}", leave=False, disable=None) as line:
        found = Bench(path, options, asked, line.set_description_str).run(Budget())
    text = as_text(path, asked, found, left_out)
    record = None if parsed.json is None else json.dumps(as_record(path, asked, found, left_out), indent=2)
    if parsed.json == "-":
        print(record)
        return 0
    print(text)
    if record is not None:
        _write(Path(parsed.json), record + "\n")
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog="llamad bench",
        usage="llamad bench [MODEL] [flags]",
        description="Measure a model on this machine, and suggest what to serve it with.",
        epilog=_EPILOG,
    )
    shown = ",".join(map(str, _STREAMS))
    for flag, metavar, kind, default, text in (
        ("--seconds", "S", _number, 60.0, "time for all measurements; loading comes on top (default: 60)"),
        ("--streams", "N,…", _counts(256), list(_STREAMS), f"requests at once (default: {shown})"),
        (
            "--thread-counts",
            "N,…",
            _counts(512),
            None,
            "threads to compare (default: all cores, a half, a quarter)",
        ),
        (
            "--prompt-tokens",
            "N",
            _count(8192),
            128,
            "longest prompts; slow models get shorter ones (default: 128)",
        ),
        ("--new-tokens", "N", _count(8192, least=2), 32, "longest answers, likewise (default: 32)"),
        ("--max-itl", "MS", _number, 200.0, "time between two tokens that is acceptable (default: 200)"),
        ("--json", "FILE", str, None, "write the figures here as JSON too; - writes only that, to stdout"),
    ):
        parser.add_argument(flag, metavar=metavar, type=kind, default=default, help=text)
    add_model_arguments(parser, without=("threads_batch",))
    return parser


def _asked(parsed: argparse.Namespace, streams: list[int], threads: int) -> Asked:
    from .measuring import Asked  # noqa: PLC0415 - it imports the engine
    from .plan import cores, thread_counts  # noqa: PLC0415
    from .workload import Workload  # noqa: PLC0415

    if threads and parsed.thread_counts:
        raise SettingsError(
            "--threads measures with so many, --thread-counts compares several: give one of them"
        )
    return Asked(
        seconds=parsed.seconds,
        streams=streams,
        threads=[threads] if threads else parsed.thread_counts or thread_counts(cores()),
        most=Workload(parsed.prompt_tokens, parsed.new_tokens),
        max_itl_s=parsed.max_itl / 1000,
    )


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise LlamadError(f"cannot write {str(path)!r}: {error.strerror}") from None


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"must be a number above 0, got {text!r}")
    return value


def _count(most: int, *, least: int = 1) -> Callable[[str], int]:
    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"must be an integer from {least} to {most}, got {text!r}")
        return value

    return read


def _counts(most: int) -> Callable[[str], list[int]]:
    one = _count(most)

    def read(text: str) -> list[int]:
        return sorted({one(part.strip()) for part in text.split(",")})

    return read
