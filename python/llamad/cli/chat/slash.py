"""The commands that are typed in a chat: `/help`, `/set temperature 0.2` and their like."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...settings.sources import suggest
from ..sampling import DEFAULT_WORD, fields, with_value
from .conversation import ConversationError
from .session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from .screen import Screen

PREFIX = "/"
NONE_WORD = "none"

_KEYS = """Alt-Enter, or a \\ at the end of a line, begins another line; Ctrl-C stops an answer.
A message that begins with // is sent with one / less."""


@dataclass(frozen=True, slots=True)
class _Slash:
    """A command.

    Attributes:
        arguments: what follows its name, for the help.
        summary: what it does.
        run: does it, given what follows the name; returns what the user is told.
    """

    arguments: str
    summary: str
    run: Callable[[Session, str], str]


def obey(session: Session, screen: Screen, line: str) -> bool:
    """Do what a line that begins with `PREFIX` says; return whether the chat goes on.

    Raises:
        LlamadError: it cannot be done.
    """
    name, _, rest = line.removeprefix(PREFIX).partition(" ")
    if name in LEAVING:
        return False
    command = COMMANDS.get(name)
    if command is None:
        hint = suggest(PREFIX + name, [PREFIX + known for known in (*COMMANDS, *LEAVING)])
        raise ConversationError(
            f"unknown command {PREFIX}{name}{hint or '; see /help'} (// begins a message with a /)"
        )
    if told := command.run(session, rest.strip()):
        screen.note(told)
    return True


def _bare(run: Callable[[Session], str]) -> Callable[[Session, str], str]:
    """Make a command of what needs nothing after its name."""

    def refusing(session: Session, rest: str) -> str:
        if rest:
            raise ConversationError(f"nothing may follow this command, got {rest!r}")
        return run(session)

    return refusing


def _help(_: Session) -> str:
    lines = {f"{PREFIX}{name} {command.arguments}": command.summary for name, command in COMMANDS.items()}
    lines[PREFIX + LEAVING[0]] = "leave; so does Ctrl-D"
    width = max(map(len, lines)) + 2
    told = [f"{line:<{width}}{summary}" for line, summary in lines.items()]
    return "\n".join([*told, _KEYS])


def _system(session: Session, rest: str) -> str:
    if rest:
        session.conversation.system = "" if rest == NONE_WORD else rest
    return f"system message: {session.conversation.system or NONE_WORD}"


def _set(session: Session, rest: str) -> str:
    name, _, text = rest.partition(" ")
    if not name:
        return "\n".join(f"{field} = {getattr(session.params, field)!r}" for field in fields())
    if name not in fields():
        hint = suggest(name, fields())
        raise ConversationError(f"unknown sampling parameter {name!r}{hint or '; /set lists all'}")
    if not text.strip():
        return f"{name} = {getattr(session.params, name)!r}: {fields()[name]}"
    session.params = with_value(session.params, name, text.strip())
    return f"{name} = {getattr(session.params, name)!r}"


def _clear(session: Session) -> str:
    session.conversation.clear()
    return "forgotten" + ("; the system message stays" if session.conversation.system else "")


def _undo(session: Session) -> str:
    return f"taken back: {session.conversation.undo()}"


def _retry(session: Session) -> str:
    session.retry()
    return ""


def _save(session: Session, rest: str) -> str:
    session.conversation.save(_file(rest))
    return f"saved {len(session.conversation.messages)} messages to {rest}"


def _load(session: Session, rest: str) -> str:
    session.conversation.load(_file(rest))
    return f"loaded {len(session.conversation.messages)} messages from {rest}"


def _file(rest: str) -> Path:
    if not rest:
        raise ConversationError("which file?")
    return Path(rest)


LEAVING = ("exit", "quit")
"""Names that end a chat."""

COMMANDS = {
    "help": _Slash("", "this list", _bare(_help)),
    "system": _Slash(f"[TEXT|{NONE_WORD}]", "show or replace the system message", _system),
    "set": _Slash(f"[NAME [VALUE|{DEFAULT_WORD}]]", "show or change how the model samples", _set),
    "clear": _Slash("", "forget all that was said", _bare(_clear)),
    "undo": _Slash("", "take your last message and its answer back", _bare(_undo)),
    "retry": _Slash("", "answer your last message again", _bare(_retry)),
    "save": _Slash("FILE", "write the messages as JSON", _save),
    "load": _Slash("FILE", "go on with the messages of such a file", _load),
    "stats": _Slash("", "tokens and speed", _bare(Session.report)),
}
"""By name, in the order of the help."""
