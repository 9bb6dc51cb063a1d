"""Which commands there are.

The module of a command has its name and a `run(arguments) -> int`: the exit code, for the arguments after
the name. What it raises as a `LlamadError` becomes one line on stderr.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """What the help says of a command.

    Attributes:
        usage: what follows `llamad`.
        summary: what it does, in a few words.
    """

    usage: str
    summary: str


COMMANDS = {
    "serve": Command("[serve] [flags]", "serve the models of a directory"),
    "chat": Command("chat [MODEL] [flags]", "talk to a model in the terminal"),
    "batch": Command("batch IN -o OUT [flags]", "answer a file of requests"),
    "pull": Command("pull NAME [flags]", "fetch a model"),
    "quantize": Command("quantize IN OUT [flags]", "make a model smaller or faster"),
    "bench": Command("bench [MODEL] [flags]", "measure a model on this machine"),
}
"""By name, in the order of the help."""
