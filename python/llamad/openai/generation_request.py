"""What requests for generated text have in common, besides how to sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import ParameterError
from ..fields import INT32_MAX, INT32_MIN, Boolean, Field, Integer, Nested, Number, String, parse_fields
from ..request_options import MAX_CHOICES, MAX_TIMEOUT_S
from ..sampling import sampling_params

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..sampling import SamplingParams

STREAM_OPTIONS_FIELDS = (
    Field("include_usage", Boolean(), "include_usage"),
    # vLLM's: token counts in every chunk.
    Field("continuous_usage_stats", Boolean(), "continuous_usage"),
    # Padding that hides the length of tokens from who watches the wire: there is none.
    Field("include_obfuscation", Boolean()),
)

GENERATION_FIELDS = (
    Field("model", String(), "model", required=True),
    Field("stream", Boolean(), "stream"),
    Field("stream_options", Nested(STREAM_OPTIONS_FIELDS), "stream_options"),
    Field("n", Integer(1, MAX_CHOICES), "n"),
    # Who asks, as far as the caller tells: users share the slots evenly.
    Field("user", String(), "user"),
    # Labels that change nothing: every computed prefix is found again without a key.
    Field("safety_identifier", String()),
    Field("prompt_cache_key", String()),
    # Extensions, named as vLLM names them; `timeout` is in seconds.
    Field("priority", Integer(INT32_MIN, INT32_MAX), "priority"),
    Field("cache_salt", String(most=1024), "cache_salt"),
    Field("timeout", Number(0, MAX_TIMEOUT_S, above_minimum=True), "timeout"),
    Field("return_token_ids", Boolean(), "return_token_ids"),
)
"""Shared by chat and completions, together with `SAMPLING_FIELDS`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRequest:
    """What every checked request for generated text has.

    Attributes:
        model: id of the model.
        sampling: how to sample.
        stream: whether to answer with server-sent events.
        include_usage: whether the stream ends with a chunk of token counts.
        continuous_usage: whether its other chunks have token counts too.
        n: how many choices.
        user: who asks, as far as the caller tells.
        priority: lower goes first.
        cache_salt: prefixes are shared between equal salts only.
        timeout: seconds until the request is given up; None: no limit of its own.
        return_token_ids: whether the answer names the tokens of prompt and text.
        given: the fields of `sampling` that the request says itself.
    """

    model: str
    sampling: SamplingParams
    stream: bool = False
    include_usage: bool = False
    continuous_usage: bool = False
    n: int = 1
    user: str = ""
    priority: int = 0
    cache_salt: str = ""
    timeout: float | None = None
    return_token_ids: bool = False
    given: frozenset[str] = frozenset()

    def sampling_with(self, defaults: Mapping[str, Any]) -> SamplingParams:
        """Return how to sample, with a model's defaults where the request leaves something out."""
        missing = {name: value for name, value in defaults.items() if name not in self.given}
        return sampling_params(self.sampling, missing)

    @property
    def counting_field(self) -> str:
        """The field to blame where the request asks for more texts at once than can ever run."""
        return "n"


def parse_generation(body: dict[str, Any]) -> dict[str, Any]:
    """Check the fields that are in `GENERATION_FIELDS`.

    Returns:
        The values of a `GenerationRequest`, without `sampling`.

    Raises:
        ParameterError: a field is missing, has the wrong type or lies outside its range.
    """
    values = parse_fields(GENERATION_FIELDS, body)
    options = values.pop("stream_options", None)
    if options is not None and not values.get("stream"):
        raise ParameterError("'stream_options' is only allowed with 'stream': true", param="stream_options")
    return values | (options or {})
