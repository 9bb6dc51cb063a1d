"""Pages in browsers: those of other origins, and those that pretend to be of this one."""

from __future__ import annotations

import pytest
from llamad.settings import Settings

from .harness import CHAT, Served, chat_body, on_loop, serving
from .test_errors import error_of

PAGE = "https://chat.example.org"
ASKING = {
    "origin": PAGE,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,x-stainless-lang",
}
ALLOW_ORIGIN = "access-control-allow-origin"


def settings_for(*origins: str, **more: object) -> Settings:
    return Settings(cors_origin=origins, api_key=("sk-a",), **more)  # type: ignore[arg-type]


async def preflight(served: Served, **headers: str) -> tuple[int, dict[str, str]]:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    response = await served.client.options(CHAT, headers=ASKING | names)
    told = {name: value for name, value in response.headers.items() if name.startswith("access-control")}
    return response.status_code, told


@on_loop
async def test_off_unless_asked_for() -> None:
    async with serving(settings=Settings(api_key=("sk-a",))) as served:
        assert await preflight(served) == (401, {})
        headers = {"authorization": "Bearer sk-a", "origin": PAGE}
        response = await served.client.post(CHAT, json=chat_body(), headers=headers)
        assert response.status_code == 200
        assert not [name for name in response.headers if name.startswith("access-control")]


@on_loop
async def test_a_preflight_needs_no_key() -> None:
    async with serving(settings=settings_for("https://other.example", PAGE)) as served:
        status, told = await preflight(served)
        assert status == 204
        assert told[ALLOW_ORIGIN] == PAGE
        assert "POST" in told["access-control-allow-methods"]
        assert told["access-control-allow-headers"] == ASKING["access-control-request-headers"]
        assert int(told["access-control-max-age"]) > 0
        assert "access-control-allow-credentials" not in told
        assert "access-control-allow-private-network" not in told
        status, told = await preflight(served, access_control_request_private_network="true")
        assert told["access-control-allow-private-network"] == "true"
        assert served.state.answered == {204: 2}


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "https://chat.example.org.evil", "http://chat.example.org", ""]
)
@on_loop
async def test_a_preflight_of_another_origin(origin: str) -> None:
    async with serving(settings=settings_for(PAGE)) as served:
        assert await preflight(served, origin=origin) == (403, {})


@on_loop
async def test_hostile_header_names_are_not_repeated() -> None:
    async with serving(settings=settings_for(PAGE)) as served:
        for names in ("a: b", "x" * 5000, "é"):
            asking = {name.encode(): value.encode() for name, value in ASKING.items()}
            asking[b"access-control-request-headers"] = names.encode()
            response = await served.client.options(CHAT, headers=asking)
            assert response.status_code == 204
            assert "access-control-allow-headers" not in response.headers


@on_loop
async def test_answers_and_errors_may_be_read() -> None:
    async with serving(settings=settings_for(PAGE)) as served:
        for key, status in (("sk-a", 200), ("sk-wrong", 401)):
            headers = {"authorization": f"Bearer {key}", "origin": PAGE}
            response = await served.client.post(CHAT, json=chat_body(), headers=headers)
            assert response.status_code == status
            assert response.headers[ALLOW_ORIGIN] == PAGE
            assert "origin" in response.headers["vary"].lower()
            exposed = response.headers["access-control-expose-headers"]
            for name in (
                "x-request-id",
                "openai-processing-ms",
                "retry-after",
                "x-ratelimit-remaining-tokens",
            ):
                assert name in exposed
        served.state.draining = True
        response = await served.client.post(CHAT, json=chat_body(), headers=headers)
        assert (response.status_code, response.headers[ALLOW_ORIGIN]) == (503, PAGE)


@on_loop
async def test_caches_are_told_that_the_origin_matters() -> None:
    """Also where no origin asks: what a cache keeps of this answer must not go to a page."""
    async with serving(settings=settings_for(PAGE)) as served:
        response = await served.client.get("/healthz")
        assert "origin" in response.headers["vary"].lower()
        assert ALLOW_ORIGIN not in response.headers


@on_loop
async def test_all_origins() -> None:
    async with serving(settings=settings_for("*")) as served:
        status, told = await preflight(served, origin="null")
        assert (status, told[ALLOW_ORIGIN]) == (204, "*")
        assert "access-control-allow-credentials" not in told
        headers = {"authorization": "Bearer sk-a", "origin": PAGE}
        response = await served.client.post(CHAT, json=chat_body(), headers=headers)
        assert response.headers[ALLOW_ORIGIN] == "*"


@on_loop
async def test_a_page_cannot_make_a_server_without_keys_work() -> None:
    """A form, or a fetch without a content type, is sent without a preflight."""
    async with serving() as served:
        body = b'{"model":"tiny","messages":[{"role":"user","content":"Hi"}]}'
        for origin in ("https://evil.example", "null"):
            refused = await served.client.post(CHAT, content=body, headers={"origin": origin})
            assert (refused.status_code, error_of(refused)["code"]) == (403, "origin_not_allowed")
            assert ALLOW_ORIGIN not in refused.headers
        assert served.models.loads == 0
        own = {"origin": str(served.client.base_url).rstrip("/")}
        assert (await served.client.post(CHAT, content=body, headers=own)).status_code == 200


@on_loop
async def test_an_allowed_page_may_where_there_are_no_keys() -> None:
    async with serving(settings=Settings(cors_origin=(PAGE,))) as served:
        response = await served.client.post(CHAT, json=chat_body(), headers={"origin": PAGE})
        assert (response.status_code, response.headers[ALLOW_ORIGIN]) == (200, PAGE)


@pytest.mark.parametrize("path", ["/healthz", "/v1/models", "/docs"])
@on_loop
async def test_a_foreign_name_for_this_machine(path: str) -> None:
    async with serving() as served:
        response = await served.client.get(path, headers={"host": "evil.example:8080"})
        assert (response.status_code, error_of(response)["code"]) == (403, "host_not_allowed")
        assert (await served.client.get(path, headers={"host": "localhost:1"})).status_code == 200


@pytest.mark.parametrize(
    "settings",
    [
        Settings(allowed_host=("llm.example.org",)),
        Settings(allowed_host=("*",)),
        Settings(api_key=("sk-a",)),
        Settings(host="0.0.0.0"),
    ],
)
@on_loop
async def test_where_other_names_are_fine(settings: Settings) -> None:
    async with serving(settings=settings) as served:
        headers = {"host": "llm.example.org", "authorization": "Bearer sk-a"}
        assert (await served.client.get("/v1/models", headers=headers)).status_code == 200
