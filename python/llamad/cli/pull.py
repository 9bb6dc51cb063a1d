"""`llamad pull`."""

from __future__ import annotations

import shlex

from ..pull import HUB_PREFIX, catalog, pull
from ..settings import OPTIONS
from .parser import Parser
from .settings import settings_of


def run(arguments: list[str]) -> int:
    """Fetch a model."""
    names = "\n".join(
        f"  {name:<12}{entry.description} ({entry.license})" for name, entry in catalog().items()
    )
    parser = Parser(
        prog="llamad pull",
        usage="llamad pull NAME [flags]",
        description="Fetch a model into the model directory.",
        epilog=f"names:\n{names}\n  {HUB_PREFIX}org/repo/file.gguf   a file on the Hugging Face Hub",
    )
    parser.add_argument("name", metavar="NAME", help="what to fetch; see below")
    parser.add_options([OPTIONS["model_directory"]])
    parsed = parser.parse(arguments)
    directory = settings_of(parsed).model_directory
    print(pull(parsed.name, directory))
    print(f"serve it: llamad --model-directory {shlex.quote(str(directory))}")
    return 0
