"""The parts of `llamad chat` that need no terminal and no model."""

from __future__ import annotations

import io
import json
import signal
import stat
from typing import TYPE_CHECKING

import pytest
from llamad import ParameterError, SamplingParams
from llamad.cli.chat.conversation import Conversation, ConversationError
from llamad.cli.chat.interrupt import Stopping, unheeded
from llamad.cli.chat.keyboard import Keyboard, SlashCompleter, history_file, no_history, open_history
from llamad.cli.chat.screen import Screen
from llamad.cli.chat.slash import COMMANDS, obey
from llamad.cli.sampling import fields, read_value, with_value
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

if TYPE_CHECKING:
    from pathlib import Path


class Generation:
    """What can be cancelled, and counts how often it was."""

    cancelled = 0

    def cancel(self) -> None:
        self.cancelled += 1


class SilentSession:
    """What commands change, without a model."""

    def __init__(self) -> None:
        self.params = SamplingParams()
        self.conversation = Conversation("be kind")
        self.conversation.say("user", "one")
        self.conversation.say("assistant", "1")


def command(line: str, session: SilentSession | None = None) -> str:
    notes = io.StringIO()
    screen = Screen(io.StringIO(), notes, is_terminal=True, styled=False)
    assert obey(session or SilentSession(), screen, line)  # type: ignore[arg-type]
    return notes.getvalue().strip()


def texts(conversation: Conversation) -> list[str]:
    return [message["content"] for message in conversation.messages]


def test_the_help_names_every_command() -> None:
    told = command("/help")
    assert all(f"/{name}" in told for name in COMMANDS)


def test_clear_undo_and_system() -> None:
    session = SilentSession()
    session.conversation.say("user", "two")
    assert command("/undo", session) == "taken back: two"
    assert texts(session.conversation) == ["be kind", "one", "1"]
    assert "be kind" in command("/system", session)
    command("/system  be brief ", session)
    assert texts(session.conversation) == ["be brief", "one", "1"]
    assert command("/clear", session) == "forgotten; the system message stays"
    command("/system none", session)
    assert texts(session.conversation) == []
    with pytest.raises(ConversationError, match="nothing has been said"):
        command("/undo", session)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("/claer", "did you mean /clear"),
        ("/clear all", "nothing may follow"),
        ("/set temperatur 1", "did you mean temperature"),
        ("/set temperature -1", "temperature must be a number of 0 or more, got -1"),
        ("/set temperature hot", "temperature must be a number, got 'hot'"),
        ("/set top_k 1.5", "top_k must be an integer, got '1.5'"),
        ("/set ignore_eos maybe", "ignore_eos must be true or false, got 'maybe'"),
        ("/set logit_bias [1]", "logit_bias must be a JSON object"),
        ("/set stop [1", "stop must be a text, or a JSON list of texts"),
        ("/save", "which file"),
        ("/load", "which file"),
    ],
)
def test_what_cannot_be_done_says_why(line: str, message: str) -> None:
    with pytest.raises((ConversationError, ParameterError)) as caught:
        command(line)
    assert message in str(caught.value)


def test_set_shows_and_changes() -> None:
    session = SilentSession()
    assert len(command("/set", session).splitlines()) == len(fields())
    assert "0 is greedy" in command("/set temperature", session)
    assert command("/set temperature 0.25", session) == "temperature = 0.25"
    assert session.params == SamplingParams(temperature=0.25)
    command("/set temperature default", session)
    assert session.params == SamplingParams()


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("max_tokens", "7", 7),
        ("max_tokens", "none", None),
        ("ignore_eos", "On", True),
        ("grammar", 'root ::= "a b"', 'root ::= "a b"'),
        ("stop", "the end", "the end"),
        ("stop", '["a", "\\n"]', ["a", "\n"]),
        ("logit_bias", '{"12": -1.5}', {12: -1.5}),
        ("seed", "-1", -1),
    ],
)
def test_values_are_read_by_their_type(name: str, text: str, value: object) -> None:
    assert read_value(name, text) == value
    with_value(SamplingParams(), name, text)


def test_every_field_can_be_set_and_is_explained() -> None:
    params = SamplingParams()
    for name, about in fields().items():
        assert about, name
        assert with_value(params, name, "default") == params


def test_save_and_load(tmp_path: Path) -> None:
    session, file = SilentSession(), tmp_path / "kept.json"
    before = session.conversation.messages
    assert command(f"/save {file}", session) == f"saved 3 messages to {file}"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["kept.json"]
    session.conversation.clear()
    command(f"/save {file}", session)  # its own file may be replaced
    assert len(json.loads(file.read_text())) == 1
    other = SilentSession()
    with pytest.raises(ConversationError, match="is there already"):
        command(f"/save {file}", other)
    file.write_text(json.dumps(list(before)))
    command("/clear", other)
    command(f"/load {file}", other)
    assert other.conversation.messages == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("{}", "a JSON list"),
        ('[{"role": "user"}]', "message 0"),
        ('[{"role": "bot", "content": "x"}]', "message 0 needs a role"),
        ('[{"role": "user", "content": "x"}, {"role": "system", "content": "y"}]', "message 1"),
    ],
)
def test_a_file_that_is_no_conversation_changes_nothing(tmp_path: Path, text: str, message: str) -> None:
    file, conversation = tmp_path / "file.json", Conversation("kept")
    file.write_text(text)
    with pytest.raises(ConversationError, match=message):
        conversation.load(file)
    assert texts(conversation) == ["kept"]


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConversationError, match="cannot read"):
        Conversation().load(tmp_path / "none.json")
    with pytest.raises(ConversationError, match="cannot write"):
        Conversation().save(tmp_path / "none" / "file.json")


def test_a_terminal_is_not_commanded_by_a_model() -> None:
    answers = io.StringIO()
    screen = Screen(answers, io.StringIO(), is_terminal=True, styled=True)
    screen.content("a\x1b]0;title\x07\x9bb\tc\n")
    assert answers.getvalue() == "a\N{SYMBOL FOR ESCAPE}]0;title\N{SYMBOL FOR BELL}\ufffdb\tc\n"


def test_reasoning_is_dim_and_apart() -> None:
    answers = io.StringIO()
    screen = Screen(answers, io.StringIO(), is_terminal=True, styled=True)
    for text in ("I ", "think"):
        screen.reasoning(text)
    screen.content("so")
    screen.end_answer()
    assert answers.getvalue() == "\x1b[2mI think\x1b[0m\n\nso\n"


def test_a_pipe_gets_the_answer_alone_and_as_it_is() -> None:
    answers, notes = io.StringIO(), io.StringIO()
    screen = Screen(answers, notes, is_terminal=False, styled=True)
    screen.reasoning("hm")
    screen.content("\x1b!")
    screen.note("not for pipes")
    screen.error("wrong")
    assert (answers.getvalue(), notes.getvalue()) == ("\x1b!", "wrong\n")


@pytest.mark.parametrize(
    ("keys", "messages"),
    [
        ("one\rtwo\r", ["one", "two"]),
        ("  \r\rone\r", ["one"]),
        ("one\\\rtwo\r", ["one\ntwo"]),
        ("one\x1b\rtwo\r", ["one\ntwo"]),
        ("\x1b[200~one\r\ntwo\x1b[201~\r", ["one\ntwo"]),
        ("wrong\x03right\r", ["right"]),
    ],
)
def test_keys_become_messages(keys: str, messages: list[str]) -> None:
    with create_pipe_input() as source:
        source.send_text(keys + "\x04")
        assert list(Keyboard(no_history(), source=source, sink=DummyOutput())) == messages


@pytest.mark.parametrize(
    ("text", "completed"),
    [
        ("/he", ["help"]),
        ("/set temp", ["temperature"]),
        ("/s", ["system", "set", "save", "stats"]),
        ("he", []),
    ],
)
def test_completion(text: str, completed: list[str]) -> None:
    found = SlashCompleter().get_completions(Document(text), CompleteEvent())
    assert [one.text for one in found] == completed


def test_files_are_completed_when_tab_asks(tmp_path: Path) -> None:
    (tmp_path / "kept.json").touch()
    document, completer = Document(f"/load {tmp_path}/ke"), SlashCompleter()
    typed = completer.get_completions(document, CompleteEvent(text_inserted=True))
    asked = completer.get_completions(document, CompleteEvent(completion_requested=True))
    assert list(typed) == []
    assert [one.text for one in asked] == ["pt.json"]


def test_the_history_is_in_the_state_directory_and_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", "relative/is/ignored")
    file = history_file()
    assert file == tmp_path / ".local/state/llamad/chat_history"
    file.parent.mkdir(parents=True)
    file.touch(mode=0o644)
    history = open_history(file)
    history.append_string("secret")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(open_history(file).load_history_strings()) == ["secret"]


def test_ctrl_c_cancels_and_three_of_them_leave() -> None:
    before, generation = signal.getsignal(signal.SIGINT), Generation()
    with Stopping() as stopping:
        signal.raise_signal(signal.SIGINT)  # nothing to cancel yet
        stopping.watch(generation)
        assert generation.cancelled == 1
        signal.raise_signal(signal.SIGINT)
        assert generation.cancelled == 2
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == before


def test_ctrl_c_between_answer_and_prompt_is_not_heeded() -> None:
    with unheeded():
        signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
