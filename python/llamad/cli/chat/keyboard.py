"""`Keyboard`: messages typed at a terminal, of one or several lines, with history and completion."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import Completer, Completion, PathCompleter
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

from ..sampling import fields
from .slash import COMMANDS, LEAVING, PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from prompt_toolkit.completion import CompleteEvent
    from prompt_toolkit.history import History
    from prompt_toolkit.input import Input
    from prompt_toolkit.output import Output

_PROMPT, _CONTINUATION = ">>> ", "... "


class Keyboard:
    """Reads what the user types, message by message, until Ctrl-D.

    Args:
        history: what was typed before, and where it is kept.
        source: the terminal's input; None for the process's own.
        sink: the terminal's output; None for the process's own.
    """

    def __init__(self, history: History, *, source: Input | None = None, sink: Output | None = None) -> None:
        self._session: PromptSession[str] = PromptSession(
            history=history,
            completer=SlashCompleter(),
            complete_while_typing=True,
            key_bindings=_bindings(),
            # Enter is bound to send all the same; so a paste of several lines is one message, shown as such.
            multiline=True,
            prompt_continuation=_CONTINUATION,
            reserve_space_for_menu=4,
            input=source,
            output=sink,
        )

    def __iter__(self) -> Iterator[str]:
        """Yield each message that is not blank."""
        while True:
            try:
                text = self._session.prompt(_PROMPT)
            except EOFError:
                return
            if text.strip():
                yield text


def _bindings() -> KeyBindings:
    bindings = KeyBindings()

    @bindings.add("enter")
    def _send(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.document.is_cursor_at_the_end and buffer.text.endswith("\\"):
            buffer.delete_before_cursor()
            buffer.insert_text("\n")
        else:
            buffer.validate_and_handle()

    @bindings.add("escape", "enter")
    def _another_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @bindings.add("c-c")
    @bindings.add("<sigint>")
    def _discard(event: KeyPressEvent) -> None:
        event.current_buffer.reset()

    return bindings


class SlashCompleter(Completer):
    """Completes commands, names of sampling parameters, and, when Tab asks for them, files."""

    def __init__(self) -> None:
        self._files = PathCompleter(expanduser=True)

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """Yield what may follow the text before the cursor."""
        text = document.text_before_cursor
        if not text.startswith(PREFIX) or "\n" in text:
            return
        name, space, rest = text.removeprefix(PREFIX).partition(" ")
        if not space:
            yield from _beginning_with(name, {known: command.summary for known, command in COMMANDS.items()})
            yield from _beginning_with(name, {LEAVING[0]: "leave"})
        elif name == "set" and " " not in rest:
            yield from _beginning_with(rest, fields())
        elif name in ("save", "load") and complete_event.completion_requested:
            yield from self._files.get_completions(Document(rest), complete_event)


def _beginning_with(typed: str, known: Mapping[str, str]) -> Iterator[Completion]:
    for name, about in known.items():
        if name.startswith(typed):
            yield Completion(name, start_position=-len(typed), display_meta=about.partition(".")[0])


def history_file() -> Path:
    """Return where the history is kept: in the user's state directory."""
    # The specification ignores a relative path.
    state = Path(os.environ.get("XDG_STATE_HOME", ""))
    return (state if state.is_absolute() else Path.home() / ".local/state") / "llamad" / "chat_history"


def open_history(path: Path) -> History:
    """Return the history of a file that only this user may read; it is made where there is none.

    Raises:
        OSError: the file cannot be made or written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.fchmod(descriptor, 0o600)  # it may be older than this rule, or copied from elsewhere
    finally:
        os.close(descriptor)
    return FileHistory(path)


def no_history() -> History:
    """Return a history that is gone when the chat is over."""
    return InMemoryHistory()
