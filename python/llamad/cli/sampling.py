"""The fields of `SamplingParams` as flags, and as words that are typed in a chat."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from functools import cache
from typing import TYPE_CHECKING, Any, get_type_hints

from ..errors import ParameterError
from ..sampling import SamplingParams

if TYPE_CHECKING:
    import argparse

DEFAULT_WORD = "default"
"""Stands for a field's default value."""

_ALIASES = {"temperature": ("--temp",), "max_tokens": ("-n",)}
_SWITCH_WORDS = {"true": True, "on": True, "1": True, "false": False, "off": False, "0": False}
_ENTRY = re.compile(r"^    (\w+): (.+?)(?=^    \w+: |\Z)", re.MULTILINE | re.DOTALL)


@cache
def fields() -> dict[str, str]:
    """Return every field's name, and what its documentation says of it."""
    documentation = inspect.getdoc(SamplingParams) or ""  # python -OO has none
    _, _, attributes = documentation.partition("Attributes:\n")
    texts = {name: " ".join(text.split()) for name, text in _ENTRY.findall(attributes)}
    return {
        field.name: texts.get(field.name, "") for field in dataclasses.fields(SamplingParams) if field.init
    }


def add_sampling_flags(parser: argparse.ArgumentParser) -> None:
    """Take a flag for every field."""
    group = parser.add_argument_group("sampling")
    hints = get_type_hints(SamplingParams)
    for name, text in fields().items():
        flag = "--" + name.replace("_", "-")
        help_text = text.replace("%", "%%")
        if hints[name] is bool:
            group.add_argument(flag, dest=name, action="store_const", const="true", help=help_text)
        else:
            group.add_argument(flag, *_ALIASES.get(name, ()), dest=name, metavar="VALUE", help=help_text)


def params_of(parsed: argparse.Namespace) -> SamplingParams:
    """Return what the flags say.

    Raises:
        ParameterError: a value cannot be read or is out of range.
    """
    given = {name: text for name in fields() if (text := getattr(parsed, name)) is not None}
    return SamplingParams(**{name: read_value(name, text) for name, text in given.items()})


def with_value(params: SamplingParams, name: str, text: str) -> SamplingParams:
    """Return the parameters with one field changed.

    Args:
        params: what is changed.
        name: of the field.
        text: its value as it was typed; `DEFAULT_WORD` for the default.

    Raises:
        ParameterError: the value cannot be read or is out of range.
    """
    return dataclasses.replace(params, **{name: read_value(name, text)})


def read_value(name: str, text: str) -> Any:
    """Read what somebody typed as the value of a field; its range is checked by `SamplingParams`.

    Texts are taken as they are, lists and mappings are JSON.

    Raises:
        ParameterError: it is not of the field's type.
    """
    hint = get_type_hints(SamplingParams)[name]
    if text == DEFAULT_WORD:
        return next(field.default for field in dataclasses.fields(SamplingParams) if field.name == name)
    if hint is str:
        return text
    if hint is bool:
        return _read(name, text, "true or false", lambda: _SWITCH_WORDS[text.lower()])
    if hint is float:
        return _read(name, text, "a number", lambda: float(text))
    if hint in (int, int | None):
        return (
            None if text == "none" and hint is not int else _read(name, text, "an integer", lambda: int(text))
        )
    if name == "logit_bias":
        return _read(name, text, 'a JSON object such as {"42": -1.5}', lambda: _biases(text))
    return _read(name, text, "a text, or a JSON list of texts", lambda: _texts(text))


def _read(name: str, text: str, expected: str, read: Any) -> Any:
    try:
        return read()
    except (ValueError, KeyError, AttributeError):
        raise ParameterError(f"{name} must be {expected}, got {text!r}", param=name) from None


def _biases(text: str) -> dict[int, float]:
    return {int(token): bias for token, bias in json.loads(text).items()}


def _texts(text: str) -> Any:
    return json.loads(text) if text[:1] in ("[", '"') else text
