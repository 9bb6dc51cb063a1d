"""What a model's file says of the model, read once and without loading it."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from llamad import _engine
from llamad.errors import EngineClosedError, ModelError

if TYPE_CHECKING:
    from pathlib import Path

ModelKind = Literal["generate", "embed", "rerank"]
Pooling = Literal["none", "mean", "cls", "last", "rank"]

_logger = logging.getLogger(__name__)

_THREADS = 8


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """What a GGUF's header says.

    Attributes:
        architecture: such as "llama"; "" where the file does not say.
        name: the model's name; "" where the file does not say.
        n_params: how many weights.
        quantization: of most of them, such as "Q4_1".
        n_ctx_train: tokens of context that it was trained for.
        n_embd: length of its hidden states, and of its embeddings.
        pooling: how it makes a vector of a sequence.
        kind: what it is made for: generating text, embeddings, or reranking.
        has_chat_template: whether the file has one.
    """

    architecture: str
    name: str
    n_params: int
    quantization: str
    n_ctx_train: int
    n_embd: int
    pooling: Pooling
    kind: ModelKind
    has_chat_template: bool


_Stamp = tuple[int, int]
_cache: dict[Path, tuple[_Stamp, ModelMetadata | None]] = {}


def cached_metadata(path: Path) -> ModelMetadata | None:
    """Return what is known of a file without opening it; None where nothing is, or it has changed since."""
    known = _cache.get(path)
    return known[1] if known is not None and known[0] == _stamp(path) else None


def read_metadata(path: Path) -> ModelMetadata | None:
    """Read a model's header, unless it is known; None where it cannot be read.

    A header takes some 10 ms, since the vocabulary is part of it: not for the event loop.
    """
    stamp = _stamp(path)
    known = _cache.get(path)
    if known is not None and known[0] == stamp:
        return known[1]
    try:
        metadata = ModelMetadata(**_engine.read_metadata(str(path)))
    except ModelError as error:
        _logger.warning("a model's header cannot be read: %s", error)
        metadata = None
    _cache[path] = (stamp, metadata)
    return metadata


class Headers:
    """Reads headers off the event loop, each once however many ask.

    Has threads of its own: a disk that hangs then holds up nobody else's work in threads.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="llamad-header")
        self._reading: dict[Path, asyncio.Future[ModelMetadata | None]] = {}
        self._closed = False

    async def read(self, path: Path) -> ModelMetadata | None:
        """Return what a file's header says, as `read_metadata`.

        Raises:
            EngineClosedError: it is closed, and does not know.
        """
        known = _cache.get(path)
        if known is not None and known[0] == _stamp(path):
            return known[1]
        if self._closed:
            raise EngineClosedError("the server is shutting down")
        reading = self._reading.get(path)
        if reading is None:
            reading = asyncio.get_running_loop().run_in_executor(self._pool, read_metadata, path)
            self._reading[path] = reading
            reading.add_done_callback(lambda _: self._reading.pop(path, None))
        return await asyncio.shield(reading)

    def close(self) -> None:
        """Let the threads end; idempotent."""
        self._closed = True
        self._pool.shutdown(wait=False)


def _stamp(path: Path) -> _Stamp:
    try:
        status = path.stat()
    except OSError:
        return (0, 0)
    return (status.st_mtime_ns, status.st_size)
