"""`Preparation`: the half of `AsyncEngine` that turns input into requests, off the event loop."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from .. import request_options
from .attached import Attached

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .. import _engine
    from ..request_options import RequestOptions
    from ..sampling import SamplingParams


class Preparation(Attached["_engine.Engine"]):
    """Templates, tokenizes and validates."""

    async def prepare(
        self,
        prompt: str | Sequence[int],
        params: SamplingParams,
        *,
        stream: bool,
        n: int = 1,
        options: RequestOptions = request_options.DEFAULT,
    ) -> _engine.Prepared:
        """Tokenize and validate a prompt.

        Args:
            prompt: text, or token ids taken as they are.
            params: how to sample.
            stream: whether deltas are wanted; without them everything comes with the end, which
                costs no wake-ups.
            n: completions of it, 1 to 128; with a seed, each next one has the next seed.
            options: priority, time-out and with whom to share.

        Raises:
            RequestError: the prompt or a parameter cannot be honoured.
            EngineClosedError: the engine is closed.
        """
        native, chosen = params.native, options.native
        return await self._off_loop(
            partial(self._native.prepare, prompt, native, stream=stream, n=n, **chosen)
        )

    async def prepare_chat(
        self,
        conversation_json: str | bytes,
        params: SamplingParams,
        *,
        stream: bool,
        n: int = 1,
        options: RequestOptions = request_options.DEFAULT,
    ) -> _engine.Prepared:
        """Apply the model's chat template to a conversation and tokenize it.

        Raises:
            RequestError: the conversation, or a parameter, cannot be honoured.
            EngineClosedError: the engine is closed.
        """
        native, chosen = params.native, options.native
        return await self._off_loop(
            partial(self._native.prepare_chat, conversation_json, native, stream=stream, n=n, **chosen)
        )

    async def prepare_infill(
        self,
        prefix: str,
        suffix: str,
        params: SamplingParams,
        *,
        stream: bool,
        n: int = 1,
        options: RequestOptions = request_options.DEFAULT,
    ) -> _engine.Prepared:
        """Prepare to fill in what stands between `prefix` and `suffix`.

        Raises:
            ParameterError: the model has no tokens for it, or a parameter cannot be honoured.
            EngineClosedError: the engine is closed.
        """
        native, chosen = params.native, options.native
        return await self._off_loop(
            partial(self._native.prepare_infill, prefix, suffix, native, stream=stream, n=n, **chosen)
        )

    async def apply_template(self, conversation_json: str | bytes) -> str:
        """Return the prompt that the model's chat template makes of a conversation.

        Raises:
            RequestError: the conversation does not fit the template.
            EngineClosedError: the engine is closed.
        """
        return await self._off_loop(partial(self._native.apply_template, conversation_json))

    async def tokenize(self, text: str, *, add_special: bool = True, parse_special: bool = True) -> list[int]:
        """Turn text into token ids; see `Engine.tokenize`."""
        return await self._off_loop(partial(self._native.tokenize, text, add_special, parse_special))

    async def detokenize(self, token_ids: Sequence[int], *, special: bool = False) -> str:
        """Turn token ids into text; see `Engine.detokenize`."""
        return await self._off_loop(partial(self._native.detokenize, token_ids, special))

    def token_pieces(self, token_ids: Sequence[int]) -> list[bytes]:
        """Return the bytes of each token, control tokens written out; cheap, on the calling thread."""
        return self._native.token_pieces(token_ids)
