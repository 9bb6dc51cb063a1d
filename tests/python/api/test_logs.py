"""llama.cpp's lines in the server's log."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
from llamad.server import logs


@pytest.fixture
def native(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Stands in for the native module: `lines` is what it has to tell, `level` what it was set to."""
    fake = SimpleNamespace(lines=[], level=None)
    fake.take_log_lines = lambda: [fake.lines.pop(0) for _ in range(len(fake.lines))]
    fake.set_log_level = lambda level: setattr(fake, "level", level)
    monkeypatch.setattr(logs, "_engine", fake)
    return fake


def test_lines_come_once_at_their_level(native: SimpleNamespace, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    native.lines = [(2, "loading\n"), (3, "odd\n"), (4, "broken\n"), (4, "\n")]
    logs.forward_native_lines()
    logs.forward_native_lines()
    told = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert told == [("DEBUG", "loading"), ("WARNING", "odd"), ("ERROR", "broken")]


@pytest.mark.parametrize(("level", "expected"), [("debug", 1), ("info", 3), ("error", 3)])
def test_native_level_follows_ours(
    native: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, level: str, expected: int
) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", list(root.handlers))
    loggers = [root, logging.getLogger("uvicorn"), logging.getLogger("blacksheep")]
    before = [logger.level for logger in loggers]
    try:
        logs.set_up(level)
        assert native.level == expected
        assert root.level == getattr(logging, level.upper())
    finally:
        for logger, old in zip(loggers, before, strict=True):
            logger.setLevel(old)
