"""SIGHUP: the configuration is read again, and what can change in a running server changes.

A configuration that cannot be read changes nothing: the log says what is wrong with it, and the one before
stays in force.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from typing import TYPE_CHECKING

from ..errors import LlamadError
from . import logs
from .health import is_ready
from .limits import BodyLimits

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..settings import Settings
    from .notify import Notifier
    from .state import ServerState

AT_RUN_TIME = frozenset(
    (
        "lameduck",
        "log_level",
        "max_body_mib",
        "read_timeout",
        "stall_timeout",
        "trust_request_chat_template",
    )
)
"""Settings that this module applies itself."""

Part = tuple["frozenset[str]", "Callable[[Settings], Awaitable[None]]"]
"""The settings that the rest of the server can change while it runs, and how it is told of all of them;
called at each reload, since what the settings name, such as a file, may have changed. It takes them or raises
a `LlamadError` and stays as it was."""

_logger = logging.getLogger("llamad.server")


class Reloader:
    """Applies the configuration to a running server as often as it is asked to.

    Args:
        settings: those in force.
        reread: returns those that the sources hold now; raises a `LlamadError` where they are wrong.
        state: what some of them are applied to.
        part: takes the others.
        notifier: is told of each reload.

    Attributes:
        settings: those in force.
    """

    def __init__(
        self,
        settings: Settings,
        reread: Callable[[], Settings],
        state: ServerState,
        part: Part,
        notifier: Notifier,
    ) -> None:
        self.settings = settings
        self._reread = reread
        self._state = state
        self._able, self._take = part
        self._notifier = notifier
        self._asked = asyncio.Event()

    def ask(self) -> None:
        """Have the configuration read again; several calls before that happens are one."""
        self._asked.set()

    async def run(self) -> None:
        """Reload whenever that is asked for, until cancelled."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            if self._state.ready:  # else the service manager still waits for the start to be over
                self._notifier.reloading()
            try:
                await self.reload()
            except LlamadError as error:
                message = "reload: %s; the configuration before stays in force"
                _logger.error(message, error)  # noqa: TRY400 - what is wrong is the file, not the program
            except Exception:  # SIGHUP must never be what ends a server
                _logger.exception("reload: failed; the configuration before stays in force")
            if is_ready(self._state):
                self._notifier.ready("serving")

    async def reload(self) -> None:
        """Read the configuration and apply what can be applied.

        Raises:
            LlamadError: it is wrong, and nothing has changed.
        """
        before, wanted = self.settings, await asyncio.to_thread(self._reread)
        changed = {name for name in _names(wanted) if getattr(before, name) != getattr(wanted, name)}
        if fixed := sorted(changed - AT_RUN_TIME - self._able):
            _logger.warning("reload: a restart is needed to change %s", ", ".join(fixed))
        # What could not change stays as it is, also for the next comparison.
        settings = dataclasses.replace(wanted, **{name: getattr(before, name) for name in fixed})
        await self._take(settings)
        self._apply(settings)
        self.settings = settings
        _logger.info("reload: done; changed: %s", ", ".join(sorted(changed - set(fixed))) or "no setting")

    def _apply(self, settings: Settings) -> None:
        logs.set_level(settings.log_level)
        state = self._state
        state.body_limits = BodyLimits(settings.max_body_mib << 20, settings.read_timeout)
        state.stall_timeout_s = settings.stall_timeout
        state.trust_request_chat_template = settings.trust_request_chat_template


def _names(settings: Settings) -> list[str]:
    return [field.name for field in dataclasses.fields(settings)]
