"""`Conversation`: the messages of a chat, and the file they are kept in."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import LlamadError

if TYPE_CHECKING:
    from collections.abc import Sequence

Message = dict[str, str]
"""`{"role": …, "content": …}`."""

_ROLES = ("system", "user", "assistant")


class ConversationError(LlamadError):
    """What was asked of a conversation cannot be done."""


class Conversation:
    """What was said, in order; a system message, if there is one, comes first.

    Args:
        system: the system message; "" for none.
    """

    def __init__(self, system: str = "") -> None:
        self._messages: list[Message] = []
        self._file: Path | None = None
        self.system = system

    @property
    def messages(self) -> Sequence[Message]:
        """Everything that was said until now."""
        return tuple(self._messages)

    @property
    def system(self) -> str:
        """The system message; "" for none."""
        return self._messages[0]["content"] if self._has_system else ""

    @system.setter
    def system(self, text: str) -> None:
        self._messages[: int(self._has_system)] = [{"role": "system", "content": text}] if text else []

    @property
    def _has_system(self) -> bool:
        return bool(self._messages) and self._messages[0]["role"] == "system"

    def restore(self, messages: Sequence[Message]) -> None:
        """Go back to what `messages` was before."""
        self._messages = list(messages)

    def say(self, role: str, text: str) -> None:
        """Add a message."""
        self._messages.append({"role": role, "content": text})

    def clear(self) -> None:
        """Forget everything but the system message."""
        del self._messages[int(self._has_system) :]

    def undo(self) -> str:
        """Take the last message of the user back, with what was answered; return its text.

        Raises:
            ConversationError: the user has said nothing.
        """
        index = self._last_of_user()
        text = self._messages[index]["content"]
        del self._messages[index:]
        return text

    def unanswer(self) -> None:
        """Take back what followed the last message of the user.

        Raises:
            ConversationError: the user has said nothing.
        """
        del self._messages[self._last_of_user() + 1 :]

    def _last_of_user(self) -> int:
        for index in reversed(range(len(self._messages))):
            if self._messages[index]["role"] == "user":
                return index
        raise ConversationError("nothing has been said yet")

    def save(self, path: Path) -> None:
        """Write the messages as a JSON list that only this user may read.

        Raises:
            ConversationError: the file cannot be written, or is there and is not this conversation's.
        """
        target = path.expanduser().absolute()
        if target.exists() and target != self._file:
            raise ConversationError(f"{str(path)!r} is there already; choose another name, or remove it")
        try:
            descriptor, part = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    json.dump(self._messages, file, ensure_ascii=False, indent=2)
                    file.write("\n")
                Path(part).replace(target)
            except BaseException:
                Path(part).unlink()
                raise
        except OSError as error:
            raise ConversationError(f"cannot write {str(path)!r}: {error.strerror}") from None
        self._file = target

    def load(self, path: Path) -> None:
        """Go on with the messages of a file; nothing changes where that fails.

        Raises:
            ConversationError: the file cannot be read, or holds something else.
        """
        target = path.expanduser().absolute()
        try:
            read = json.loads(target.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConversationError(f"cannot read {str(path)!r}: {error.strerror}") from None
        except (ValueError, RecursionError) as error:  # not UTF-8, or not JSON
            raise ConversationError(f"{str(path)!r} is not JSON: {error}") from None
        self._messages = _checked(read, str(path))
        self._file = target


def _checked(read: object, where: str) -> list[Message]:
    if not isinstance(read, list):
        raise ConversationError(f"{where!r} must hold a JSON list of messages")
    messages: list[Message] = []
    for index, one in enumerate(read):
        if (
            not isinstance(one, dict)
            or one.get("role") not in _ROLES
            or not isinstance(one.get("content"), str)
        ):
            raise ConversationError(
                f"{where!r}: message {index} needs a role of {', '.join(_ROLES)} and a text as content"
            )
        if one["role"] == "system" and index > 0:
            raise ConversationError(f"{where!r}: message {index}: a system message must come first")
        messages.append({"role": one["role"], "content": one["content"]})
    return messages
