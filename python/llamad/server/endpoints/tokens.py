"""`POST /tokenize`, `/detokenize` and `/apply-template`: what the model sees of a text.

`GET /tokenizer_info` is vLLM's; lm-evaluation-harness asks it how to cut texts for `/v1/completions`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from ...errors import ParameterError
from ...openai.errors import blaming
from ...openai.token_requests import parse_apply_template, parse_detokenize, parse_tokenize
from ..limits import read_json_body
from ..routing import Route, exchange_of, json_response

if TYPE_CHECKING:
    from blacksheep import Request, Response

    from ...engine_protocol import EngineProtocol
    from ..exchange import Exchange
    from ..state import ServerState


class TokensEndpoint:
    """Text to tokens, tokens to text, and messages to text."""

    def __init__(self, state: ServerState) -> None:
        self._state = state

    def routes(self) -> list[Route]:
        """Return the rows of this family."""
        handlers = (
            ("POST", "/tokenize", self.tokenize),
            ("POST", "/detokenize", self.detokenize),
            ("POST", "/apply-template", self.apply_template),
            ("GET", "/tokenizer_info", self.tokenizer_info),
        )
        return [
            Route(method, prefix + path, handler)
            for prefix in ("", "/v1")
            for method, path, handler in handlers
        ]

    async def tokenize(self, request: Request) -> Response:
        """Turn a text into token ids."""
        exchange = exchange_of(request)
        wanted = parse_tokenize(await read_json_body(exchange, self._state.body_limits))
        engine = await self._engine(exchange, wanted.model)
        tokens = await engine.tokenize(
            wanted.text, add_special=wanted.add_special, parse_special=wanted.parse_special
        )
        pieces = engine.token_pieces(tokens) if wanted.with_pieces else []
        answer: dict[str, Any] = {"tokens": tokens}
        if wanted.counted:
            texts = [piece.decode(errors="replace") for piece in pieces] if wanted.with_pieces else None
            answer |= {"count": len(tokens), "max_model_len": engine.info.n_ctx, "token_strs": texts}
        elif wanted.with_pieces:
            answer["tokens"] = [
                {"id": token, "piece": _piece(piece)} for token, piece in zip(tokens, pieces, strict=True)
            ]
        return json_response(200, orjson.dumps(answer))

    async def detokenize(self, request: Request) -> Response:
        """Turn token ids into text, control tokens written out."""
        exchange = exchange_of(request)
        model, tokens = parse_detokenize(await read_json_body(exchange, self._state.body_limits))
        engine = await self._engine(exchange, model)
        with blaming({"token_ids": "tokens"}):
            text = await engine.detokenize(tokens, special=True)
        # llama-server's clients read the one, vLLM's the other.
        return json_response(200, orjson.dumps({"content": text, "prompt": text}))

    async def apply_template(self, request: Request) -> Response:
        """Turn a conversation into the prompt that the model's chat template makes of it."""
        exchange = exchange_of(request)
        model, conversation = parse_apply_template(await read_json_body(exchange, self._state.body_limits))
        engine = await self._engine(exchange, model)
        return json_response(200, orjson.dumps({"prompt": await engine.apply_template(conversation.json)}))

    async def tokenizer_info(self, request: Request) -> Response:
        """Describe the tokenizer of the model that the query names, or of the only one there is."""
        named = request.query.get("model", [None])
        info = (await self._engine(exchange_of(request), named[0])).info
        return json_response(200, orjson.dumps({"bos_token": info.bos_token, "eos_token": info.eos_token}))

    async def _engine(self, exchange: Exchange, model: str | None) -> EngineProtocol:
        """Return the engine of a model, or of the only one there is, as llama-server's clients expect."""
        if model is None:
            entries = self._state.models.entries()
            if len(entries) != 1:
                message = f"'model' is required, since this server has {len(entries)} models"
                raise ParameterError(message, param="model")
            model = entries[0].id
        exchange.model = model
        return await exchange.watch().until_gone(self._state.models.get(model))


def _piece(piece: bytes) -> str | list[int]:
    """Return a token's text; where it is not whole characters, its bytes."""
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return list(piece)
