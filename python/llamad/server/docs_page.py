"""The API's description as one page of HTML: no scripts, nothing from elsewhere."""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator

_STYLE = """
:root { color-scheme: light dark; --fg: #1c2128; --dim: #5b6673; --bg: #ffffff; --panel: #f5f7f9;
  --line: #dde3e9; --accent: #0b6bcb; --get: #1a7f37; --post: #0b6bcb;
  --must: #b4470a; }
@media (prefers-color-scheme: dark) { :root { --fg: #dce3ea; --dim: #93a1b0; --bg: #12161b;
  --panel: #1a2027; --line: #2c353f; --accent: #6cb6ff; --get: #57ab5a;
  --post: #6cb6ff; --must: #f0883e; } }
* { box-sizing: border-box }
body { margin: 0; font: 16px/1.55 system-ui, sans-serif; color: var(--fg); background: var(--bg);
  display: grid; grid-template-columns: 17rem minmax(0, 56rem); gap: 3rem }
nav { position: sticky; top: 0; height: 100vh; overflow: auto; padding: 2rem 1.5rem;
  background: var(--panel); border-right: 1px solid var(--line); font-size: .9rem }
nav h1 { margin: 0 0 .2rem; font-size: 1.3rem }
a { color: var(--accent) }
nav a { text-decoration: none }
nav > a { display: block; padding: .25rem 0; color: inherit }
nav a:hover { color: var(--accent); text-decoration: underline }
main { padding: 2rem 1.5rem 6rem 0 }
section { padding: 1.5rem 0; border-top: 1px solid var(--line) }
section:first-of-type { border-top: 0 }
h2 { margin: 0; font-size: 1.25rem }
h3 { margin: 1.4rem 0 .4rem; font-size: .8rem; text-transform: uppercase; letter-spacing: .06em;
  color: var(--dim) }
code, pre { font: .87em/1.5 ui-monospace, monospace }
code { white-space: nowrap }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: 8px; padding: .9rem 1rem;
  overflow: auto }
.method { display: inline-block; min-width: 3.6em; font: 600 .72rem ui-monospace, monospace;
  color: var(--post) }
.method.get { color: var(--get) }
.dim { color: var(--dim) }
table { width: 100%; border-collapse: collapse; font-size: .92rem }
td { padding: .45rem .8rem .45rem 0; border-top: 1px solid var(--line); vertical-align: top }
td:first-child { white-space: nowrap; width: 1% }
.required { color: var(--must); font-size: .75rem }
@media (max-width: 60rem) { body { display: block } nav { position: static; height: auto; border: 0 }
  main { padding: 1.5rem } }
@media (max-width: 40rem) { code { white-space: normal; overflow-wrap: anywhere }
  td { display: block; padding: 0 0 .45rem } td:first-child { width: auto; padding: .45rem 0 .1rem }
  td + td { border: 0 } }
"""

_CODE = re.compile(r"`([^`]+)`")


def render(document: dict[str, Any]) -> str:
    """Return the page of an OpenAPI document whose request schemas are written out in place."""
    info = document["info"]
    operations = [
        (method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    links = "".join(
        f'<a href="#{escape(operation["operationId"])}">{_method(method)} {escape(path)}</a>'
        for method, path, operation in operations
    )
    sections = "".join(_section(*operation) for operation in operations)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(info['title'])} API</title><style>{_STYLE}</style></head><body>"
        f'<nav><h1>{escape(info["title"])}</h1><p class="dim">{escape(info["version"])} · '
        f'<a href="openapi.json">openapi.json</a></p>{links}</nav>'
        f"<main><p>{_prose(info['description'])}</p>{sections}</main></body></html>"
    )


def _section(method: str, path: str, operation: dict[str, Any]) -> str:
    parts = [
        f'<section id="{escape(operation["operationId"])}">',
        f"<h2>{escape(operation['summary'])}</h2>",
        f"<p>{_method(method)} <code>{escape(path)}</code></p>",
    ]
    if "description" in operation:
        parts.append(f"<p>{_prose(operation['description'])}</p>")
    if "parameters" in operation:
        parameters = "".join(
            _row(one["name"], one["schema"] | {"description": one["description"]}, required=one["required"])
            for one in operation["parameters"]
        )
        parts.append(f"<h3>Parameters</h3><table>{parameters}</table>")
    if "requestBody" in operation:
        body = operation["requestBody"]["content"]["application/json"]
        if "example" in body:
            parts.append(f"<h3>Example</h3><pre>{_curl(path, body['example'])}</pre>")
        parts.append(f"<h3>Fields</h3><table>{''.join(_rows(body['schema'], ''))}</table>")
    answers = "".join(
        f"<tr><td><code>{status}</code></td><td>{_prose(answer['description'])} "
        f'<span class="dim">{", ".join(map(_media, answer["content"]))}</span></td></tr>'
        for status, answer in operation["responses"].items()
    )
    parts.append(f"<h3>Answers</h3><table>{answers}</table></section>")
    return "".join(parts)


def _rows(schema: dict[str, Any], path: str) -> Iterator[str]:
    required = schema.get("required", ())
    for name, described in schema["properties"].items():
        yield _row(path + name, described, required=name in required)
        if all("description" in nested for nested in described.get("properties", {}).values()):
            yield from _rows({"properties": {}} | described, f"{path}{name}.")


def _row(name: str, described: dict[str, Any], *, required: bool) -> str:
    mark = ' <span class="required">required</span>' if required else ""
    return (
        f"<tr><td><code>{escape(name)}</code>{mark}</td><td>{_prose(described['description'])} "
        f'<span class="dim">{escape(type_of(described))}</span></td></tr>'
    )


def type_of(schema: dict[str, Any]) -> str:
    """Say in a few words what values a schema allows; null, which counts as absent, is left out."""
    if "anyOf" in schema:
        return _either([type_of(one) for one in schema["anyOf"] if one.get("type") != "null"])
    if "not" in schema:
        return "not served"
    if "const" in schema or "enum" in schema:
        values = [schema["const"]] if "const" in schema else schema["enum"]
        return _either([orjson.dumps(value).decode() for value in values])
    kind = schema.get("type", "anything")
    match next(one for one in kind if one != "null") if isinstance(kind, list) else kind:
        case "integer" | "number" as name:
            return f"{name}{_range(schema)}"
        case "string" if "maxLength" in schema:
            return f"string of {schema['minLength']} to {schema['maxLength']:,} characters"
        case "array":
            most = f" (at most {schema['maxItems']:,})" if "maxItems" in schema else ""
            return f"list of {type_of(schema['items'])}{most}"
        case name:
            return str(name)


def _range(schema: dict[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if "exclusiveMinimum" in schema:
        above = f" above {_number(schema['exclusiveMinimum'])}"
        return above if high is None else f"{above}, at most {_number(high)}"
    if low is None or abs(low) >= 2**31:
        return ""
    if high is None or high >= 2**31 - 1:
        return f" of at least {_number(low)}"
    return f" from {_number(low)} to {_number(high)}"


def _number(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else f"{value:g}"


def _either(words: list[str]) -> str:
    return " or ".join(dict.fromkeys(words))


def _media(name: str) -> str:
    return escape(name.split(";", 1)[0])


def _method(method: str) -> str:
    return f'<span class="method {method.lower()}">{method}</span>'


def _curl(path: str, example: Any) -> str:
    body = orjson.dumps(example, option=orjson.OPT_INDENT_2).decode()
    return escape(f"curl http://localhost:8080{path} \\\n  -H 'content-type: application/json' -d '{body}'")


def _prose(text: str) -> str:
    return _CODE.sub(r"<code>\1</code>", escape(text, quote=False))
