"""Formats of strings, each as the regular expression of what is generated: all of it is of that format.

`date`, `time`, `date-time`, `uuid`, `ipv4`, `ipv6` are complete but for notations that nobody writes
(leap seconds, IPv4 within IPv6, more than six digits of a second). `duration`, `email`, `hostname` and
`uri` are the plain forms that every validator takes.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from .regex_parser import parse_pattern

if TYPE_CHECKING:
    from collections.abc import Callable

    from .language import Language

_LEAP_YEAR = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
_YEAR = "(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)"
_DATE = (
    f"(?:{_YEAR}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    "|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
    f"|{_LEAP_YEAR}-02-29)"
)
_CLOCK = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_TIME = rf"{_CLOCK}:[0-5][0-9](?:\.[0-9]{{1,6}})?(?:Z|[+\-]{_CLOCK})"

_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_GROUP = "[0-9a-fA-F]{1,4}"
_LABEL = "[a-zA-Z](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_HOST = rf"{_LABEL}(?:\.{_LABEL}){{0,2}}"
_DOMAIN = rf"{_LABEL}(?:\.{_LABEL})?\.[a-zA-Z]{{2,18}}"
_ATOM = "[a-zA-Z0-9_+-]{1,31}"


def _ipv6() -> str:
    """Eight groups; or some before "::" and at most so many behind it that one is left out."""
    forms = [f"(?:{_GROUP}:){{7}}{_GROUP}"]
    for before in range(8):
        head = f"{_GROUP}(?::{_GROUP}){{{before - 1}}}" if before else ""
        most = 7 - before
        forms.append(f"{head}::" + (f"(?:{_GROUP}(?::{_GROUP}){{0,{most - 1}}})?" if most else ""))
    return "|".join(forms)


def _duration() -> str:
    number = "[0-9]{1,6}"
    date = f"(?:{number}Y(?:{number}M(?:{number}D)?)?|{number}M(?:{number}D)?|{number}D)"
    time = f"T(?:{number}H(?:{number}M(?:{number}S)?)?|{number}M(?:{number}S)?|{number}S)"
    return f"P(?:{date}(?:{time})?|{time}|{number}W)"


def _uri() -> str:
    char = r"(?:[a-zA-Z0-9._~!$&'()*+,;=:@-]|%[0-9a-fA-F]{2})"
    tail = f"{char[:-1]}|[/?])"
    return (
        rf"[a-zA-Z][a-zA-Z0-9+.-]{{0,15}}://{_HOST}(?::[1-9][0-9]{{0,3}})?"
        rf"(?:/{char}{{0,64}}){{0,6}}(?:\?{tail}{{0,64}})?(?:#{tail}{{0,64}})?"
    )


_PATTERNS = {
    "date": _DATE,
    "time": _TIME,
    "date-time": f"{_DATE}T{_TIME}",
    "duration": _duration(),
    "uuid": "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
    "email": rf"{_ATOM}(?:\.{_ATOM})?@{_DOMAIN}",
    "hostname": _HOST,
    "ipv4": rf"{_OCTET}(?:\.{_OCTET}){{3}}",
    "ipv6": _ipv6(),
    "uri": _uri(),
}


def _parser_of(pattern: str) -> Callable[[], Language]:
    return cache(lambda: parse_pattern(pattern, search=False))


FORMATS: dict[str, Callable[[], Language | None]] = {
    **{name: _parser_of(pattern) for name, pattern in _PATTERNS.items()},
    "password": lambda: None,
}
"""By name: the language; None where the format asks nothing of the text."""

NUMBER_FORMATS: dict[str, tuple[int, ...]] = {
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "float": (),
    "double": (),
}
"""Formats of OpenAPI, with their bounds."""
