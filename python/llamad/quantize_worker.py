"""The process that quantizes: see `quantization`.

It reads one line of JSON, what to do, and then waits for the end of its stdin: its parent lives as long as
that is open. Whatever ends it early, the half-written file goes. What it has to tell are lines of JSON on
stdout: `{"done": i, "of": n}`, then `{}` or an error's class, message and parameter.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any, NoReturn

from . import _engine
from .errors import LlamadError, QuantizationError


def main() -> None:
    """Do what stdin says; never returns."""
    job: dict[str, Any] = json.loads(sys.stdin.readline())
    part = Path(job["part"])

    def give_up(*_: object) -> NoReturn:
        part.unlink(missing_ok=True)
        os._exit(1)

    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, give_up)
    # Quantizing takes a thread of its own: a signal's handler waits until the main thread is out of C++.
    threading.Thread(target=_work, args=(job, part), daemon=True).start()
    sys.stdin.read()
    give_up()


def _work(job: dict[str, Any], part: Path) -> None:
    try:
        _quantize(job, part)
        end = {}
    except LlamadError as error:
        end = _described(error)
    except OSError as error:
        end = _described(QuantizationError(f"cannot write {job['target']!r}: {error.strerror or error}"))
    except BaseException as error:  # noqa: BLE001 - whatever it is, the parent waits for an end
        end = _described(QuantizationError(f"{type(error).__name__}: {error}"))
    part.unlink(missing_ok=True)
    _tell(end)
    os._exit(0)


def _quantize(job: dict[str, Any], part: Path) -> None:
    target = Path(job["target"])
    _engine.quantize(
        job["source"],
        str(part),
        **job["options"],
        on_progress=lambda done, of: _tell({"done": done, "of": of}),
    )
    _engine.check_model_file(str(part))
    with part.open("rb") as file:
        os.fsync(file.fileno())
    if target.exists() and not job["overwrite"]:
        raise QuantizationError(f"{str(target)!r} has come into being meanwhile; it is left as it is")
    part.replace(target)
    directory = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _described(error: LlamadError) -> dict[str, Any]:
    return {"error": type(error).__name__, "message": str(error), "param": getattr(error, "param", None)}


def _tell(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)
