"""Logging: our own lines and llama.cpp's, in one stream on stderr."""

from __future__ import annotations

import asyncio
import logging

from .. import _engine
from .log_format import formatter
from .log_writer import BackgroundHandler

_STDERR = 2

_NATIVE_DEBUG, _NATIVE_WARNING = 1, 3
_LEVELS = {1: logging.DEBUG, 2: logging.DEBUG, 3: logging.WARNING, 4: logging.ERROR}
"""llama.cpp says at its info level what is of interest only when debugging."""

_POLL_S = 1.0
_logger = logging.getLogger("llamad.llama_cpp")


def set_up(level: str, log_format: str = "text") -> None:
    """Log to stderr from a level on, "debug", "info", "warning" or "error", as "text" or "json"."""
    handler = BackgroundHandler(_STDERR)
    handler.setFormatter(formatter(log_format))
    logging.getLogger().handlers[:] = [handler]
    set_level(level)


def set_level(level: str) -> None:
    """Log from another level on."""
    root = logging.getLogger()
    root.setLevel(level.upper())
    # What these say at info, our own lines say already; at debug some of them would quote what clients send.
    for name in ("uvicorn", "blacksheep", "urllib3"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    _engine.set_log_level(_NATIVE_DEBUG if root.level <= logging.DEBUG else _NATIVE_WARNING)


def flush() -> None:
    """Wait until what has been logged is written, but no longer than a second."""
    for handler in logging.getLogger().handlers:
        handler.flush()


def forward_native_lines() -> None:
    """Log what llama.cpp has said since the last call."""
    for level, text in _engine.take_log_lines():
        line = text.rstrip()
        if line:
            _logger.log(_LEVELS[level], "%s", line)


async def forward_native_lines_forever() -> None:
    """Log llama.cpp's lines about once a second, until cancelled and once more then."""
    try:
        while True:
            forward_native_lines()
            await asyncio.sleep(_POLL_S)
    finally:
        forward_native_lines()
