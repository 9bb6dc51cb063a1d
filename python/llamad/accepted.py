"""`Accepted`: what has arrived of one request that the engine has taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .lifetime import Uncopyable
from .results import NativeLogprobs, Result, TokenLogprobs, result_from_finish, token_logprobs

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._engine import Finish


class Accepted(Uncopyable):
    """One accepted request; whoever drains the engine's events feeds it.

    Attributes:
        request_id: the engine's id of the request.
    """

    _INSTEAD = "take its result, which can be"

    def __init__(self, request_id: int, cancel: Callable[[int], None]) -> None:
        self.request_id = request_id
        self._cancel = cancel
        self._texts: list[str] = []
        self._token_ids: list[int] = []
        self._logprobs: list[TokenLogprobs] | None = None
        self._finish: Finish | None = None

    def cancel(self) -> None:
        """Ask the engine to stop at the next step; idempotent, and harmless after the end."""
        if self._finish is None:
            self._cancel(self.request_id)

    @property
    def finished(self) -> bool:
        """Whether the terminal event has arrived."""
        return self._finish is not None

    @property
    def n_generated(self) -> int:
        """How many tokens have arrived."""
        return len(self._token_ids)

    def push(
        self, text: str, token_ids: list[int], logprobs: NativeLogprobs | None, finish: Finish | None
    ) -> None:
        """Take one drained event; called on the thread that drains."""
        raise NotImplementedError

    def _collect(self, text: str, token_ids: list[int], logprobs: list[TokenLogprobs] | None) -> None:
        self._texts.append(text)
        self._token_ids += token_ids
        if logprobs is not None:
            self._logprobs = self._logprobs or []
            self._logprobs += logprobs

    def whole(self) -> Result:
        """Return the whole generation, once it is over.

        Raises:
            RuntimeError: it is still running.
            EngineClosedError, RequestTimeoutError, GenerationError: it ended with an error.
        """
        if self._finish is None:
            raise RuntimeError("the generation is still running; wait for its end first")
        return result_from_finish("".join(self._texts), self._token_ids, self._logprobs, self._finish)


def named(logprobs: NativeLogprobs | None) -> list[TokenLogprobs] | None:
    """Give names to what an event tells of its tokens' probabilities, if anything."""
    return None if logprobs is None else token_logprobs(logprobs)
