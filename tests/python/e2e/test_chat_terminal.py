"""`llamad chat` at a real terminal, with the real default model."""

from __future__ import annotations

import json
import stat
import sys
from typing import TYPE_CHECKING

import pytest

from tests.python.support.terminal import ALT_ENTER, CTRL_C, CTRL_D, ENTER, UP, Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROMPT = ">>>"
FLAGS = ("--threads", "1", "--n-ctx", "512", "--temperature", "0")


@pytest.fixture(params=["xterm", "dumb"])
def chat(request: pytest.FixtureRequest, smollm2: Path, tmp_path: Path) -> Iterator[Terminal]:
    """A chat whose answers go on until they are stopped, or 400 tokens long."""
    command = [sys.executable, "-m", "llamad", "chat", str(smollm2), *FLAGS, "-n", "400", "--ignore-eos"]
    with Terminal(command, {"TERM": request.param, "XDG_STATE_HOME": str(tmp_path)}) as terminal:
        terminal.expect(PROMPT)
        yield terminal


def leave(chat: Terminal) -> None:
    chat.type("/exit" + ENTER)
    assert chat.exit_code() == 0


def test_ctrl_c_stops_an_answer_and_keeps_what_came(chat: Terminal, tmp_path: Path) -> None:
    chat.type("SAY A LOT" + ENTER)
    chat.expect("e")  # none of what was typed
    chat.type(CTRL_C)
    chat.expect("[stopped; what came is kept]")
    chat.expect(PROMPT)
    chat.type(f"/save {tmp_path / 'kept.json'}{ENTER}")
    chat.expect("saved 2 messages")
    chat.expect(PROMPT)
    question, answer = json.loads((tmp_path / "kept.json").read_text())
    assert question == {"role": "user", "content": "SAY A LOT"}
    assert answer["role"] == "assistant"
    shown = chat.shown.replace("\r\n", "\n").replace("^C", "")  # which the terminal itself echoes
    assert answer["content"].strip() in shown
    chat.type("/stats" + ENTER)
    chat.expect("all answers: 1")
    leave(chat)


def test_ctrl_c_at_the_prompt_clears_the_line(chat: Terminal) -> None:
    assert "llama, 135 million parameters, Q4_1, 512 tokens of context" in chat.shown
    chat.type("never sent" + CTRL_C + "/stats" + ENTER)
    chat.expect("nothing has been answered yet")
    leave(chat)


@pytest.mark.parametrize("chat", ["xterm"], indirect=True)  # a dumb one sends no such keys
def test_several_lines_are_one_message(chat: Terminal, tmp_path: Path) -> None:
    chat.type("/set max_tokens 1" + ENTER)
    chat.expect("max_tokens = 1")
    chat.expect(PROMPT)
    pasted = "\x1b[200~three\nfour\x1b[201~"
    chat.type(f"one\\{ENTER}two{ALT_ENTER}{pasted}{ENTER}")
    chat.expect("max_tokens reached")
    chat.expect(PROMPT)
    chat.type(f"/save {tmp_path / 'lines.json'}{ENTER}")
    chat.expect("saved 2 messages")
    assert json.loads((tmp_path / "lines.json").read_text())[0]["content"] == "one\ntwo\nthree\nfour"
    leave(chat)


@pytest.mark.parametrize("chat", ["xterm"], indirect=True)
def test_what_was_typed_is_there_in_the_next_chat(chat: Terminal, smollm2: Path, tmp_path: Path) -> None:
    chat.type("/system be kind" + ENTER)
    chat.expect("system message: be kind")
    leave(chat)
    file = tmp_path / "llamad" / "chat_history"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before = file.read_text()
    command = [sys.executable, "-m", "llamad", "chat", str(smollm2), *FLAGS, "--system", "be brief"]
    with Terminal(command, {"XDG_STATE_HOME": str(tmp_path)}) as again:
        again.expect(PROMPT)
        again.type(UP + UP + ENTER)  # the last was /exit
        again.expect("system message: be kind")
        again.expect(PROMPT)
        again.type(CTRL_D)
        assert again.exit_code() == 0
    with Terminal([*command, "--no-history"], {"XDG_STATE_HOME": str(tmp_path)}) as secret:
        secret.expect(PROMPT)
        secret.type(UP + "/system" + ENTER)
        secret.expect("system message: be brief")
        leave(secret)
    assert "be brief" not in file.read_text()
    assert file.read_text().startswith(before)


def test_what_fails_does_not_end_the_chat(chat: Terminal) -> None:
    chat.type("/set temperature -1" + ENTER)
    chat.expect("temperature must be")
    chat.expect(PROMPT)
    chat.type("word " * 100 + "word " * 500 + ENTER)
    chat.expect("the context is full")
    chat.expect(PROMPT)
    chat.type("/undo" + ENTER)
    chat.expect("nothing has been said yet")
    leave(chat)
