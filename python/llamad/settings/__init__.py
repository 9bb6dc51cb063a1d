"""Everything that can be configured, defined once.

Each field of `Settings` is a flag (`--n-parallel`), an environment variable (`LLAMAD_N_PARALLEL`) and
a TOML key (`n_parallel`) at the same time; its metadata holds the help text, the unit and the check.
Where llama-server has a flag for the same thing, its names work on the command line too. One module for
each group; `sources` reads them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from .context import ContextSettings
from .engine import EngineSettings
from .kinds import Option
from .limits import LimitSettings
from .log import LoggingSettings
from .models import ModelSettings
from .network import NetworkSettings
from .process import ProcessSettings
from .security import SecuritySettings

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Settings(
    # A dataclass takes its fields from the last base first, and the help tells of the models first.
    ProcessSettings,
    LoggingSettings,
    LimitSettings,
    ContextSettings,
    EngineSettings,
    SecuritySettings,
    NetworkSettings,
    ModelSettings,
):
    """The resolved settings of one server; `sources.load_settings` makes one from what the user wrote."""


OPTIONS: Mapping[str, Option] = {
    f.name: Option(name=f.name, default=f.default, **f.metadata) for f in fields(Settings)
}
"""Every setting by name, in the order of the help."""
