"""`POST /v1/completions`: what a request may say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import ParameterError
from ..fields import INT32_MAX, Boolean, Field, Integer, Schema, String, mismatch, parse_fields
from ..request_options import MAX_CHOICES
from ..sampling import SamplingParams
from .body import note_unknown, parse_object
from .generation_request import GENERATION_FIELDS, GenerationRequest, parse_generation
from .response_format import CONSTRAINT_FIELDS, parse_constraint
from .sampling_fields import SAMPLING_FIELDS

MAX_PROMPTS = 2048
"""Most prompts of one request."""

MAX_LOGPROBS = 20
"""Most alternatives to a token: the engine's bound; OpenAI allows 5."""

_DEFAULT_MAX_TOKENS = 16
"""OpenAI's, for this endpoint alone: who leaves the length open gets a few words, not a whole context."""

PromptValue = str | list[int]
"""One prompt: text, or token ids taken as they are."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A string, a list of strings, a list of token ids, or a list of such lists."""

    def parse(self, path: str, value: Any) -> tuple[PromptValue, ...]:
        if isinstance(value, str) or _are_token_ids(value):
            return (value,)
        if isinstance(value, list) and 1 <= len(value) <= MAX_PROMPTS:
            if all(isinstance(prompt, str) for prompt in value):
                return tuple(value)
            if isinstance(value[0], list):
                return tuple(_token_ids(f"{path}[{index}]", prompt) for index, prompt in enumerate(value))
        expected = f"a string, 1 to {MAX_PROMPTS} strings, a list of token ids, or a list of such lists"
        raise mismatch(path, expected, value)

    def schema(self) -> Schema:
        text = {"type": "string"}
        token = {"type": "integer", "minimum": 0, "maximum": INT32_MAX}
        tokens = {"type": "array", "items": token, "minItems": 1}
        several = {"type": "array", "minItems": 1, "maxItems": MAX_PROMPTS}
        return {"anyOf": [text, tokens, several | {"items": text}, several | {"items": tokens}]}


def _token_ids(path: str, value: Any) -> list[int]:
    if not _are_token_ids(value):
        raise mismatch(path, "a non-empty list of token ids", value)
    ids: list[int] = value
    return ids


def _are_token_ids(value: Any) -> bool:
    # `type`, since True is an int; min and max, since a generator costs ten times as much.
    return (
        isinstance(value, list)
        and set(map(type, value)) == {int}
        and min(value) >= 0 <= max(value) <= INT32_MAX
    )


COMPLETION_FIELDS = (
    Field("prompt", Prompt(), "prompts", required=True),
    Field("max_tokens", Integer(), "max_tokens"),
    Field("best_of", Integer(1, MAX_CHOICES), "best_of"),
    Field("echo", Boolean(), "echo"),
    Field("logprobs", Integer(0, MAX_LOGPROBS), "logprobs"),
    Field("suffix", String(), "suffix"),
)
"""The fields of a completion alone."""

ALL_FIELDS = GENERATION_FIELDS + COMPLETION_FIELDS + SAMPLING_FIELDS + CONSTRAINT_FIELDS
_NAMES = frozenset(field.name for field in ALL_FIELDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionRequest(GenerationRequest):
    """A completion request that has been checked.

    Attributes:
        prompts: at least one.
        suffix: what follows the text to be filled in; "" completes the prompt.
        echo: whether the text of a choice begins with its prompt.
        best_of: generate so many for each prompt and return the `n` likeliest; None returns all.
        constraint_field: the field that says what a text must look like; "" where none does.
    """

    prompts: tuple[PromptValue, ...]
    suffix: str = ""
    echo: bool = False
    best_of: int | None = None
    constraint_field: str = ""

    @property
    def counting_field(self) -> str:
        """See `GenerationRequest`."""
        if len(self.prompts) > 1:
            return "prompt"
        return "n" if self.best_of is None else "best_of"


def parse_completion(body: bytes) -> CompletionRequest:
    """Parse and check the body of a completion request.

    Raises:
        RequestError: the body is not a JSON object.
        ParameterError: a field is missing, has the wrong type, lies outside its range, or does not go
            together with another.
    """
    parsed = parse_object(body)
    common = parse_generation(parsed)
    values = parse_fields(COMPLETION_FIELDS, parsed)
    sampling = parse_fields(SAMPLING_FIELDS, parsed)
    given = frozenset(sampling) | (values.keys() & {"max_tokens"})
    max_tokens, logprobs = values.pop("max_tokens", _DEFAULT_MAX_TOKENS), values.pop("logprobs", None)
    constraint = parse_constraint(parsed)
    note_unknown(parsed, _NAMES)
    if values.get("best_of") == common.get("n", 1):  # nothing is left out, so nothing need be ranked
        del values["best_of"]
    if values.get("echo") and (logprobs is not None or max_tokens == 0):
        sampling["prompt_logprobs"] = logprobs or 0
    if max_tokens == 0 and not values.get("echo"):
        raise ParameterError("'max_tokens' of 0 needs 'echo': there would be no text", param="max_tokens")
    params = SamplingParams(**sampling, max_tokens=max_tokens, logprobs=logprobs, grammar=constraint.grammar)
    request = CompletionRequest(
        **common, **values, given=given, sampling=params, constraint_field=constraint.field
    )
    _check_combinations(request)
    return request


def _check_combinations(request: CompletionRequest) -> None:
    if request.best_of is not None:
        if request.best_of < request.n:
            raise mismatch("best_of", f"at least 'n', {request.n}", request.best_of)
        if request.stream:
            raise ParameterError(
                "'best_of' above 'n' cannot be streamed: it ranks whole texts", param="best_of"
            )
    if request.suffix:
        if request.echo:
            raise ParameterError("'suffix' cannot be combined with 'echo'", param="suffix")
        if not all(isinstance(prompt, str) for prompt in request.prompts):
            raise ParameterError("'suffix' needs prompts that are text, not token ids", param="suffix")
    if request.stream and request.echo and request.sampling.logprobs is not None:
        why = "the prompt's are known only once it has been computed"
        raise ParameterError(f"'echo' with 'logprobs' cannot be streamed: {why}", param="logprobs")
