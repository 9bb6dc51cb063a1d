"""`Results`: what many prompts or conversations have come to, in their order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, SupportsIndex, TypeVar, overload

from .chat import ChatResult
from .result import Result
from .show import cut, grid, plain
from .tokens import Usage

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

R = TypeVar("R")

_MOST_ROWS, _LONGEST_CELL = 20, 200
"""What a notebook shows: so many results, and of each text so many characters."""

_LONGEST_SHOWN = 3
"""Results that `repr` shows."""


class Results(list[R]):
    """A list of results, in the order of what was asked; slices are `Results` as well.

    Where exceptions were asked for in place of results (`return_exceptions`), they stand among them, and
    None stands for what had not begun when all was interrupted.

    Attributes:
        elapsed_s: seconds that all of them took together; None where that is not known, as of a slice.
    """

    def __init__(self, results: Iterable[R] = (), *, elapsed_s: float | None = None) -> None:
        super().__init__(results)
        self.elapsed_s = elapsed_s

    @property
    def texts(self) -> list[str | None]:
        """The text of each; None in an exception's place."""
        return [one.text if isinstance(one, Result) else None for one in self]

    @property
    def usage(self) -> Usage:
        """Token counts of all together."""
        return sum((one.usage for one in self if isinstance(one, Result)), Usage(0, 0, 0))

    @property
    def tokens_per_s(self) -> float | None:
        """Tokens that were generated in a second of `elapsed_s`, by all together."""
        return self.usage.completion_tokens / self.elapsed_s if self.elapsed_s else None

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return `to_dict()` of each; of an exception its type and message under "error"."""
        return [_dict(one) for one in self]

    def to_pandas(self) -> pd.DataFrame:
        """Return a table with a row for each: text, counts, times, and what else there is.

        The columns `parsed`, `reasoning`, `tool_calls` and `error` are there if any row has one.

        Raises:
            ImportError: pandas is not installed.
        """
        try:
            import pandas as pd  # noqa: PLC0415 - optional, and slow to import
        except ImportError as error:
            raise ImportError("to_pandas() needs pandas: pip install pandas (to_dicts() does not)") from error
        rows = [_row(one) for one in self]
        columns = list(dict.fromkeys(name for row in rows for name in row))
        return pd.DataFrame(rows, columns=columns or list(_COLUMNS))

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> R: ...
    @overload
    def __getitem__(self, index: slice, /) -> Results[R]: ...
    def __getitem__(self, index: SupportsIndex | slice, /) -> R | Results[R]:
        if isinstance(index, slice):
            return Results(super().__getitem__(index))
        return super().__getitem__(index)

    def __repr__(self) -> str:
        shown = [_line(one) for one in self[:_LONGEST_SHOWN]]
        more = [f"… {len(self) - _LONGEST_SHOWN} more"] if len(self) > _LONGEST_SHOWN else []
        return f"Results([{', '.join(shown + more)}]{self._rate(', ')})"

    def _repr_html_(self) -> str:
        """What a notebook shows: a table of the first results."""
        chats = any(isinstance(one, ChatResult) and one.tool_calls for one in self)
        header = ["", "text", *(["calls"] if chats else []), "ended by", "tokens", "seconds"]
        rows = [[str(index), *_cells(one, chats=chats)] for index, one in enumerate(self[:_MOST_ROWS])]
        n_more = len(self) - len(rows)
        note = f"{len(self)} results{self._rate(' · ')}" + (f" · {n_more} more" if n_more else "")
        return grid(header, rows, note)

    def _rate(self, separator: str) -> str:
        rate, usage = self.tokens_per_s, self.usage
        told = [f"{usage.completion_tokens} tokens"]
        if rate is not None and self.elapsed_s is not None:
            told += [f"{self.elapsed_s:.1f} s", f"{rate:.1f} tok/s"]
        return "".join(separator + one for one in told)


_COLUMNS = (
    "text", "finish_reason", "prompt_tokens", "completion_tokens", "cached_tokens",
    "queue_s", "prefill_s", "decode_s",
)  # fmt: skip


def _row(one: object) -> dict[str, Any]:
    if not isinstance(one, Result):
        return {"text": None, "error": _error(one)}
    values = (
        one.text, one.finish_reason, one.usage.prompt_tokens, one.usage.completion_tokens,
        one.usage.cached_tokens, one.timings.queue_s, one.timings.prefill_s, one.timings.decode_s,
    )  # fmt: skip
    row: dict[str, Any] = dict(zip(_COLUMNS, values, strict=True))
    if one.parsed is not None:
        row["parsed"] = plain(one.parsed)
    if isinstance(one, ChatResult) and one.reasoning is not None:
        row["reasoning"] = one.reasoning
    if isinstance(one, ChatResult) and one.tool_calls:
        row["tool_calls"] = [call.to_dict() for call in one.tool_calls]
    return row


def _dict(one: object) -> dict[str, Any]:
    return one.to_dict() if isinstance(one, Result) else {"error": _error(one)}


def _error(one: object) -> str | None:
    return None if one is None else f"{type(one).__name__}: {one}"


def _line(one: object) -> str:
    return cut(repr(one), 100)


def _cells(one: object, *, chats: bool) -> list[str]:
    if not isinstance(one, Result):
        return [cut(_error(one) or "", _LONGEST_CELL), *([""] if chats else []), "", "", ""]
    calls = (
        [f"{call.name}({call.arguments})" for call in one.tool_calls] if isinstance(one, ChatResult) else []
    )
    return [
        cut(one.text, _LONGEST_CELL),
        *([cut(", ".join(calls), _LONGEST_CELL)] if chats else []),
        one.finish_reason,
        f"{one.usage.prompt_tokens} + {one.usage.completion_tokens}",
        f"{one.timings.total_s:.2f}",
    ]
