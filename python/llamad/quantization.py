"""`quantize`: a model's weights in another type, by llama.cpp's quantizer.

It runs in a process of its own: there it can be stopped at any moment, and what llama.cpp would abort on
takes nobody along.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from . import _engine, errors
from .errors import ParameterError, QuantizationError, RequestError
from .models.specs import SUFFIX, split_parts
from .settings.sources import suggest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SPARE_BYTES = 16 << 20
"""Room that is asked for beside the tensors: for the metadata, a vocabulary mostly."""

_LOG_TAIL_BYTES = 2000

# -P: what lies in the working directory must not be taken for llamad, which comes from where this is from.
_PROGRAM = "import sys; sys.path.append(sys.argv[1]); from llamad.quantize_worker import main; main()"


def quantize(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    type: str = "q8_0",  # noqa: A002 - everybody's word for it
    allow_requantize: bool = False,
    keep_output_tensor: bool = False,
    pure: bool = False,
    n_threads: int = 0,
    overwrite: bool = False,
    on_progress: Callable[[int, int], object] | None = None,
) -> Path:
    """Write a model with its weights in another type; blocks until that is done.

    `target` appears once it is whole. `KeyboardInterrupt` (Ctrl-C, a notebook's stop button) or anything that
    `on_progress` raises stops it at once and leaves nothing behind.

    Args:
        source: a GGUF file; of a split model the first part.
        target: the file to write.
        type: as `quantization_types` lists them, in any case.
        allow_requantize: also take weights that are quantized already. What that type has lost stays
            lost: from 16 or 32 bits the result is better.
        keep_output_tensor: leave the output matrix as it is: larger, and a little better.
        pure: every matrix in the same type, without the mixture that llama.cpp prefers.
        n_threads: compute threads; 0 takes the machine's cores.
        overwrite: replace a `target` that exists.
        on_progress: called with the number of tensors that are done, from 0 on, and of all.

    Returns:
        `target`.

    Raises:
        ModelNotFoundError, InvalidModelError, TruncatedModelError: by what is wrong with `source`.
        ParameterError: the type is unknown, the weights are quantized already, or `target` exists, is
            `source`, or has no directory.
        QuantizationError: the disk is full, or llama.cpp failed.
    """
    paths = Path(source), Path(target).absolute()
    options = {
        "type": _known(type),
        "allow_requantize": allow_requantize,
        "keep_output_tensor": keep_output_tensor,
        "pure": pure,
        "n_threads": n_threads,
    }
    _engine.check_model_file(str(paths[0]))
    _check_target(*paths, overwrite=overwrite)
    _check_room(*paths, options)
    part = _reserve(paths[1])
    job = {"source": str(paths[0]), "target": str(paths[1]), "part": str(part), "overwrite": overwrite}
    try:
        _run(job | {"options": options}, on_progress)
    finally:
        part.unlink(missing_ok=True)
    return Path(target)


def quantization_types() -> list[str]:
    """Return the types that `quantize` knows, in lower case."""
    return _engine.quantization_types()


def _known(name: str) -> str:
    known = quantization_types()
    if name.lower() not in known:
        hint = suggest(name.lower(), known) or f"; known are {', '.join(known)}"
        raise ParameterError(f"type must be a quantization type, got {name!r}{hint}", param="type")
    return name.lower()


def _check_target(source: Path, target: Path, *, overwrite: bool) -> None:
    if not target.parent.is_dir():
        raise ParameterError(f"target: there is no directory {str(target.parent)!r}", param="target")
    if not target.exists():
        return
    split = split_parts(source.name.removesuffix(SUFFIX))
    parts = [source] if split is None else [source.with_name(name + SUFFIX) for name in split[1]]
    if any(one.exists() and target.samefile(one) for one in parts):
        raise ParameterError(f"target must be another file than source, got {str(target)!r}", param="target")
    if not target.is_file():
        raise ParameterError(f"target must be a file, got {str(target)!r}", param="target")
    if not overwrite:
        raise ParameterError(f"target {str(target)!r} exists; it would be overwritten", param="target")


def _check_room(source: Path, target: Path, options: dict[str, Any]) -> None:
    needed = _engine.quantized_size(str(source), **options) + _SPARE_BYTES
    free = shutil.disk_usage(target.parent).free
    if needed > free:
        raise QuantizationError(
            f"{str(target)!r} will take about {needed >> 20} MiB, and {free >> 20} MiB are free there"
        )


def _reserve(target: Path) -> Path:
    """Make an empty file beside the target, hidden and with the usual permissions."""
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    except OSError as error:
        raise QuantizationError(f"cannot write to {str(target.parent)!r}: {error.strerror}") from None
    return part


def _run(job: dict[str, Any], on_progress: Callable[[int, int], object] | None) -> None:
    with tempfile.TemporaryFile() as log, _worker(job, log) as messages:
        for message in messages:
            if "done" not in message:
                _raise_error(message)
                return
            if on_progress is not None:
                on_progress(message["done"], message["of"])
        log.seek(max(0, log.seek(0, os.SEEK_END) - _LOG_TAIL_BYTES))
        lines = log.read().decode(errors="replace").strip().splitlines()
    raise QuantizationError(f"the quantizer has died: {lines[-1] if lines else 'it was killed'}")


@contextlib.contextmanager
def _worker(job: dict[str, Any], log: IO[bytes]) -> Iterator[Iterator[dict[str, Any]]]:
    """Start the process, and see to it that it is gone at the end; yield what it tells."""
    command = [sys.executable, "-P", "-c", _PROGRAM, str(Path(__file__).parents[1])]
    # In a session of its own: the terminal's Ctrl-C is for us, and we end it.
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, start_new_session=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - both are pipes
        try:
            process.stdin.write(json.dumps(job).encode() + b"\n")
            process.stdin.flush()
            yield map(json.loads, process.stdout)
        finally:
            process.kill()


def _raise_error(message: dict[str, Any]) -> None:
    if "error" not in message:
        return
    kind: type[errors.LlamadError] = getattr(errors, message["error"])
    if issubclass(kind, RequestError):
        raise kind(message["message"], param=message["param"])
    raise kind(message["message"])
