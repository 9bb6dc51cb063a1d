"""`GET /v1/models`: which models there are, and what is known of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import UnknownModelError
from ...openai import models
from ...openai.models import ModelDetails
from ..routing import Route, json_response

if TYPE_CHECKING:
    from blacksheep import Request, Response

    from ...models.manager import ModelEntry
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
        ]

    async def list_models(self, _: Request) -> Response:
        """List the models there are; none is loaded for it."""
        described = [(entry, self._details(entry)) for entry in await self._state.models.read_entries()]
        return json_response(200, models.model_list(described))

    async def get_model(self, request: Request) -> Response:
        """Describe one model; it is not loaded for it."""
        wanted = request.route_values["id"] or ""
        entries = {entry.id: entry for entry in await self._state.models.read_entries()}
        if wanted not in entries:
            raise UnknownModelError(wanted, sorted(entries))
        entry = entries[wanted]
        return json_response(200, models.one_model(entry, self._details(entry)))

    def _details(self, entry: ModelEntry) -> ModelDetails:
        loaded = self._state.models
        if engine := loaded.engines().get(entry.id):
            return models.details_of_info(engine.info)
        if embedder := loaded.embedders().get(entry.id):
            return models.details_of_embedder(embedder.info)
        return ModelDetails() if entry.metadata is None else models.details_of_metadata(entry.metadata)
