"""`Lease`: the right to use a model's engine for the length of a request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

E_co = TypeVar("E_co", covariant=True)


class Lease(Generic[E_co]):
    """While it is held, its model is neither evicted nor unloaded.

    Belongs to the event loop of its manager. Release it, or use it as a context manager.

    Attributes:
        model_id: the model's id, also where the request named an alias.
        engine: what computes.
        sampling: values of `SamplingParams` that hold where a request leaves them out.
    """

    def __init__(
        self, model_id: str, engine: E_co, sampling: Mapping[str, Any], on_release: Callable[[], None]
    ) -> None:
        self.model_id = model_id
        self.engine = engine
        self.sampling = sampling
        self._on_release: Callable[[], None] | None = on_release

    def release(self) -> None:
        """Give the engine back; idempotent."""
        on_release, self._on_release = self._on_release, None
        if on_release is not None:
            on_release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()
