"""`ChatResult`: a finished answer of a chat, taken apart."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from .result import Result
from .show import cut, facts, panel


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function that the model wants to be called.

    Attributes:
        id: what the tool's result refers to.
        name: of the function.
        arguments: a JSON object as the model wrote it; cut short where the generation was.
    """

    id: str
    name: str
    arguments: str

    @property
    def parsed_arguments(self) -> dict[str, Any]:
        """The arguments by name.

        Raises:
            ValueError: they are not a JSON object.
        """
        try:
            arguments = json.loads(self.arguments or "{}")
        except (ValueError, RecursionError) as error:  # the latter: thousands of brackets in each other
            message = f"the arguments of {self.name!r} are not JSON ({error}): {self.arguments}"
            raise ValueError(message) from None
        if not isinstance(arguments, dict):
            message = f"the arguments of {self.name!r} are not a JSON object: {self.arguments}"
            raise ValueError(message)  # noqa: TRY004 - it is the text that is wrong
        return arguments

    def to_dict(self) -> dict[str, Any]:
        """Return the call as it stands in a message."""
        function = {"name": self.name, "arguments": self.arguments}
        return {"id": self.id, "type": "function", "function": function}


@dataclass(frozen=True, slots=True, repr=False)
class ChatResult(Result):
    """A finished answer: `text` is its content, without reasoning and tool calls.

    `usage` and `timings` are those of all rounds where `run_tools` took several; `token_ids`, `logprobs`
    and `finish_reason` those of the last.

    Attributes:
        reasoning: what the model thought before it answered; None where it did not.
        tool_calls: what it wants to be called; those that `run_tools` has carried out are in `messages` only.
        messages: what was added to the conversation, in OpenAI's form: the answer, and with `run_tools`
            also the calls and the tools' results before it. The conversation goes on with
            `[*conversation, *result.messages, {"role": "user", ...}]`.
    """

    reasoning: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    messages: tuple[dict[str, Any], ...] = ()

    @property
    def message(self) -> dict[str, Any]:
        """The answer as a message, the last of `messages`."""
        return self.messages[-1]

    def to_dict(self) -> dict[str, Any]:
        """Return all attributes as what JSON has; see `Result.to_dict`."""
        # Not super(): slots make another class of this one, which it would not find.
        return Result.to_dict(self) | {
            "reasoning": self.reasoning,
            "tool_calls": [call.to_dict() for call in self.tool_calls],
            "messages": list(self.messages),
        }

    def __repr__(self) -> str:
        calls = "".join(f", calls {cut(f'{call.name}({call.arguments})', 60)}" for call in self.tool_calls)
        return f"ChatResult({cut(self.text, 60)!r}{calls}, {', '.join(facts(self))})"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        parts = [("reasoning", self.reasoning)] if self.reasoning else []
        parts += [("content", self.text)] if self.text or not self.tool_calls else []
        parts += [("calls", f"{call.name}({call.arguments})") for call in self.tool_calls]
        return panel(parts, facts(self))
