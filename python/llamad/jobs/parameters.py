"""How each of many is sampled."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import ParameterError
from ..sampling import SamplingParams, sampling_params

if TYPE_CHECKING:
    from .output import Output

T = TypeVar("T")


def parameters(
    params: SamplingParams | None, overrides: dict[str, Any], output: Output | None
) -> SamplingParams:
    """Combine what is said of sampling, and the grammar of the output.

    Raises:
        ParameterError: an override is wrong, or `grammar` and `json_schema` both say what the text must be.
    """
    combined = sampling_params(params, overrides)
    if output is None:
        return combined
    if combined.grammar:
        message = "'json_schema' and 'grammar' both say what the text must be: give one of them"
        raise ParameterError(message, param="json_schema")
    return combined.replace(grammar=output.grammar)


def one_for_each(
    name: str,
    items: Iterable[T],
    params: SamplingParams | Sequence[SamplingParams] | None,
    overrides: dict[str, Any],
    output: Output | None,
) -> Iterator[tuple[T, SamplingParams]]:
    """Pair items, as they are read, with their parameters.

    Args:
        name: of the items' parameter.
        items: prompts or conversations.
        params: of all, or a list with one for each.
        overrides: fields that hold for all.
        output: what all of them are to be.

    Raises:
        ParameterError: a parameter is wrong, or there are not as many as items; of a generator that shows
            only while it is read.
    """
    if params is None or isinstance(params, SamplingParams):
        same = parameters(params, overrides, output)
        return ((item, same) for item in items)
    _require_params(params)
    if isinstance(items, Sized) and len(items) != len(params):
        raise _different(name, len(params), str(len(items)))
    each = [parameters(one, overrides, output) for one in params]
    return _paired(name, items, each)


def _require_params(params: object) -> None:
    if not isinstance(params, Sequence) or not all(isinstance(one, SamplingParams) for one in params):
        message = f"params must be a SamplingParams or a list of them, got {type(params).__name__}"
        raise ParameterError(message, param="params")


def _paired(
    name: str, items: Iterable[T], params: Sequence[SamplingParams]
) -> Iterator[tuple[T, SamplingParams]]:
    count = 0
    for item in items:
        if count == len(params):
            raise _different(name, count, f"more than {count}")
        yield item, params[count]
        count += 1
    if count < len(params):
        raise _different(name, len(params), str(count))


def _different(name: str, n_params: int, n_items: str) -> ParameterError:
    message = f"params has {n_params} entries for {n_items} {name}: give one for each, or one for all"
    return ParameterError(message, param="params")
