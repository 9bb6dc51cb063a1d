"""`POST /v1/chat/completions`: what a request may say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..containers import AnyObject
from ..errors import ParameterError
from ..fields import Boolean, Field, Integer, OneOf, Only, String, parse_fields
from ..request_options import MAX_CHOICES
from ..sampling import SamplingParams
from .body import note_unknown, parse_object
from .conversation import CONVERSATION_FIELDS, parse_conversation
from .generation_request import GENERATION_FIELDS, GenerationRequest, parse_generation
from .response_format import CONSTRAINT_FIELDS, parse_constraint
from .sampling_fields import SAMPLING_FIELDS

LENGTH_FIELDS = (
    Field("max_tokens", Integer(1), "max_tokens"),
    Field("max_completion_tokens", Integer(1), "max_tokens"),
)

CHAT_FIELDS = (
    Field("logprobs", Boolean(), "logprobs"),
    Field("top_logprobs", Integer(0, 20), "top_logprobs"),
    Field("best_of", Integer(1, MAX_CHOICES), "best_of"),
    # Wishes that leave the answer as it is.
    Field("store", Boolean()),
    Field("metadata", AnyObject()),
    Field("service_tier", OneOf(("auto", "default", "flex", "scale", "priority"))),
    Field("verbosity", OneOf(("low", "medium", "high"))),
    Field("prediction", AnyObject()),
    Field("prompt_cache_retention", String()),
    # Fields that would change the answer, if they were served.
    Field("functions", Only(([],), "the predecessor of 'tools' is")),
    Field("function_call", Only(("none",), "the predecessor of 'tool_choice' is")),
    Field("modalities", Only((["text"],), "output other than text is")),
    Field("audio", Only((), "audio output is")),
    Field("web_search_options", Only((), "web search is")),
    Field("echo", Only((False,), "repeating the prompt is")),
    Field("documents", Only(([],), "retrieval is")),
)
"""The fields of a chat alone, besides `CONVERSATION_FIELDS` and `LENGTH_FIELDS`."""

ALL_FIELDS = (
    GENERATION_FIELDS
    + CONVERSATION_FIELDS
    + CHAT_FIELDS
    + LENGTH_FIELDS
    + SAMPLING_FIELDS
    + CONSTRAINT_FIELDS
)
"""All that this endpoint knows."""

_NAMES = frozenset(field.name for field in ALL_FIELDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest(GenerationRequest):
    """A chat completion request that has been checked.

    Attributes:
        conversation: what the engine's `prepare_chat` takes.
        constraint_field: the field that says what the answer must look like; "" where none does.
    """

    conversation: bytes
    constraint_field: str = ""

    @property
    def wants_tokens(self) -> bool:
        """Whether the chunks of a stream tell of tokens, beside their text."""
        return self.return_token_ids or self.continuous_usage or self.sampling.logprobs is not None


def parse_chat(body: bytes, *, trust_template: bool = False) -> ChatRequest:
    """Parse and check the body of a chat completion request.

    Args:
        body: as it came.
        trust_template: whether it may bring its own `chat_template`.

    Raises:
        RequestError: the body is not a JSON object.
        ParameterError: a field is missing, has the wrong type, lies outside its range, contradicts
            another, or asks for something that is not served.
    """
    parsed = parse_object(body)
    common = parse_generation(parsed)
    values = parse_fields(CHAT_FIELDS, parsed)
    sampling = parse_fields(LENGTH_FIELDS + SAMPLING_FIELDS, parsed)
    conversation = parse_conversation(parsed, trust_template=trust_template)
    note_unknown(parsed, _NAMES)
    # Not OpenAI's, but other servers rank by it; who asks for that must not get the unranked.
    if values.get("best_of") not in (None, common.get("n", 1)):
        raise ParameterError("'best_of': ranking of choices is not supported by this server", param="best_of")
    constraint = parse_constraint(parsed)
    if constraint.field and conversation.offers_tools:
        message = f"'{constraint.field}' and 'tools' exclude each other, unless 'tool_choice' is \"none\""
        raise ParameterError(message, param=constraint.field)
    given = frozenset(sampling)
    sampling |= {"grammar": constraint.grammar, "logprobs": _logprobs(values)}
    return ChatRequest(
        **common,
        given=given,
        sampling=SamplingParams(**sampling),
        conversation=conversation.json,
        constraint_field=constraint.field,
    )


def _logprobs(values: dict[str, Any]) -> int | None:
    """Return how many likeliest tokens to tell with each token; None tells nothing."""
    wanted, top = values.get("logprobs", False), values.get("top_logprobs")
    if top and not wanted:
        raise ParameterError("'top_logprobs' is only allowed with 'logprobs': true", param="top_logprobs")
    return (top or 0) if wanted else None
