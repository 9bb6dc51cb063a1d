"""The argument parser of every command."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, NoReturn

from ..errors import SettingsError
from ..settings.sources import CONFIG_VARIABLE, suggest
from .commands import COMMANDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..settings.kinds import Option


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line that says what was probably meant.

    Values of settings stay text: `load_settings` converts them, so that a flag is checked as a variable is.

    Args:
        prog: the command, as a message names it.
        usage: how it is called.
        epilog: what the help ends with.
        description: what the help begins with.
        hint: what an error says of an unknown argument, before it looks for one that is near.
    """

    def __init__(
        self,
        *,
        prog: str,
        usage: str,
        epilog: str | None = None,
        description: str | None = None,
        hint: Callable[[str], str] = lambda _: "",
    ) -> None:
        super().__init__(
            prog=prog,
            usage=usage,
            description=description,
            epilog=epilog,
            formatter_class=_HelpFormatter,
            allow_abbrev=False,
        )
        self._hint = hint

    def add_options(self, options: Iterable[Option]) -> None:
        """Take these settings, and the file that may hold them."""
        self.add_argument("--config", metavar="FILE", help=f"TOML file with settings [{CONFIG_VARIABLE}]")
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
        """Parse the arguments behind the command's name.

        Raises:
            SettingsError: they are not what the command takes.
        """
        parsed, unknown = self.parse_known_args(arguments)
        if unknown:
            name = unknown[0].partition("=")[0]
            if name in COMMANDS:
                raise SettingsError(f"the command comes first: llamad {name} …")
            # Two letters are near to too much.
            near = suggest(name, self._option_string_actions) if len(name) > 2 else ""
            hint = self._hint(name) or near or f"; see `{self.prog} --help`"
            raise SettingsError(f"unknown argument {name}{hint}")
        return parsed

    def _get_option_tuples(
        self,
        option_string: str,  # noqa: ARG002 - whatever it is
    ) -> list[tuple[argparse.Action, str, str | None]]:
        """Take flags as they are written: argparse reads `-m` as `-mg`, and `-cb` as `-c b`."""
        return []

    def error(self, message: str) -> NoReturn:
        """Raise what argparse has to say."""
        raise SettingsError(f"{message}; see `{self.prog} --help`")


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Leaves room for the longest flag beside its help."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28)


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
