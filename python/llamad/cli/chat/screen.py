"""`Screen`: where a chat writes."""

from __future__ import annotations

import os
from typing import TextIO

_DIM, _RED, _PLAIN = "\x1b[2m", "\x1b[31m", "\x1b[0m"

# A model may write what a terminal would obey. Each becomes the picture that Unicode has of it, or a box.
_CONTROLS = {code: 0x2400 + code for code in range(0x20) if chr(code) not in "\n\t"}
_CONTROLS |= {0x7F: 0x2421} | dict.fromkeys(range(0x80, 0xA0), 0xFFFD)


class Screen:
    """Writes answers as they come, and what is said beside them.

    Args:
        answers: for the model's text.
        notes: for everything else.
        is_terminal: whether somebody looks at `answers`: if not, it gets the model's text alone, as it is.
        styled: whether colours are understood.
    """

    def __init__(self, answers: TextIO, notes: TextIO, *, is_terminal: bool, styled: bool) -> None:
        self._answers = answers
        self._notes = notes
        self._is_terminal = is_terminal
        self._styled = styled and is_terminal
        self._thinking = False
        self._column_zero = True

    def reasoning(self, text: str) -> None:
        """Show what the model thinks, where anybody looks."""
        if not self._is_terminal or not text:
            return
        if not self._thinking and self._styled:
            self._answers.write(_DIM)
        self._thinking = True
        self._write(text)

    def content(self, text: str) -> None:
        """Show the next piece of an answer."""
        if not text:
            return
        if self._thinking:
            self._end_reasoning()
            self._answers.write("\n\n" if not self._column_zero else "\n")
        self._write(text)

    def end_answer(self) -> None:
        """End the line that an answer has begun."""
        self._end_reasoning()
        if not self._column_zero:
            self._write("\n")

    def note(self, text: str) -> None:
        """Say something that is not the model's; only where somebody looks."""
        if self._is_terminal:
            self._tell(text, _DIM)

    def error(self, text: str) -> None:
        """Say what went wrong."""
        self._tell(text, _RED)

    def _end_reasoning(self) -> None:
        if self._thinking and self._styled:
            self._answers.write(_PLAIN)
        self._thinking = False

    def _write(self, text: str) -> None:
        self._answers.write(text.translate(_CONTROLS) if self._is_terminal else text)
        self._answers.flush()
        self._column_zero = text.endswith("\n")

    def _tell(self, text: str, style: str) -> None:
        shown = text.translate(_CONTROLS)
        self._notes.write(f"{style}{shown}{_PLAIN}\n" if self._styled else f"{shown}\n")
        self._notes.flush()


def understands_colours() -> bool:
    """Whether the terminal is said to: no dumb one, and `NO_COLOR` is not set."""
    return os.environ.get("TERM", "dumb") != "dumb" and not os.environ.get("NO_COLOR")
