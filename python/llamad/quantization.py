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
import stat
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
        ParameterError: the type is unknown, or needs an importance matrix; the weights are quantized already;
            or `target` exists, is `source` or a link, or has no directory.
        QuantizationError: the disk is full, or llama.cpp failed.
    """
    paths = Path(source), Path(target).absolute()
    options = {
        "type": type,
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


def _check_target(source: Path, target: Path, *, overwrite: bool) -> None:
    try:
        objection = _objection(source, target, overwrite=overwrite)
    except (OSError, ValueError) as error:  # the name is too long, or has a null character
        objection = f"target cannot be {str(target)!r}: {getattr(error, 'strerror', error)}"
    if objection is not None:
        raise ParameterError(objection, param="target")


def _objection(source: Path, target: Path, *, overwrite: bool) -> str | None:
    """Say what is wrong with a target, if anything; where the system cannot tell, raise what it says."""
    if not target.parent.is_dir():
        return f"target: there is no directory {str(target.parent)!r}"
    try:
        kind = target.lstat().st_mode
    except FileNotFoundError:
        return None
    split = split_parts(source.name.removesuffix(SUFFIX))
    parts = [source] if split is None else [source.with_name(name + SUFFIX) for name in split[1]]
    if target.exists() and any(one.exists() and target.samefile(one) for one in parts):
        return f"target must be another file than source, got {str(target)!r}"
    if stat.S_ISLNK(kind):
        # To replace the link, or what it leads to? Somebody's cache of models may be behind it.
        return f"target must be a file, got {str(target)!r}, a link to {str(target.readlink())!r}"
    if not stat.S_ISREG(kind):
        return f"target must be a file, got {str(target)!r}"
    return None if overwrite else f"target {str(target)!r} exists; it would be overwritten"


def _check_room(source: Path, target: Path, options: dict[str, Any]) -> None:
    needed = _size(source, options) + _SPARE_BYTES
    free = shutil.disk_usage(target.parent).free
    if needed > free:
        raise QuantizationError(
            f"{str(target)!r} will take about {needed >> 20} MiB, and {free >> 20} MiB are free there"
        )


def _size(source: Path, options: dict[str, Any]) -> int:
    try:
        return _engine.quantized_size(str(source), **options)
    except ParameterError as error:
        if error.param != "type":
            raise
        hint = suggest(str(options["type"]).lower(), quantization_types())
        raise ParameterError(f"{error}{hint}", param="type") from None


def _reserve(target: Path) -> Path:
    """Make an empty file beside the target, hidden and with the usual permissions."""
    # Without the target's name: that may be as long as a name can be.
    part = target.with_name(f".{secrets.token_hex(8)}.gguf.part")
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
