"""What the engine's parser finds in a generated text, as OpenAI's messages and deltas have it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..jobs.reader import ChatReader, new_call_id
from ..results import ToolCall
from .reasoning import Thoughts

if TYPE_CHECKING:
    from .._engine import ChatParser, _ChatEvent


def finish_reason(reason: str, *, made_calls: bool) -> str:
    """Return OpenAI's reason: tool calls go before a regular end, not before one that cut them off."""
    return "tool_calls" if made_calls and reason == "stop" else reason


class MessageDeltas:
    """The deltas of one choice.

    Attributes:
        made_calls: whether there was a tool call.
        thoughts: what of the text was reasoning.
    """

    __slots__ = ("_parser", "made_calls", "thoughts")

    def __init__(self, parser: ChatParser | None) -> None:
        """Parse what is fed; without a parser the text is the content as it is."""
        self._parser = parser
        self.made_calls = False
        self.thoughts = Thoughts()

    @property
    def parsed(self) -> bool:
        """Whether the text is more than the content as it is."""
        return self._parser is not None

    def feed(self, text: str, *, final: bool) -> list[dict[str, Any]]:
        """Return the deltas that more text makes; `final`: no more comes."""
        if self._parser is None:
            return [{"content": text}] if text else []
        events = self._parser.feed(text) if text else []
        if final:
            events += self._parser.finish()
        return [self._delta(event) for event in events]

    def _delta(self, event: _ChatEvent) -> dict[str, Any]:
        self.thoughts.note(event)
        match event:
            case ("reasoning", text):
                return {"reasoning_content": text}
            case ("content", text):
                return {"content": text}
            case (_, index, "", arguments):
                return {"tool_calls": [{"index": index, "function": {"arguments": arguments}}]}
            case (_, index, name, arguments):
                self.made_calls = True
                return {"tool_calls": [{"index": index} | _call(name, arguments)]}


def message_of(text: str, parser: ChatParser | None) -> tuple[dict[str, Any], Thoughts]:
    """Return the whole message that a choice's text stands for, and what of the text was reasoning."""
    reader, thoughts = ChatReader(parser), Thoughts()
    if parser is None:
        reader.feed(text, end=True)
    else:
        events = [*parser.feed(text), *parser.finish()]
        for event in events:
            thoughts.note(event)
        reader.take(events)
    return reader.message | {"refusal": None}, thoughts


def _call(name: str, arguments: str) -> dict[str, Any]:
    return ToolCall(new_call_id(), name, arguments).to_dict()
