"""One prompt or many, one conversation or many: what a caller's argument stands for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from typing import Any, TypeAlias

from ..errors import ParameterError

Prompt: TypeAlias = str | Sequence[int]
"""Text, or token ids taken as they are."""

Conversation: TypeAlias = str | Sequence[Mapping[str, Any]]
"""Messages in OpenAI's form; a text is one message of the user."""

_LARGEST_ID = 2**31 - 1
_LONGEST_SHOWN = 60


def is_one_prompt(prompt: Prompt | Iterable[Prompt], name: str = "prompt") -> bool:
    """Whether this is a prompt: a text or a list of token ids; an empty list is no prompts.

    Args:
        prompt: one, or many.
        name: of the parameter, for errors.

    Raises:
        ParameterError: it is neither that nor an iterable.
    """
    if isinstance(prompt, str):
        return True
    _require_iterable(name, "a text, a list of token ids, or an iterable of those", prompt)
    return isinstance(_first(prompt), Integral)


def is_one_conversation(messages: Conversation | Iterable[Conversation]) -> bool:
    """Whether this is a conversation: a text or a list of messages; an empty list is no conversations.

    Raises:
        ParameterError: it is neither that nor an iterable.
    """
    if isinstance(messages, str):
        return True
    _require_iterable("messages", "a text, a list of messages, or an iterable of those", messages)
    return isinstance(_first(messages), Mapping)


def require_many(name: str, expected: str, value: object) -> None:
    """Raise a ParameterError of what holds no items; a text's characters, and a table's names, are none."""
    if isinstance(value, str):
        raise _mismatch(name, expected, value)
    _require_iterable(name, expected, value)


def check_prompt(path: str, prompt: Any) -> str | list[int]:
    """Return a prompt as the engine takes it.

    Raises:
        ParameterError: it is neither text nor token ids.
    """
    if isinstance(prompt, str):
        return _encodable(path, prompt)
    token_ids = _token_ids(prompt) if _holds_items(prompt) else None
    if token_ids is not None:
        return token_ids
    raise _mismatch(path, "a text or a list of token ids", prompt)


def check_text(path: str, text: Any) -> str:
    """Return a text as the engine takes it.

    Raises:
        ParameterError: it is something else, or holds half a surrogate pair.
    """
    if isinstance(text, str):
        return _encodable(path, text)
    raise _mismatch(path, "a text", text)


def check_messages(path: str, messages: Any) -> tuple[dict[str, Any], ...]:
    """Return the messages of a conversation; what they say, the engine checks.

    Raises:
        ParameterError: it is neither text nor messages.
    """
    if isinstance(messages, str):
        return ({"role": "user", "content": messages},)
    if _holds_items(messages):
        found = list(messages)
        if all(isinstance(message, Mapping) for message in found):
            return tuple(dict(message) for message in found)
    raise _mismatch(path, "a text or a list of messages", messages)


def _require_iterable(name: str, expected: str, value: object) -> None:
    # Of a table, as of a dictionary, the names would be taken for prompts.
    is_table = hasattr(value, "columns")
    if is_table or isinstance(value, bytes | bytearray | Mapping) or not isinstance(value, Iterable):
        raise _mismatch(name, expected, value)


def _mismatch(path: str, expected: str, value: object) -> ParameterError:
    shown = repr(value)
    shown = shown if len(shown) <= _LONGEST_SHOWN else type(value).__name__
    return ParameterError(f"{path} must be {expected}, got {shown}", param=path)


def _encodable(path: str, text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        message = (
            f"{path} must be a text that has an encoding, but holds half a surrogate pair at {error.start}"
        )
        raise ParameterError(message, param=path) from None
    return text


def _token_ids(items: Iterable[Any]) -> list[int] | None:
    """Return what the engine can take for tokens, be they in its vocabulary or not; None for other things."""
    found = list(items)
    kinds = set(map(type, found))
    if bool in kinds or not all(issubclass(kind, Integral) for kind in kinds):
        return None
    token_ids = [int(token) for token in found]
    in_range = not token_ids or (min(token_ids) >= 0 and max(token_ids) <= _LARGEST_ID)
    return token_ids if in_range else None


def _holds_items(value: object) -> bool:
    """Whether this can be read again: a list, a tuple, an array; not a generator."""
    if isinstance(value, bytes | bytearray | Mapping):
        return False
    return isinstance(value, Sequence) or (hasattr(value, "__len__") and hasattr(value, "__getitem__"))


def _first(value: Iterable[Any]) -> object:
    """The first item of what can be read again; None of a generator, which holds many."""
    return next(iter(value), None) if _holds_items(value) else None
