"""`GET /v1/models`: which models there are, and what is known of each; operators load and unload them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import ParameterError, UnknownModelError
from ...openai import models
from ...openai.models import ModelDetails
from ..access import require_admin, require_model, visible
from ..routing import Route, exchange_of, json_response

if TYPE_CHECKING:
    from blacksheep import Request, Response

    from ...models.entries import ModelEntry
    from ..state import ServerState


class ModelsEndpoint:
    """The list of models, and one of them."""

    def __init__(self, state: ServerState) -> None:
        self._state = state

    def routes(self) -> list[Route]:
        """Return the rows of this family."""
        return [
            Route("GET", "/v1/models", self.list_models),
            Route("GET", "/v1/models/{path:id}", self.get_model),
            Route("GET", "/models", self.list_models),
            Route("GET", "/models/{path:id}", self.get_model),
            Route("POST", "/v1/models/{path:id}/load", self.load),
            Route("POST", "/v1/models/{path:id}/unload", self.unload),
            Route("POST", "/models/{path:id}/load", self.load),
            Route("POST", "/models/{path:id}/unload", self.unload),
        ]

    async def list_models(self, request: Request) -> Response:
        """List the models there are for whoever asks; none is loaded for it."""
        entries = visible(exchange_of(request), await self._state.models.read_entries())
        described = [(entry, self._details(entry)) for entry in entries]
        return json_response(200, models.model_list(described))

    async def get_model(self, request: Request) -> Response:
        """Describe one model; it is not loaded for it."""
        wanted = request.route_values["id"] or ""
        await require_model(exchange_of(request), self._state.models, wanted)
        entries = await self._state.models.read_entries()
        for entry in entries:
            if wanted in (entry.id, *entry.aliases):
                return self._described(entry)
        raise UnknownModelError(wanted, [entry.id for entry in entries])

    async def load(self, request: Request) -> Response:
        """Load a model, and answer when it is there; a client that leaves does not end that."""
        exchange = exchange_of(request)
        require_admin(exchange)
        exchange.model = request.route_values["id"] or ""
        return self._described(await exchange.watch().until_gone(self._state.models.load(exchange.model)))

    async def unload(self, request: Request) -> Response:
        """Unload a model, and answer when it is gone."""
        exchange = exchange_of(request)
        require_admin(exchange)
        exchange.model = request.route_values["id"] or ""
        force = _switch("force", request.query.get("force", ["false"])[0])
        return self._described(await self._state.models.unload(exchange.model, force=force))

    def _described(self, entry: ModelEntry) -> Response:
        return json_response(200, models.one_model(entry, self._details(entry)))

    def _details(self, entry: ModelEntry) -> ModelDetails:
        loaded = self._state.models
        if engine := loaded.engines().get(entry.id):
            return models.details_of_info(engine.info)
        if embedder := loaded.embedders().get(entry.id):
            return models.details_of_embedder(embedder.info)
        return ModelDetails() if entry.metadata is None else models.details_of_metadata(entry.metadata)


def _switch(name: str, text: str) -> bool:
    if text not in ("true", "false"):
        raise ParameterError(f"'{name}' must be true or false, got {text[:60]!r}", param=name)
    return text == "true"
