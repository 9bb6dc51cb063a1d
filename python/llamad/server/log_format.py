"""How a line of the log is written: for people, or for programs."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import orjson


class TextFormatter(logging.Formatter):
    """`2026-01-31T12:00:00.000Z INFO llamad.server: ready`, behind it the record's fields as `key=value`."""

    def formatTime(self, record: logging.LogRecord, _: str | None = None) -> str:  # noqa: N802
        """Return the record's time as RFC 3339 writes it, in UTC."""
        return _time(record)

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """Return the line without a traceback, which follows on lines of its own."""
        return " ".join([super().formatMessage(record), *map(_pair, _fields(record).items())])


class JsonFormatter(logging.Formatter):
    """One JSON object a line: `time`, `level`, `logger`, `message`, the record's fields, `exception`.

    The fields of one kind of record are always all there, null where they have no value.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _encodable(record.getMessage()),
        } | _fields(record)
        if record.exc_info:
            line["exception"] = _encodable(self.formatException(record.exc_info))
        return orjson.dumps(line).decode()


def formatter(log_format: str) -> logging.Formatter:
    """Return what writes lines in this format: "text" or "json"."""
    return JsonFormatter() if log_format == "json" else TextFormatter()


def _time(record: logging.LogRecord) -> str:
    now = datetime.fromtimestamp(record.created, UTC)
    return now.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fields(record: logging.LogRecord) -> dict[str, object]:
    fields: dict[str, object] = getattr(record, "fields", {})
    return fields


def _pair(field: tuple[str, object]) -> str:
    name, value = field
    return f"{name}={'-' if value is None else value}"


def _encodable(text: str) -> str:
    """Keep what is no character, such as half a file name's, from making the whole line impossible."""
    return text.encode(errors="backslashreplace").decode()
