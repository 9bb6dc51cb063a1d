"""The API's description: true to the routes, whole, and readable without anything from elsewhere."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator
from llamad.openai.field_help import field_help
from llamad.openai.openapi import OPERATIONS, STATUSES, document
from llamad.server.app import api_routes
from llamad.server.docs_page import render, type_of
from llamad.server.state import ServerState

from tests.python.api.fake_models import FakeModels

DOCUMENT = document()
OPERATION_IDS = [f"{one.method} {one.path}" for one in OPERATIONS]


def test_every_route_is_described_and_every_description_has_a_route() -> None:
    routes = {
        (route.method, route.path.replace("{path:id}", "{id}"))
        for route in api_routes(ServerState(FakeModels({}), max_body_bytes=1))
    }
    described = {(operation.method, operation.path) for operation in OPERATIONS}
    assert described <= routes
    # The others are the same under another prefix, or llama-server's other name.
    for method, path in routes - described:
        known = path.removeprefix("/v1").replace("reranking", "rerank")
        assert {(method, known), (method, f"/v1{known}")} & described, path


def test_it_is_json_and_its_schemas_are_schemas() -> None:
    assert orjson.loads(orjson.dumps(DOCUMENT)) == DOCUMENT
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    names = [
        operation["operationId"] for methods in DOCUMENT["paths"].values() for operation in methods.values()
    ]
    assert len(names) == len(set(names)) == len(OPERATIONS)


def test_every_reference_leads_somewhere() -> None:
    def references(node: Any) -> set[str]:
        if isinstance(node, list):
            return {one for child in node for one in references(child)}
        if not isinstance(node, dict):
            return set()
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own | {one for child in node.values() for one in references(child)}

    names = {reference.removeprefix("#/components/schemas/") for reference in references(DOCUMENT)}
    assert names == set(DOCUMENT["components"]["schemas"])


@pytest.mark.parametrize("operation", OPERATIONS, ids=OPERATION_IDS)
def test_every_field_has_a_sentence_and_every_status_a_meaning(operation: Any) -> None:
    for field in operation.fields:
        assert field_help(operation.endpoint, field.name).endswith(".")
    assert set(operation.errors) <= set(STATUSES)
    assert bool(operation.fields) == (operation.method == "POST" and not operation.path.endswith("load"))


@pytest.mark.parametrize("operation", [one for one in OPERATIONS if one.fields], ids=lambda one: one.path)
def test_examples_fit_their_schema(operation: Any) -> None:
    body = DOCUMENT["paths"][operation.path]["post"]["requestBody"]["content"]["application/json"]
    validator = Draft202012Validator(body["schema"])
    assert validator.is_valid(body["example"])
    assert not validator.is_valid([body["example"]])


def test_what_paths_and_queries_may_say_is_described() -> None:
    described = {
        (path, one["in"], one["name"], one["required"])
        for path, methods in DOCUMENT["paths"].items()
        for operation in methods.values()
        for one in operation.get("parameters", ())
    }
    assert described == {
        ("/v1/models/{id}", "path", "id", True),
        ("/v1/models/{id}/load", "path", "id", True),
        ("/v1/models/{id}/unload", "path", "id", True),
        ("/v1/models/{id}/unload", "query", "force", False),
        ("/tokenizer_info", "query", "model", False),
    }


class Page(HTMLParser):
    """Whether tags are closed, and what the page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.text = ""
        self.ids: set[str] = set()
        self.links: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag != "meta":
            self.open.append(tag)
        for name, value in attrs:
            assert name not in {"src", "onclick"}
            if name == "id":
                self.ids.add(str(value))
            elif name == "href":
                self.links.add(str(value))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(source: str) -> Page:
    page = Page()
    page.feed(source)
    page.close()
    assert page.open == []
    return page


def test_the_page_shows_every_operation_and_field_and_loads_nothing() -> None:
    page = page_of(render(DOCUMENT))
    assert not page.tags & {"script", "link", "img", "iframe"}
    assert page.links == {"openapi.json"} | {f"#{one}" for one in page.ids}
    for operation in OPERATIONS:
        assert operation.path in page.text
        assert operation.summary in page.text
        for field in operation.fields:
            assert field.name in page.text
    assert "stream_options.include_usage" in page.text
    assert page.text.count("Parameters") == 4
    assert "import" not in render(DOCUMENT)  # of styles, from elsewhere


def test_what_a_document_says_cannot_become_markup() -> None:
    operation = {
        "summary": "<script>",
        "operationId": '"><script>',
        "description": "`<script>`",
        "responses": {"200": {"description": "<script>", "content": {"<script>": {}}}},
    }
    info = {"title": "<script>", "version": "<script>", "description": "<script>"}
    page = page_of(render({"info": info, "paths": {"/<script>": {"get": operation}}}))
    assert "script" not in page.tags


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": ["boolean", "null"]}, "boolean"),
        ({"type": ["integer", "null"], "minimum": 1, "maximum": 128}, "integer from 1 to 128"),
        ({"type": "integer", "minimum": 0, "maximum": 2**31 - 1}, "integer of at least 0"),
        ({"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}, "integer"),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 1}, "number above 0, at most 1"),
        ({"type": "number", "exclusiveMinimum": 0}, "number above 0"),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 1e6}, "number above 0, at most 1,000,000"),
        ({"type": "number", "minimum": 0.5, "maximum": 2}, "number from 0.5 to 2"),
        ({"type": "string", "minLength": 1, "maxLength": 8}, "string of 1 to 8 characters"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "string"),
        ({"anyOf": [{"enum": ["a", 1]}, {"type": "null"}]}, '"a" or 1'),
        ({"type": "array", "items": {"type": "string"}, "maxItems": 4}, "list of string (at most 4)"),
        ({"anyOf": [{"not": {}}, {"type": "null"}]}, "not served"),
        ({}, "anything"),
    ],
)
def test_a_schema_in_words(schema: dict[str, Any], words: str) -> None:
    assert type_of(schema) == words
