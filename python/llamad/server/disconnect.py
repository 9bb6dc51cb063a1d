"""Noticing that a client has gone.

BlackSheep runs a handler to its end whether anybody listens or not, and closing the socket stops no
streaming response either. What does tell at once is the ASGI receive channel: after the body, the
next thing it says is that the client has disconnected. So one task per request waits for just that.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from ..choices import Choices
    from .asgi import Receive

T = TypeVar("T")


class ClientGoneError(Exception):
    """The client has closed its connection; nobody is there to be answered."""


class DisconnectWatch:
    """Watches the connection of one request whose body has been read.

    A request has two lives. Until it is submitted, `until_gone` runs its preparation and abandons it
    when the client goes. From then on the client's going cancels the attached choices, whose
    terminal events end the handler in the ordinary way.

    Attributes:
        gone: whether the client has gone.
    """

    def __init__(self, receive: Receive) -> None:
        self.gone = False
        self._receive = receive
        self._choices: Choices | None = None
        self._task = asyncio.create_task(self._listen())

    async def until_gone(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` to its end, or cancel it as soon as the client goes.

        Raises:
            ClientGoneError: the client went first.
        """
        task = asyncio.create_task(work)
        try:
            await asyncio.wait((task, self._task), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise ClientGoneError
            return task.result()
        finally:
            task.cancel()

    @property
    def unread_bytes(self) -> int:
        """How much generated text waits for the client to read what was sent before."""
        return 0 if self._choices is None else self._choices.unread_bytes

    @property
    def n_generated(self) -> int:
        """How many tokens have been generated so far."""
        return 0 if self._choices is None else self._choices.n_generated

    def attach(self, choices: Choices) -> Choices:
        """Cancel these choices when the client goes, or now if it already has; returns them.

        To be called in the same breath as `submit`, so that no accepted request is ever unwatched.
        """
        self._choices = choices
        if self.gone:
            choices.cancel()
        return choices

    def close(self) -> None:
        """Stop watching, and cancel what has not ended; idempotent."""
        self._task.cancel()
        if self._choices is not None:
            self._choices.cancel()

    async def _listen(self) -> None:
        try:
            while (await self._receive())["type"] != "http.disconnect":
                pass
        except asyncio.CancelledError:
            # By `close`. Kept in the task, its traceback would keep this, the choices and their engine.
            return
        self.gone = True
        if self._choices is not None:
            self._choices.cancel()
