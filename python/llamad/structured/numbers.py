"""Grammars of integers and decimals between bounds.

Everything is written digit by digit in sign and magnitude. A decimal has at most 15 significant digits, so
that any two of them, and any of them and a bound, stay apart as floating-point numbers: what the grammar
says of the digits then holds for the number that a parser makes of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, localcontext

from . import charset
from .gbnf import EMPTY, NOTHING, Literal, Node, Repeat, char_class, choice, optional, sequence

_MOST_DIGITS = 15
_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1
"""Beyond these, parsers differ in whether they keep an integer exact."""

_DIGIT = char_class(charset.span("0", "9"))


@dataclass(frozen=True, slots=True)
class Bound:
    """A limit of a number.

    Attributes:
        value: exact.
        exclusive: the number may not be the limit itself.
    """

    value: Decimal
    exclusive: bool = False


def integer(lower: Bound | None, upper: Bound | None, step: int = 1) -> Node:
    """An integer between bounds, a multiple of a power of ten; without a bound, of 15 digits at most."""
    low = None if lower is None else _multiple_from(lower, step, ROUND_CEILING)
    high = None if upper is None else _multiple_from(upper, step, ROUND_FLOOR)
    open_end = (10**_MOST_DIGITS - 1) // step
    least, most = -(-_INT_MIN // step), _INT_MAX // step
    if low is None:
        low = -open_end if high is None or high > -open_end else least
    if high is None:
        high = open_end if low < open_end else most
    low, high = max(low, least), min(high, most)
    zeros = len(str(step)) - 1
    negative = _magnitudes(max(1, -high), -low)
    positive = _magnitudes(max(1, low), high)
    return choice(
        sequence("-", negative, "0" * zeros),
        "0" if low <= 0 <= high else NOTHING,
        sequence(positive, "0" * zeros),
    )


def decimal(lower: Bound | None, upper: Bound | None) -> Node:
    """A number between bounds without an exponent, as many digits as stay exact; free where unbounded."""
    if lower is None and upper is None:
        return _FREE_NUMBER
    # The open side reaches as far as nine digits, or as far as the bound on the other side does.
    reach = max(Decimal(10**9 - 1), *(abs(bound.value) for bound in (lower, upper) if bound))
    low = lower or Bound(-reach)
    high = upper or Bound(reach)
    whole_digits = len(str(int(max(abs(low.value), abs(high.value)))))
    places = max(_MOST_DIGITS - whole_digits, 0)
    unit = Decimal(1).scaleb(-places)
    first, last = _grid_from(low, unit, ROUND_CEILING), _grid_from(high, unit, ROUND_FLOOR)
    first, last = max(first, _INT_MIN * 10**places), min(last, _INT_MAX * 10**places)
    return choice(
        sequence("-", _fixed_point(max(1, -last), -first, places)),
        _fixed_point(max(0, first), last, places),
    )


def _multiple_from(bound: Bound, step: int, rounding: str) -> int:
    """The outermost integer within a bound, in multiples of `step`."""
    return _grid_from(bound, Decimal(step), rounding)


def _grid_from(bound: Bound, unit: Decimal, rounding: str) -> int:
    """How many units the outermost grid point within a bound is away from zero."""
    with localcontext(prec=800):
        units = (bound.value / unit).to_integral_value(rounding=rounding)
        if bound.exclusive and units * unit == bound.value:
            units += 1 if rounding == ROUND_CEILING else -1
        return int(units)


def _magnitudes(low: int, high: int) -> Node:
    """Positive integers from `low` to `high`, without leading zeros."""
    options: list[Node] = []
    for n_digits in range(len(str(max(low, 1))), len(str(max(high, 0))) + 1):
        first, last = max(low, 10 ** (n_digits - 1)), min(high, 10**n_digits - 1)
        if first <= last:
            options.append(_between(str(first), str(last)))
    return choice(*options)


def _between(low: str, high: str) -> Node:
    """Digit strings from `low` to `high`, both of the same length."""
    if not low:
        return EMPTY
    rest = len(low) - 1
    if low == "0" * len(low) and high == "9" * len(high):
        return _digits(len(low), len(low))
    if low[0] == high[0]:
        return sequence(low[0], _between(low[1:], high[1:]))
    inner_low, inner_high = int(low[0]), int(high[0])
    options: list[Node] = []
    if set(low[1:]) - {"0"}:
        options.append(sequence(low[0], _between(low[1:], "9" * rest)))
        inner_low += 1
    if set(high[1:]) - {"9"}:
        inner_high -= 1
    options.append(sequence(_digit(inner_low, inner_high), _digits(rest, rest)))
    if inner_high < int(high[0]):
        options.append(sequence(high[0], _between("0" * rest, high[1:])))
    return choice(*options)


def _fixed_point(low: int, high: int, places: int) -> Node:
    """Decimals from `low` to `high`, both in units of the last decimal place; zeros at the end are free."""
    if low > high:
        return NOTHING
    low_whole, low_rest = divmod(low, 10**places)
    high_whole, high_rest = divmod(high, 10**places)
    low_digits, high_digits = (
        f"{rest:0{places}d}".rstrip("0") if places else "" for rest in (low_rest, high_rest)
    )
    if low_whole == high_whole:
        return sequence(str(low_whole), _fraction(low_digits, high_digits, places))
    options = [sequence(str(low_whole), _fraction(low_digits, None, places))]
    if low_whole + 1 <= high_whole - 1:
        options.append(sequence(_magnitudes(low_whole + 1, high_whole - 1), _fraction("", None, places)))
    options.append(sequence(str(high_whole), _fraction("", high_digits, places)))
    return choice(*options)


def _fraction(low: str, high: str | None, room: int) -> Node:
    """The point and digits from `low` to `high` (None: 999...); left out where `low` is zero."""
    if room == 0:
        return EMPTY
    digits = _fraction_digits(low, high, room, first=True)
    return sequence(".", digits) if low else optional(sequence(".", digits))


def _fraction_digits(low: str, high: str | None, room: int, *, first: bool = False) -> Node:
    """Digits whose fraction is at least `low` and at most `high`, both without zeros at the end.

    They may stop as soon as `low` is reached, since what follows counts as zeros; the first stays.
    """
    if room == 0:
        return EMPTY
    if not low and high is None:
        return _digits(1 if first else 0, room)
    if not low and not high:
        return Repeat(Literal("0"), 1 if first else 0, room)
    bottom = int(low[:1] or "0")
    top = 10 if high is None else int(high[:1] or "0")  # 10: every digit beyond the first is below
    if bottom == top:
        options = [sequence(str(bottom), _fraction_digits(low[1:], (high or "")[1:], room - 1))]
    else:
        options = [
            sequence(str(bottom), _fraction_digits(low[1:], None, room - 1)),
            sequence(_digit(bottom + 1, top - 1), _digits(0, room - 1)),
        ]
        if high is not None:
            options.append(sequence(str(top), _fraction_digits("", high[1:], room - 1)))
    node = choice(*options)
    return node if low or first else optional(node)


def _digit(low: int, high: int) -> Node:
    return char_class(charset.span(str(low), str(high))) if low <= high else NOTHING


def _digits(least: int, most: int) -> Node:
    if most == 0:
        return EMPTY
    return _DIGIT if (least, most) == (1, 1) else Repeat(_DIGIT, least, most)


_WHOLE = choice("0", sequence(_digit(1, 9), _digits(0, _MOST_DIGITS - 1)))
_FREE_NUMBER = sequence(
    optional(Literal("-")),
    _WHOLE,
    optional(sequence(".", _digits(1, _MOST_DIGITS))),
    optional(
        sequence(char_class(charset.chars("eE")), optional(char_class(charset.chars("+-"))), _digits(1, 2))
    ),
)
