"""`Window`: tokens that a model reads at once, and from where on it is asked how likely they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import ParameterError
from ..request_options import check_integer

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a text.

    Attributes:
        tokens: what the model reads, at most a context of them.
        start: the likelihoods of `tokens[start:]` are wanted, given all before; at least 1.
    """

    tokens: list[int]
    start: int


def longest_window(n_ctx: int) -> int:
    """Return how many tokens a window may have: the engine keeps room for one more in its context."""
    return n_ctx - 1


def sliding(tokens: list[int], start: int, window: int, stride: int) -> Iterator[Window]:
    """Cut a text into windows that ask for each token from `start` on exactly once.

    The first window holds all that fits into it. Each next one asks for `stride` more tokens, or what is
    left, and shows the model the `window - stride` tokens before them. That is how Hugging Face's
    "Perplexity of fixed-length models" walks through a text.

    Args:
        tokens: the text.
        start: first token that is asked for; at least 1.
        window: most tokens of a window.
        stride: 1 to `window - 1`.
    """
    while start < len(tokens):
        begin = max(0, start + stride - window)
        end = min(len(tokens), begin + window)
        yield Window(tokens[begin:end], start - begin)
        start = end


def fitted(tokens: list[int], start: int, window: int) -> Iterator[Window]:
    """Ask for the tokens from `start` on, each once, with as much before them as fits.

    Where prompt and continuation do not fit together, the prompt loses its beginning, as in
    lm-evaluation-harness; a continuation that does not fit even so is cut into sliding windows of half
    a context.
    """
    n_asked = len(tokens) - start
    if n_asked < window:
        begin = max(0, len(tokens) - window)
        yield Window(tokens[begin:], start - begin)
    else:
        yield from sliding(tokens, start, window, window // 2)


def checked(window: int | None, stride: int | None, longest: int) -> tuple[int, int]:
    """Return the window and stride to use.

    Args:
        window: None for the longest.
        stride: None for half a window.
        longest: that the context has room for.

    Raises:
        ParameterError: one is out of range.
    """
    if window is None:
        window = longest
    check_integer("window", window, 2, longest)
    if stride is None:
        stride = max(1, window // 2)
    check_integer("stride", stride, 1, window - 1)
    return window, stride


def require_two(tokens: list[int], name: str) -> None:
    """Raise a `ParameterError` if there is no token that follows another one."""
    if len(tokens) < 2:
        message = f"{name} must have at least 2 tokens, since the first is not predicted; got {len(tokens)}"
        raise ParameterError(message, param=name)
