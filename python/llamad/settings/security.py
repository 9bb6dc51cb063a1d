"""Who may use the server."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from . import kinds
from .kinds import Kind, setting

_GROUP = "security"

_ORIGIN = re.compile(r"\*|null|[a-z][a-z0-9+.-]*://[^\s/?#@]+", re.IGNORECASE)
_HOST = re.compile(r"\*|[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")


def _matching(pattern: re.Pattern[str], metavar: str, expected: str) -> Kind:
    several = kinds.names()

    def check(value: object) -> object:
        checked = several.check(value)
        if not isinstance(checked, tuple) or not all(pattern.fullmatch(one) for one in checked):
            raise ValueError
        return tuple(one.lower() for one in checked)

    return Kind(metavar, expected, several.from_text, check)


@dataclass(frozen=True)
class SecuritySettings:
    """Who may use the server."""

    api_key: tuple[str, ...] = setting(
        _GROUP,
        kinds.secrets(),
        "key that requests must bring; repeatable. Other users of the machine see flags: rather use the "
        "variable or --api-key-file",
        default=(),
    )
    api_key_file: Path | None = setting(  # noqa: RUF009 - it makes a field
        _GROUP,
        kinds.optional_file(),
        "file of keys: one a line, or where its name ends in .toml, with names and limits",
        default=None,
    )
    admin_key: str = setting(
        _GROUP,
        kinds.secret(header=True),
        "key that may also load and unload models and look inside; it makes the API ask for keys, too",
        default="",
    )
    cors_origin: tuple[str, ...] = setting(
        _GROUP,
        _matching(_ORIGIN, "ORIGIN", "a list of origins like https://chat.example.org, or *"),
        "let pages of this origin use the API from browsers; repeatable; * lets all",
        default=(),
    )
    allowed_host: tuple[str, ...] = setting(
        _GROUP,
        _matching(_HOST, "NAME", "a list of host names without ports, or *"),
        "name by which requests may call a server on a loopback address that asks for no keys; repeatable; "
        "* allows all",
        default=(),
    )
