"""JSON Schemas of the answers, for the API's description: the parts that clients rely on."""

from __future__ import annotations

from ..fields import Schema, or_null

_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_NUMBER: Schema = {"type": "number"}
_MAYBE_TEXT = or_null(_TEXT)


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _object(properties: dict[str, Schema], *optional: str) -> Schema:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


def _constant(value: str) -> Schema:
    return {"type": "string", "const": value}


_FINISH = or_null({"type": "string", "enum": ["stop", "length", "tool_calls"]})
_HEAD: dict[str, Schema] = {"id": _TEXT, "created": _COUNT, "model": _TEXT}
_TOKEN_IDS = {"prompt_token_ids": or_null(_list(_COUNT)), "token_ids": or_null(_list(_COUNT))}

_SCORED = {"token": _TEXT, "logprob": _NUMBER, "bytes": _list(_COUNT)}
_CHAT_LOGPROBS = _object(
    {"content": _list(_object({**_SCORED, "top_logprobs": _list(_object(_SCORED))})), "refusal": _MAYBE_TEXT}
)
_COMPLETION_LOGPROBS = _object(
    {
        "tokens": _list(_TEXT),
        "token_logprobs": _list(or_null(_NUMBER)),
        "top_logprobs": _list(or_null({"type": "object", "additionalProperties": _NUMBER})),
        "text_offset": _list(_COUNT),
    }
)
_TOOL_CALL = _object(
    {
        "id": _TEXT,
        "type": _constant("function"),
        "function": _object({"name": _TEXT, "arguments": _TEXT}),
    }
)
_MESSAGE = _object(
    {
        "role": _constant("assistant"),
        "content": _MAYBE_TEXT,
        "refusal": {"type": "null"},
        "reasoning_content": _MAYBE_TEXT,
        "tool_calls": _list(_TOOL_CALL),
    },
    "reasoning_content",
    "tool_calls",
)
_CHAT_CHOICE = _object(
    {
        "index": _COUNT,
        "message": _MESSAGE,
        "logprobs": or_null(_CHAT_LOGPROBS),
        "finish_reason": _FINISH,
        "token_ids": or_null(_list(_COUNT)),
    },
    "token_ids",
)
_COMPLETION_CHOICE = _object(
    {
        "index": _COUNT,
        "text": _TEXT,
        "logprobs": or_null(_COMPLETION_LOGPROBS),
        "finish_reason": _FINISH,
        **_TOKEN_IDS,
    },
    *_TOKEN_IDS,
)
_STATES = ["unloaded", "queued", "loading", "loaded", "unloading", "failed"]

RESPONSE_SCHEMAS: dict[str, Schema] = {
    "Error": _object(
        {"error": _object({"message": _TEXT, "type": _TEXT, "param": _MAYBE_TEXT, "code": _TEXT})}
    ),
    "Usage": _object(
        {
            "prompt_tokens": _COUNT,
            "completion_tokens": _COUNT,
            "total_tokens": _COUNT,
            "prompt_tokens_details": _object({"cached_tokens": _COUNT}),
            "completion_tokens_details": _object({"reasoning_tokens": _COUNT}),
        },
        "completion_tokens_details",
    ),
    "ChatCompletion": _object(
        {
            **_HEAD,
            "object": _constant("chat.completion"),
            "choices": _list(_CHAT_CHOICE),
            "usage": _ref("Usage"),
        }
    ),
    "Completion": _object(
        {
            **_HEAD,
            "object": _constant("text_completion"),
            "choices": _list(_COMPLETION_CHOICE),
            "usage": _ref("Usage"),
        }
    ),
    "Embeddings": _object(
        {
            "object": _constant("list"),
            "model": _TEXT,
            "data": _list(
                _object(
                    {
                        "object": _constant("embedding"),
                        "index": _COUNT,
                        "embedding": {"anyOf": [_list(_NUMBER), _TEXT]},
                    }
                )
            ),
            "usage": _object({"prompt_tokens": _COUNT, "total_tokens": _COUNT}),
        }
    ),
    "Ranking": _object(
        {
            "model": _TEXT,
            "results": _list(_object({"index": _COUNT, "relevance_score": _NUMBER})),
        }
    ),
    "Model": _object(
        {
            "id": _TEXT,
            "object": _constant("model"),
            "created": _COUNT,
            "owned_by": _TEXT,
            "state": {"type": "string", "enum": _STATES},
            "progress": or_null(_NUMBER),
            "error": _MAYBE_TEXT,
            "aliases": _list(_TEXT),
            "pinned": {"type": "boolean"},
            "size_bytes": _COUNT,
            "memory_bytes": or_null(_COUNT),
            "architecture": _MAYBE_TEXT,
            "parameters": or_null(_COUNT),
            "quantization": _MAYBE_TEXT,
            "context_length": or_null(_COUNT),
            "training_context_length": or_null(_COUNT),
            "capabilities": _list(_TEXT),
            "devices": or_null(_list(_object({"name": _TEXT, "layers": _COUNT, "bytes": _COUNT}))),
        }
    ),
    "Models": _object({"object": _constant("list"), "data": _list(_ref("Model"))}),
    "Tokens": _object(
        {
            "tokens": _list(
                {"anyOf": [_COUNT, _object({"id": _COUNT, "piece": {"anyOf": [_TEXT, _list(_COUNT)]}})]}
            ),
            "count": _COUNT,
            "max_model_len": _COUNT,
            "token_strs": or_null(_list(_TEXT)),
        },
        "count",
        "max_model_len",
        "token_strs",
    ),
    "Text": _object({"content": _TEXT, "prompt": _TEXT}),
    "Prompt": _object({"prompt": _TEXT}),
    "Tokenizer": _object({"bos_token": _TEXT, "eos_token": _TEXT}),
    "Health": _object({"status": _constant("ok")}),
}
"""By the names they have in the document's components."""
