"""Logging: our own lines and llama.cpp's, in one stream on stderr."""

from __future__ import annotations

import asyncio
import logging
import sys

from .. import _engine

_NATIVE_DEBUG, _NATIVE_WARNING = 1, 3
_LEVELS = {1: logging.DEBUG, 2: logging.DEBUG, 3: logging.WARNING, 4: logging.ERROR}
"""llama.cpp says at its info level what is of interest only when debugging."""

_POLL_S = 1.0
_logger = logging.getLogger("llamad.llama_cpp")


def set_up(level: str) -> None:
    """Log to stderr from a level on: "debug", "info", "warning" or "error"."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # These two say at info what our own lines already say.
    for name in ("uvicorn", "blacksheep"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    _engine.set_log_level(_NATIVE_DEBUG if root.level <= logging.DEBUG else _NATIVE_WARNING)


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
