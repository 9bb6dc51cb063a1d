"""`POST /tokenize`, `/detokenize` and `/apply-template`: what the model sees of a text.

`GET /tokenizer_info` is vLLM's; lm-evaluation-harness asks it how to cut texts for `/v1/completions`.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson

from ...errors import ParameterError
from ...openai.errors import blaming
from ...openai.token_requests import parse_apply_template, parse_detokenize, parse_tokenize
from ..access import require_model, visible
from ..limits import read_json_body
from ..routing import Route, exchange_of, json_response
from . import generation

if TYPE_CHECKING:
    from blacksheep import Request, Response

    from ...engine_protocol import EmbedderProtocol, EngineProtocol
    from ...openai.logprobs import Pieces
    from ...openai.token_requests import TokenizeRequest
    from ..exchange import Exchange
    from ..state import ServerState

_FEW_TOKENS = 1 << 13
"""Are written in a few milliseconds, with their texts."""


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
        body = await read_json_body(exchange, self._state.body_limits)
        wanted = await generation.read(parse_tokenize, body)
        engine = await self._tokenizer(exchange, wanted.model)
        pieces_of = _pieces_of(engine, wanted) if wanted.with_pieces else None
        tokens = await engine.tokenize(
            wanted.text, add_special=wanted.add_special, parse_special=wanted.parse_special
        )
        write = partial(_tokenized, wanted, tokens, engine.info.n_ctx, pieces_of)
        return json_response(200, write() if len(tokens) <= _FEW_TOKENS else await asyncio.to_thread(write))

    async def detokenize(self, request: Request) -> Response:
        """Turn token ids into text, control tokens written out."""
        exchange = exchange_of(request)
        body = await read_json_body(exchange, self._state.body_limits)
        model, tokens = await generation.read(parse_detokenize, body)
        engine = await self._tokenizer(exchange, model)
        with blaming({"token_ids": "tokens"}):
            text = await engine.detokenize(tokens, special=True)
        # llama-server's clients read the one, vLLM's the other.
        return json_response(200, orjson.dumps({"content": text, "prompt": text}))

    async def apply_template(self, request: Request) -> Response:
        """Turn a conversation into the prompt that the model's chat template makes of it."""
        exchange = exchange_of(request)
        body = await read_json_body(exchange, self._state.body_limits)
        parse = partial(parse_apply_template, trust_template=self._state.trust_request_chat_template)
        model, conversation = await generation.read(parse, body)
        engine = await self._engine(exchange, model)
        return json_response(200, orjson.dumps({"prompt": await engine.apply_template(conversation.json)}))

    async def tokenizer_info(self, request: Request) -> Response:
        """Describe the tokenizer of the model that the query names, or of the only one there is."""
        named = request.query.get("model", [None])
        info = (await self._engine(exchange_of(request), named[0])).info
        return json_response(200, orjson.dumps({"bos_token": info.bos_token, "eos_token": info.eos_token}))

    async def _engine(self, exchange: Exchange, model: str | None) -> EngineProtocol:
        """Return the engine of a model that generates text."""
        named = await self._named(exchange, model)
        return await exchange.watch().until_gone(self._lease(exchange, named))

    async def _lease(self, exchange: Exchange, model: str) -> EngineProtocol:
        return exchange.hold(await self._state.models.lease(model, "generate")).engine

    async def _tokenizer(self, exchange: Exchange, model: str | None) -> EngineProtocol | EmbedderProtocol:
        """Return the engine of a model of any kind."""
        named = await self._named(exchange, model)
        return await exchange.watch().until_gone(self._lease_any(exchange, named))

    async def _lease_any(self, exchange: Exchange, model: str) -> EngineProtocol | EmbedderProtocol:
        models = self._state.models
        entries = await models.read_entries()
        known = next((one.metadata for one in entries if model in (one.id, *one.aliases)), None)
        if known is None or known.kind == "generate":
            return exchange.hold(await models.lease(model, "generate")).engine
        return exchange.hold(await models.lease(model, known.kind)).engine

    async def _named(self, exchange: Exchange, model: str | None) -> str:
        """Return the model's id, or that of the only one there is, as llama-server's clients expect."""
        if model is None:
            entries = visible(exchange, await self._state.models.read_entries())
            if len(entries) != 1:
                message = f"'model' is required, since this server has {len(entries)} models"
                raise ParameterError(message, param="model")
            model = entries[0].id
        exchange.model = model
        await require_model(exchange, self._state.models, model)
        return model


def _pieces_of(engine: EngineProtocol | EmbedderProtocol, wanted: TokenizeRequest) -> Pieces:
    pieces_of: Pieces | None = getattr(engine, "token_pieces", None)
    if pieces_of is None:
        field = "return_token_strs" if wanted.counted else "with_pieces"
        raise ParameterError(f"'{field}' needs a model that generates text", param=field)
    return pieces_of


def _tokenized(wanted: TokenizeRequest, tokens: list[int], n_ctx: int, pieces_of: Pieces | None) -> bytes:
    pieces = None if pieces_of is None else pieces_of(tokens)
    answer: dict[str, Any] = {"tokens": tokens}
    if wanted.counted:
        texts = None if pieces is None else [piece.decode(errors="replace") for piece in pieces]
        answer |= {"count": len(tokens), "max_model_len": n_ctx, "token_strs": texts}
    elif pieces is not None:
        answer["tokens"] = [
            {"id": token, "piece": _piece(piece)} for token, piece in zip(tokens, pieces, strict=True)
        ]
    return orjson.dumps(answer)


def _piece(piece: bytes) -> str | list[int]:
    """Return a token's text; where it is not whole characters, its bytes."""
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return list(piece)
