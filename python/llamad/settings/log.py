"""What is written about the server's work."""

from __future__ import annotations

from dataclasses import dataclass

from . import kinds
from .kinds import setting

_GROUP = "logging"
LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_FORMATS = ("text", "json")


@dataclass(frozen=True)
class LoggingSettings:
    """What is written about the server's work."""

    log_level: str = setting(
        _GROUP,
        kinds.choice(*LOG_LEVELS),
        "least severity to log: " + ", ".join(LOG_LEVELS) + "; LLAMAD_LOG sets it too",
        default="info",
        variables=("LLAMAD_LOG",),
    )
    log_format: str = setting(
        _GROUP,
        kinds.choice(*LOG_FORMATS),
        "text, or json: one object a line",
        default="text",
    )
