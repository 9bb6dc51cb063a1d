"""The command line: `llamad [serve]`, and the commands of `COMMANDS`.

What the user got wrong is one line on stderr: exit code 2 for the command line, the environment, the
configuration file or an empty model directory, 1 for what failed later, 130 for what was interrupted.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING

from ..errors import LlamadError, SettingsError
from ..settings.sources import suggest
from . import peers
from .commands import COMMANDS

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    Args:
        argv: the arguments after the program's name; None for the process's own.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    named = bool(arguments) and not arguments[0].startswith("-")
    name = arguments.pop(0) if named else "serve"
    try:
        return _run(name, arguments)
    except SettingsError as error:
        return _fail(str(error), 2)
    except LlamadError as error:
        return _fail(str(error), 1)
    except BrokenPipeError:
        # Who read has left. The interpreter, too, flushes what is left, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.filename is None:  # not the user's doing
            raise
        return _fail(f"{error.filename!r}: {error.strerror}", 2)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)


def _run(name: str, arguments: list[str]) -> int:
    if name not in COMMANDS:
        hint = peers.hint(name) or suggest(name, COMMANDS) or "; see `llamad --help`"
        raise SettingsError(f"unknown command {name}{hint}")
    # Only now: most commands import the engine, which none of the others has use for.
    module = importlib.import_module(f".{name}", __name__)
    try:
        code: int = module.run(arguments)
    finally:
        sys.stdout.flush()
    return code


def _fail(message: str, code: int) -> int:
    print(f"llamad: {message}", file=sys.stderr)
    return code
