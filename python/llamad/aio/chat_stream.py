"""`ChatStream`: one answer as an async iterator of `ChatDelta`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, cast

from ..lifetime import Uncopyable
from ..results import ChatDelta

if TYPE_CHECKING:
    from types import TracebackType

    from .. import _engine
    from ..jobs import Job
    from ..results import ChatResult
    from .stream import TokenStream


class ChatStream(Uncopyable):
    """The deltas of one answer, and its result once they are over.

    What is said of `TokenStream` holds here: it may be awaited and iterated on any loop, a slow reader gets
    fewer, longer deltas, and as an async context manager it cancels the request on the way out.
    """

    _INSTEAD = "take its result, which can be"

    def __init__(self, stream: TokenStream, job: Job[ChatResult], prepared: _engine.Prepared) -> None:
        self._stream = stream
        self._job = job
        self._prepared = prepared
        self._make_delta = job.delta_maker(prepared)
        self._ended = False
        self._result: ChatResult | None = None

    @property
    def finished(self) -> bool:
        """Whether the answer is over."""
        return self._stream.finished

    @property
    def result(self) -> ChatResult:
        """The whole answer.

        Raises:
            RuntimeError: it is still running.
            EngineClosedError, RequestTimeoutError, GenerationError: it ended with an error.
            OutputError: its text fits the schema, but not the class that is to hold it.
        """
        if self._result is None:
            self._result = self._job.finish(self._stream.result, self._prepared)
        return self._result

    def cancel(self) -> None:
        """Ask the engine to stop at the next step; idempotent, and harmless after the end."""
        self._stream.cancel()

    async def wait(self) -> ChatResult:
        """Wait for the end and return the result; the deltas need not be read. Raises as `result` does."""
        await self._stream.wait()
        return self.result

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.cancel()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ChatDelta:
        """Return everything that has arrived since the last call as one delta; raises as `result` does."""
        while not self._ended:
            try:
                delta = await anext(self._stream)
            except StopAsyncIteration:
                self._ended = True
                made = self._make_delta("", [], None, self._ended)
            else:
                made = self._make_delta(delta.text, delta.token_ids, delta.logprobs, self._ended)
            if made is not None:
                return cast("ChatDelta", made)
        raise StopAsyncIteration
