"""`POST /v1/completions`: continuing texts."""

from __future__ import annotations

from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, cast

from ...choices import Ranking
from ...openai.completion_request import parse_completion
from ...openai.completion_response import answering, whole
from ...openai.completion_stream import CompletionWriter
from ...openai.errors import blaming
from ..limits import read_json_body
from ..routing import Route, exchange_of, json_response
from . import generation

if TYPE_CHECKING:
    from blacksheep import Request, Response

    from ..._engine import Prepared
    from ...engine_protocol import EngineProtocol
    from ...openai.completion_request import CompletionRequest
    from ...request_options import RequestOptions
    from ...sampling import SamplingParams
    from ..state import ServerState


class CompletionsEndpoint:
    """Completions of one prompt or many, streamed or whole."""

    def __init__(self, state: ServerState) -> None:
        self._state = state

    def routes(self) -> list[Route]:
        """Return the rows of this family."""
        return [Route("POST", "/v1/completions", self.completions)]

    async def completions(self, request: Request) -> Response:
        """Continue each prompt."""
        exchange = exchange_of(request)
        body = await read_json_body(exchange, self._state.body_limits)
        parsed = await generation.read(parse_completion, body)
        ranking = Ranking(parsed.n, parsed.best_of)
        started = await generation.start(self._state, exchange, parsed, partial(_prepare, parsed, ranking))
        answer = answering(parsed, started.prepared, started.engine.token_pieces)
        if parsed.stream:
            return generation.streamed(exchange, started, CompletionWriter(answer, started.choices))
        results = await generation.whole(exchange, started)
        step = ranking.n_generated
        chosen = [ranking.chosen(results[first : first + step]) for first in range(0, len(results), step)]
        write = partial(whole, answer, chosen, started.usage(results))
        told = list(chain.from_iterable(chosen))
        return json_response(200, await generation.written(write, parsed, told))


async def _prepare(
    parsed: CompletionRequest,
    ranking: Ranking,
    engine: EngineProtocol,
    sampling: SamplingParams,
    options: RequestOptions,
) -> list[Prepared]:
    params = ranking.params(sampling)
    prepared = []
    for index, prompt in enumerate(parsed.prompts):
        place = "prompt" if len(parsed.prompts) == 1 else f"prompt[{index}]"
        with blaming({"prompt": place, "grammar": parsed.constraint_field or "grammar"}):
            if parsed.suffix:
                preparing = partial(engine.prepare_infill, cast("str", prompt), parsed.suffix)
            else:
                preparing = partial(engine.prepare, prompt)
            prepared.append(
                await preparing(params, stream=parsed.stream, n=ranking.n_generated, options=options)
            )
    return prepared
