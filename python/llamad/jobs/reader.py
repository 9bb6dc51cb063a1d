"""`ChatReader`: what the engine's parser finds in a generated text, as it comes in or as a whole."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from ..results import ChatDelta, ToolCall

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .._engine import ChatParser, _ChatEvent
    from ..results import TokenLogprobs


def new_call_id() -> str:
    """Return an id for a call, by which its result will refer to it."""
    return f"call_{secrets.token_hex(12)}"


class ChatReader:
    """Takes one answer apart: content, reasoning, tool calls. One thread at a time.

    Attributes:
        content: what was said so far.
        reasoning: what was thought so far.
    """

    __slots__ = ("_calls", "_contents", "_parser", "_reasonings")

    def __init__(self, parser: ChatParser | None) -> None:
        """Read what is fed; without a parser the text is the content as it is."""
        self._parser = parser
        self._calls: list[tuple[str, str, list[str]]] = []
        # In pieces: `+=` on an attribute copies all that came before, for each token of an answer.
        self._contents: list[str] = []
        self._reasonings: list[str] = []

    @property
    def content(self) -> str:
        return "".join(self._contents)

    @property
    def reasoning(self) -> str:
        return "".join(self._reasonings)

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls so far; the last one may have only the beginning of its arguments."""
        return tuple(ToolCall(identity, name, "".join(pieces)) for identity, name, pieces in self._calls)

    def feed(self, text: str, *, end: bool) -> tuple[str, str]:
        """Take the next piece of the answer.

        Args:
            text: continues what was fed before.
            end: whether this is the last piece; what was held back is returned then.

        Returns:
            The content and the reasoning that are new.
        """
        if self._parser is None:
            self._contents.append(text)
            return text, ""
        events = self._parser.feed(text) if text else []
        if end:
            events += self._parser.finish()
        return self.take(events)

    def delta(
        self, text: str, token_ids: list[int], logprobs: tuple[TokenLogprobs, ...] | None, end: bool
    ) -> ChatDelta | None:
        """Make a `ChatDelta` of a piece: a `DeltaMaker`."""
        content, reasoning = self.feed(text, end=end)
        if not (content or reasoning or token_ids):
            return None
        return ChatDelta(content, token_ids, logprobs, reasoning)

    @property
    def message(self) -> dict[str, Any]:
        """The answer so far as a message in OpenAI's form."""
        calls = [call.to_dict() for call in self.tool_calls]
        message: dict[str, Any] = {"role": "assistant", "content": self.content or (None if calls else "")}
        if reasoning := self.reasoning:
            message["reasoning_content"] = reasoning
        if calls:
            message["tool_calls"] = calls
        return message

    def take(self, events: Iterable[_ChatEvent]) -> tuple[str, str]:
        """Take what the parser has found; see `feed`, which asks it."""
        content = reasoning = ""
        for event in events:
            match event:
                case ("reasoning", text):
                    reasoning += text
                case ("content", text):
                    content += text
                case (_, index, "", arguments):
                    self._calls[index][2].append(arguments)
                case (_, _, name, arguments):
                    self._calls.append((new_call_id(), name, [arguments]))
        self._contents.append(content)
        self._reasonings.append(reasoning)
        return content, reasoning
