"""How lines of the log are written."""

from __future__ import annotations

import logging
import re

import orjson
import pytest
from llamad.server.log_format import JsonFormatter, TextFormatter, formatter


def record(message: str, *args: object, **extra: object) -> logging.LogRecord:
    about = {"name": "llamad.test", "levelno": logging.INFO, "levelname": "INFO", "created": 1.5}
    return logging.makeLogRecord(about | {"msg": message, "args": args} | extra)


def test_text() -> None:
    line = TextFormatter().format(record("%d slots", 4, fields={"model": "tiny", "key": None}))
    assert line == "1970-01-01T00:00:01.500Z INFO llamad.test: 4 slots model=tiny key=-"


def test_json() -> None:
    line = JsonFormatter().format(record("%d slots", 4, fields={"model": "tiny", "key": None}))
    assert orjson.loads(line) == {
        "time": "1970-01-01T00:00:01.500Z",
        "level": "info",
        "logger": "llamad.test",
        "message": "4 slots",
        "model": "tiny",
        "key": None,
    }


def test_json_of_a_traceback_is_one_line() -> None:
    error = RuntimeError("two\nlines")
    line = JsonFormatter().format(record("failed", exc_info=(RuntimeError, error, None)))
    assert "\n" not in line
    assert re.search(r"RuntimeError: two\nlines$", orjson.loads(line)["exception"])


def test_json_of_half_a_character() -> None:
    """A file's name need not be UTF-8."""
    assert orjson.loads(JsonFormatter().format(record("m\udcff.gguf")))["message"] == "m\\udcff.gguf"


@pytest.mark.parametrize(("name", "kind"), [("text", TextFormatter), ("json", JsonFormatter)])
def test_chosen_by_name(name: str, kind: type) -> None:
    assert isinstance(formatter(name), kind)
