"""`Job`: one request on its way from what was asked to what has come of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Self, TypeAlias, TypeVar

from ..errors import RequestError
from ..results import Delta, Result, TokenLogprobs

if TYPE_CHECKING:
    from .. import _engine

R = TypeVar("R", bound=Result)

DeltaMaker: TypeAlias = Callable[[str, list[int], tuple[TokenLogprobs, ...] | None, bool], Delta | None]
"""Makes the caller's delta of new text, its tokens, their log-probabilities, and whether this is the end.
None where there is nothing to tell. To be called in order, and on one thread at a time."""


class Job(ABC, Generic[R]):
    """One request on its way. Immutable: any thread may use it, and more than once."""

    __slots__ = ()

    @property
    @abstractmethod
    def name(self) -> str | None:
        """Which of many it is, such as "prompt 17"; None where it is the only one."""

    @abstractmethod
    def prepare(self, native: _engine.Engine, *, stream: bool = False) -> _engine.Prepared:
        """Template, tokenize and validate.

        Args:
            native: the engine that will compute it.
            stream: whether deltas are wanted; without them everything comes with the end.

        Raises:
            RequestError: what was asked cannot be honoured; of one of many it says which.
            EngineClosedError: the engine is closed.
        """

    @abstractmethod
    def delta_maker(self, prepared: _engine.Prepared) -> DeltaMaker:
        """Return what makes the caller's deltas of a stream; one for each stream."""

    @abstractmethod
    def finish(self, result: Result, prepared: _engine.Prepared) -> R:
        """Make the caller's result of what was generated.

        Raises:
            OutputError: the text fits the schema, but the class that is to hold it refuses it.
        """

    def follow_up(self, done: R) -> Self | None:
        """Run the functions that the model has called, on this thread, and return the next round.

        Returns:
            What is to be asked next; None where `done` is what the caller gets.

        Raises:
            BaseException: whatever a function raises.
        """
        del done
        return None

    async def follow_up_async(self, done: R) -> Self | None:
        """Like `follow_up`, but coroutine functions are awaited, and others run in a thread."""
        return self.follow_up(done)


@dataclass(frozen=True, slots=True)
class RefusedJob(Job[Any]):
    """One of many that cannot be honoured as it stands: it fails where it is prepared, and the others go on.

    Attributes:
        error: what is wrong with it; names its place.
        origin: which of many it is.
    """

    error: RequestError
    origin: Origin

    @property
    def name(self) -> str | None:
        return self.origin.name

    def prepare(self, native: _engine.Engine, *, stream: bool = False) -> _engine.Prepared:
        del native, stream
        raise self.error

    def delta_maker(self, prepared: _engine.Prepared) -> DeltaMaker:
        del prepared
        raise self.error

    def finish(self, result: Result, prepared: _engine.Prepared) -> Any:
        del result, prepared
        raise self.error


def plain_delta(
    text: str, token_ids: list[int], logprobs: tuple[TokenLogprobs, ...] | None, end: bool
) -> Delta | None:
    """Make a `Delta` of what was generated as it is: a `DeltaMaker`."""
    del end
    return Delta(text, token_ids, logprobs) if text or token_ids else None


@dataclass(frozen=True, slots=True)
class Origin:
    """Which of many a request is, for errors.

    Attributes:
        kind: "prompt" or "conversation".
        index: its place among them; None where it is the only one.
    """

    kind: str
    index: int | None = None

    @property
    def name(self) -> str | None:
        """Such as "prompt 17"; None where it is the only one."""
        return None if self.index is None else f"{self.kind} {self.index}"

    def run(self, prepare: Callable[[], _engine.Prepared]) -> _engine.Prepared:
        """Prepare a request; an error says which it was."""
        if self.index is None:
            return prepare()
        try:
            return prepare()
        except RequestError as error:
            raise self._blame(error) from None

    def _blame(self, error: RequestError) -> RequestError:
        param = error.param or "prompt"
        if param.partition("[")[0] in {"prompt", "messages", "conversation"}:
            place = f".{param}" if param.startswith("messages[") else ""
            param = f"{self.kind}s[{self.index}]{place}"
        return type(error)(f"{self.name}: {error}", param=param)
