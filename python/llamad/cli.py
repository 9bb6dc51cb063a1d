"""The command line: `llamad [serve]`, `llamad pull`, `llamad --version`.

What the user got wrong is one line on stderr: exit code 2 for the command line, the environment, the
configuration file or an empty model directory, 1 for what failed later.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import shlex
import sys
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from . import allocator
from .errors import LlamadError, ParameterError, SettingsError
from .models.specs import scan
from .pull import HUB_PREFIX, catalog, pull
from .settings import OPTIONS, Settings
from .settings.options import engine_options
from .settings.sources import CONFIG_VARIABLE, load_settings, suggest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .settings.kinds import Option

_COMMANDS = ("serve", "pull")

_SERVE_USAGE = """llamad [serve] [flags]            serve the models of a directory
       llamad pull NAME [flags]          fetch a model
       llamad --version                  what this is built from"""

_EPILOG = """Every flag is also an environment variable, named in brackets, and a key of the TOML file that
--config names: --n-parallel 8 is LLAMAD_N_PARALLEL=8 and n_parallel = 8. A flag wins over the
environment, the environment over the file."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    Args:
        argv: the arguments after the program's name; None for the process's own.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    command = arguments.pop(0) if arguments and arguments[0] in _COMMANDS else "serve"
    try:
        return _pull(arguments) if command == "pull" else _serve(arguments)
    except SettingsError as error:
        return _fail(str(error), 2)
    except LlamadError as error:
        return _fail(str(error), 1)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)


def _fail(message: str, code: int) -> int:
    print(f"llamad: {message}", file=sys.stderr)
    return code


def _serve(arguments: list[str]) -> int:
    parser = _Parser(prog="llamad", usage=_SERVE_USAGE, epilog=_EPILOG)
    parser.add_argument("--version", action="store_true", help="print the versions and exit")
    parser.add_options(OPTIONS.values())
    parsed = parser.parse(arguments)
    if parsed.version:
        print(_version())
        return 0
    settings = _checked_settings(parsed)
    _check_models(settings)
    allocator.use(settings.allocator)
    # Not at the top: it imports the engine and the web framework, which `--help` can do without.
    from .server.lifecycle import serve  # noqa: PLC0415

    return serve(settings, partial(_checked_settings, parsed))


def _pull(arguments: list[str]) -> int:
    names = "\n".join(
        f"  {name:<12}{entry.description} ({entry.license})" for name, entry in catalog().items()
    )
    parser = _Parser(
        prog="llamad pull",
        usage="llamad pull NAME [flags]",
        description="Fetch a model into the model directory.",
        epilog=f"names:\n{names}\n  {HUB_PREFIX}org/repo/file.gguf   a file on the Hugging Face Hub",
    )
    parser.add_argument("name", metavar="NAME", help="what to fetch; see below")
    parser.add_options([OPTIONS["model_directory"]])
    parsed = parser.parse(arguments)
    directory = _settings(parsed).model_directory
    print(pull(parsed.name, directory))
    print(f"serve it: llamad --model-directory {shlex.quote(str(directory))}")
    return 0


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Leaves room for the longest flag beside its help."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28)


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line that says what was probably meant.

    Values stay text: `load_settings` converts them, so that a flag is checked as a variable is.
    """

    def __init__(self, *, prog: str, usage: str, epilog: str, description: str | None = None) -> None:
        super().__init__(
            prog=prog,
            usage=usage,
            description=description,
            epilog=epilog,
            formatter_class=_HelpFormatter,
            allow_abbrev=False,
        )
        self.add_argument("--config", metavar="FILE", help=f"TOML file with settings [{CONFIG_VARIABLE}]")

    def add_options(self, options: Iterable[Option]) -> None:
        groups: dict[str, argparse._ArgumentGroup] = {}
        for option in options:
            group = groups.get(option.group) or self.add_argument_group(option.group)
            groups[option.group] = group
            if option.negations:
                for names, const, text in (
                    (option.flags, "true", _help(option)),
                    (option.negations, "false", "the opposite"),
                ):
                    group.add_argument(*names, dest=option.name, action="store_const", const=const, help=text)
            else:
                group.add_argument(
                    *option.flags,
                    dest=option.name,
                    metavar=option.kind.metavar,
                    action="append" if option.repeatable else "store",
                    help=_help(option),
                )

    def parse(self, arguments: list[str]) -> argparse.Namespace:
        parsed, unknown = self.parse_known_args(arguments)
        if unknown:
            name = unknown[0].partition("=")[0]
            if name in _COMMANDS:
                raise SettingsError(f"the command comes first: llamad {name} …")
            hint = suggest(name, self._option_string_actions) or f"; see `{self.prog} --help`"
            raise SettingsError(f"unknown argument {name}{hint}")
        return parsed

    def error(self, message: str) -> NoReturn:
        raise SettingsError(f"{message}; see `{self.prog} --help`")


def _help(option: Option) -> str:
    unit = f" {option.unit}" if option.unit else ""
    return f"{option.help} (default: {_shown(option.default)}{unit}) [{option.variable}]"


def _shown(default: object) -> str:
    match default:
        case ():
            return "none"
        case None | "":
            return "unset"
        case bool():
            return str(default).lower()
        case float():
            return f"{default:g}"
        case _:
            return str(default)


def _settings(parsed: argparse.Namespace) -> Settings:
    flags = {name: value for name, value in vars(parsed).items() if name in OPTIONS and value is not None}
    return load_settings(flags, os.environ, parsed.config)


def _checked_settings(parsed: argparse.Namespace) -> Settings:
    settings = _settings(parsed)
    _check_engine_options(settings)
    return settings


def _check_engine_options(settings: Settings) -> None:
    """Raise a `SettingsError` if settings that are fine one by one contradict each other."""
    from . import _engine  # noqa: PLC0415 - `--help` can do without

    try:
        _engine.EngineConfig(model_path="any", **engine_options(settings))
    except ParameterError as error:
        raise SettingsError(str(error)) from None


def _check_models(settings: Settings) -> None:
    """Raise a `SettingsError` that says what to do if there is nothing to serve, or not what is asked."""
    directory = settings.model_directory
    found = scan(directory)
    if not found.models:
        what = "holds no GGUF model" if directory.is_dir() else "is not a directory"
        problems = "".join(f"; {problem}" for problem in found.problems)
        raise SettingsError(
            f"the model directory {str(directory)!r} {what}{problems}; "
            f"fetch one: llamad pull smollm2 --model-directory {shlex.quote(str(directory))}"
        )
    from .models.tables import read_tables  # noqa: PLC0415 - it imports the engine

    tables = read_tables(settings).values()
    names = [*found.models, *(name for table in tables for name in (table.name, *table.aliases))]
    for name in settings.preload_model:
        if name not in names:
            hint = suggest(name, names)
            raise SettingsError(f"cannot preload {name!r}{hint}; models: {', '.join(found.models)}")


def _version() -> str:
    from . import _engine  # noqa: PLC0415

    return (
        f"llamad {importlib.metadata.version('llamad')}\n"
        f"llama.cpp {_engine.llama_cpp_commit} (llama-cpp-python {_engine.llama_cpp_version})\n"
        f"CUDA: {'yes' if _engine.cuda else 'no'}"
    )
