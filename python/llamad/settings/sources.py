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

MODEL_TABLES = "models"
"""The key of the tables of single models, which `llamad.models.tables` reads."""

BUILD_VARIABLES = frozenset(
    f"{ENV_PREFIX}{name}"
    for name in (
        "CACHE_DIR",
        "CUBLAS_PYTHON",
        "CUDA",
        "CUDA_ARCHITECTURES",
        "LLAMA_CPP_DIR",
        "NATIVE",
        "PEERS",
        "SANITIZE",
    )
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
        values[name] = resolve(option, given if isinstance(given, str) else list(given), option.flag)
    if tables := values.pop(MODEL_TABLES, None):
        values["models_config"] = (tables, *values.get("models_config", ()))
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
    has_models = document.pop(MODEL_TABLES, None) is not None
    for key in document:
        if key not in OPTIONS:
            raise SettingsError(f"{path}: unknown key {key!r}{suggest(key, [*OPTIONS, MODEL_TABLES])}")
    values = {
        key: resolve(OPTIONS[key], value, f"{path}: {key}", text=False) for key, value in document.items()
    }
    return values | {MODEL_TABLES: Path(path)} if has_models else values


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    usual = {option.variable: option for option in OPTIONS.values()}
    options = usual | {name: option for option in OPTIONS.values() for name in option.variables}
    values = {}
    # The usual names come last, so that they win over the further ones.
    for variable, text in sorted(environ.items(), key=lambda item: item[0] in usual):
        if not variable.startswith(ENV_PREFIX) or variable in BUILD_VARIABLES or variable == CONFIG_VARIABLE:
            continue
        option = options.get(variable)
        if option is None:
            hint = suggest(variable, [*options, CONFIG_VARIABLE, *BUILD_VARIABLES], prefix=ENV_PREFIX)
            raise SettingsError(f"unknown environment variable {variable}{hint}")
        values[option.name] = resolve(option, text, variable)
    return values


def resolve(option: Option, value: object, where: str, *, text: bool = True) -> object:
    """Return a setting's value, checked.

    Args:
        option: the setting.
        value: what was given.
        where: as a message names the place.
        text: whether strings are to be read as a flag's text, not as what TOML holds.

    Raises:
        SettingsError: the value is not what is expected.
    """
    try:
        return option.kind.check(option.kind.from_text(value) if text and isinstance(value, str) else value)
    except (TypeError, ValueError, OverflowError):
        shown = "" if option.kind.secret else f" = {value!r}"
        raise SettingsError(f"{where}{shown}: expected {option.kind.expected}") from None
