"""`GET /openapi.json` and `/docs`: what the API is, for programs and for people."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import orjson
from blacksheep import Content, Response

from ...openai.openapi import document
from ..docs_page import render
from ..routing import Route, json_response

if TYPE_CHECKING:
    from blacksheep import Request

    from ..state import ServerState


class DocsEndpoint:
    """The OpenAPI document and its page; both are made once, when somebody asks."""

    def __init__(self, _: ServerState) -> None:
        """Describe any server: the document says nothing of its models."""

    def routes(self) -> list[Route]:
        """Return the rows of this family."""
        return [Route("GET", "/openapi.json", self.openapi), Route("GET", "/docs", self.docs)]

    async def openapi(self, _: Request) -> Response:
        """Return the OpenAPI document."""
        return json_response(200, self._document)

    async def docs(self, _: Request) -> Response:
        """Return the page."""
        return Response(200, None, Content(b"text/html; charset=utf-8", self._page))

    @cached_property
    def _document(self) -> bytes:
        return orjson.dumps(document())

    @cached_property
    def _page(self) -> bytes:
        return render(document()).encode()
