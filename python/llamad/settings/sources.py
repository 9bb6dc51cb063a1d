"""Where settings come from: flags, the environment, a TOML file.

A flag wins over the environment, the environment over the file, the file over the default.
"""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SettingsError
from . import OPTIONS, Settings
from .kinds import ENV_PREFIX, Option

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

CONFIG_VARIABLE = f"{ENV_PREFIX}CONFIG"
"""Names the TOML file, as `--config` does."""

BUILD_VARIABLES = frozenset(
    f"{ENV_PREFIX}{name}" for name in ("CUDA", "NATIVE", "SANITIZE", "LLAMA_CPP_DIR", "CACHE_DIR")
)
"""Read when llamad is built. They may stay set while it runs, so they are no unknown settings."""


def load_settings(
    flags: Mapping[str, str | Sequence[str]], environ: Mapping[str, str], config: str | None = None
) -> Settings:
    """Resolve the settings from their three sources.

    Args:
        flags: setting name -> the text given on the command line; a list where the flag repeats.
        environ: the environment; variables that do not start with `LLAMAD_` are ignored.
        config: path of a TOML file; None takes `LLAMAD_CONFIG` where it is set and not empty.

    Raises:
        SettingsError: a name is unknown, a value is not what is expected, or the file cannot be read.
    """
    path = config if config is not None else environ.get(CONFIG_VARIABLE) or None
    values = {} if path is None else _from_file(path)
    values |= _from_environment(environ)
    for name, given in flags.items():
        option = OPTIONS[name]
        values[name] = _resolve(option, given if isinstance(given, str) else list(given), option.flag)
    return Settings(**values)


def suggest(name: str, known: Iterable[str], *, prefix: str = "") -> str:
    """Return "; did you mean X?" with the nearest known name, or "" where none is near.

    A prefix that all have in common is left out of the comparison: it would make all look alike.
    """
    names = [candidate.removeprefix(prefix) for candidate in known]
    near = difflib.get_close_matches(name.removeprefix(prefix), names, n=1)
    return f"; did you mean {prefix}{near[0]}?" if near else ""


def _from_file(path: str) -> dict[str, Any]:
    try:
        document = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"cannot read the configuration file {path!r}: {error.strerror}") from None
    except ValueError as error:  # not UTF-8, or not TOML
        raise SettingsError(f"{path}: not a TOML file: {error}") from None
    for key in document:
        if key not in OPTIONS:
            raise SettingsError(f"{path}: unknown key {key!r}{suggest(key, OPTIONS)}")
    return {
        key: _resolve(OPTIONS[key], value, f"{path}: {key}", text=False) for key, value in document.items()
    }


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    options = {option.variable: option for option in OPTIONS.values()}
    values = {}
    for variable, text in environ.items():
        if not variable.startswith(ENV_PREFIX) or variable in BUILD_VARIABLES or variable == CONFIG_VARIABLE:
            continue
        option = options.get(variable)
        if option is None:
            hint = suggest(variable, [*options, CONFIG_VARIABLE, *BUILD_VARIABLES], prefix=ENV_PREFIX)
            raise SettingsError(f"unknown environment variable {variable}{hint}")
        values[option.name] = _resolve(option, text, variable)
    return values


def _resolve(option: Option, value: object, where: str, *, text: bool = True) -> object:
    try:
        return option.kind.check(option.kind.from_text(value) if text and isinstance(value, str) else value)
    except (TypeError, ValueError, OverflowError):
        raise SettingsError(f"{where} = {value!r}: expected {option.kind.expected}") from None
