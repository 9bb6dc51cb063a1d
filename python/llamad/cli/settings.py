"""What commands read from their flags, and check before anything is loaded."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from ..errors import ParameterError, SettingsError
from ..models.specs import scan
from ..settings import OPTIONS, Settings
from ..settings.options import check_engine_options, engine_options
from ..settings.sources import load_settings, suggest

if TYPE_CHECKING:
    import argparse


def settings_of(parsed: argparse.Namespace) -> Settings:
    """Return the settings of flags, environment and file.

    Raises:
        SettingsError: as of `load_settings`.
    """
    flags = {name: value for name, value in vars(parsed).items() if name in OPTIONS and value is not None}
    return load_settings(flags, os.environ, parsed.config)


def checked_settings(parsed: argparse.Namespace) -> Settings:
    """Return the same, for commands that load models.

    Raises:
        SettingsError: also where settings that are fine one by one contradict each other, or name GPUs that
            are not here.
    """
    settings = settings_of(parsed)
    try:
        check_engine_options(engine_options(settings))
    except ParameterError as error:
        raise SettingsError(str(error)) from None
    return settings


def check_models(settings: Settings) -> None:
    """Raise a `SettingsError` that says what to do if there is no model, or not what is to be preloaded."""
    directory = settings.model_directory
    if directory.is_file():
        raise SettingsError(
            f"the model directory {str(directory)!r} is a file; serve the directory that it is in: "
            f"--model-directory {shlex.quote(str(directory.parent))}"
        )
    found = scan(directory)
    if not found.models:
        problems = "".join(f"; {problem}" for problem in found.problems)
        what = f"holds no GGUF model{problems}" if directory.is_dir() else "is not a directory"
        raise SettingsError(
            f"the model directory {str(directory)!r} {what}; "
            f"fetch one: llamad pull smollm2 --model-directory {shlex.quote(str(directory))}"
        )
    from ..models.tables import read_tables  # noqa: PLC0415 - it imports the engine

    tables = read_tables(settings).values()
    names = [*found.models, *(name for table in tables for name in (table.name, *table.aliases))]
    for name in settings.preload_model:
        if name not in names:
            hint = suggest(name, names)
            raise SettingsError(f"cannot preload {name!r}{hint}; models: {', '.join(found.models)}")
