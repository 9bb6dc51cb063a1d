"""`llamad chat`."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING, TextIO

from ...described import described
from ...errors import LlamadError, ParameterError, SettingsError
from ...settings.options import engine_options
from ..model import add_model_arguments, load_engine, model_path
from ..parser import Parser
from ..sampling import add_sampling_flags, params_of
from ..settings import checked_settings
from .conversation import Conversation, ConversationError
from .interrupt import unheeded
from .screen import Screen, understands_colours
from .session import Session
from .slash import PREFIX, obey

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

    from prompt_toolkit.history import History

    from ...sampling import SamplingParams
    from ...settings import Settings

_EPILOG = """At a terminal, /help lists what else can be typed. Where stdin or stdout is none, each line of
stdin is a message of one conversation, answers go to stdout, and the first error ends it with exit code 1."""


def run(arguments: list[str]) -> int:
    """Talk to a model until the user has enough."""
    parser = _parser()
    parsed = parser.parse(arguments)
    settings = checked_settings(parsed)
    try:
        params = params_of(parsed)
    except ParameterError as error:
        raise SettingsError(str(error)) from None
    try:
        return _chat(parsed, settings, params)
    except BrokenPipeError:
        # Whoever read the answers has gone. Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> Parser:
    parser = Parser(
        prog="llamad chat",
        usage="llamad chat [MODEL] [flags]",
        description="Talk to a model.",
        epilog=_EPILOG,
    )
    parser.add_argument("-p", "--prompt", metavar="TEXT", help="answer this and exit; - reads it from stdin")
    parser.add_argument("--system", metavar="TEXT", default="", help="the system message")
    parser.add_argument(
        "--no-history", action="store_true", help="do not keep what is typed for the next chat"
    )
    add_model_arguments(parser)
    add_sampling_flags(parser)
    return parser


def _chat(parsed: argparse.Namespace, settings: Settings, params: SamplingParams) -> int:
    # A locale may know fewer characters than a model, and let bytes through that are none.
    for stream, errors in ((sys.stdout, "replace"), (sys.stderr, "replace"), (sys.stdin, "strict")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=errors)
    path = model_path(parsed.model, settings)
    is_terminal = sys.stdout.isatty()
    # What is typed at a terminal is answered there; elsewhere, stdout is for answers alone.
    interactive = is_terminal and sys.stdin.isatty() and parsed.prompt is None
    notes = sys.stdout if interactive else sys.stderr
    screen = Screen(sys.stdout, notes, is_terminal=is_terminal, styled=understands_colours())
    with load_engine(path, engine_options(settings) | {"n_parallel": 1}) as engine:
        session = Session(engine, params, Conversation(parsed.system), screen)
        if parsed.prompt is not None:
            session.say(_whole(sys.stdin) if parsed.prompt == "-" else parsed.prompt)
            return 130 if session.answers[-1].finish_reason == "cancelled" else 0
        if interactive:
            screen.note(
                f"{described(engine.info)}, {engine.info.n_ctx} tokens of context; /help, Ctrl-D leaves"
            )
            keyboard = _keyboard(screen, keep=not parsed.no_history)
            with unheeded():
                _converse(session, screen, keyboard)
            return 0
        return _follow(session, screen, _lines(sys.stdin))


def _keyboard(screen: Screen, *, keep: bool) -> Iterable[str]:
    from .keyboard import Keyboard, history_file, no_history, open_history  # noqa: PLC0415 - slow to import

    history: History = no_history()
    if keep:
        try:
            history = open_history(history_file())
        except OSError as error:
            screen.note(f"no history: {error.filename}: {error.strerror}")
    return Keyboard(history)


def _converse(session: Session, screen: Screen, messages: Iterable[str]) -> None:
    """Answer what is typed; what cannot be done is said, and the chat goes on."""
    for text in messages:
        try:
            if not _take(session, screen, text):
                return
        except LlamadError as error:
            screen.error(str(error))


def _follow(session: Session, screen: Screen, messages: Iterable[str]) -> int:
    """Answer what comes through a pipe, up to the first error or Ctrl-C."""
    for text in messages:
        n_before = len(session.answers)
        if not _take(session, screen, text):
            break
        if any(answer.finish_reason == "cancelled" for answer in session.answers[n_before:]):
            return 130
    return 0


def _take(session: Session, screen: Screen, text: str) -> bool:
    if text.startswith(PREFIX) and not text.startswith(PREFIX * 2):
        return obey(session, screen, text.strip())
    session.say(text.removeprefix(PREFIX) if text.startswith(PREFIX * 2) else text)
    return True


def _lines(source: TextIO) -> Iterator[str]:
    """Yield each message that is not blank; a backslash at the end of a line joins the next to it."""
    held = ""
    for line in _decoded(source):
        held += line.rstrip("\n")
        if held.endswith("\\"):
            held = held[:-1] + "\n"
            continue
        if held.strip():
            yield held
        held = ""
    if held.strip():
        yield held


def _whole(source: TextIO) -> str:
    return "".join(_decoded(source))


def _decoded(source: TextIO) -> Iterator[str]:
    try:
        yield from source
    except UnicodeDecodeError as error:
        raise ConversationError(f"stdin is not {error.encoding}: {error.reason}") from None
