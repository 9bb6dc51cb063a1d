"""`/tokenize`, `/detokenize`, `/apply-template` and `/tokenizer_info`, in both servers' shapes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from llamad import errors

from .fakes import FakeEngine
from .harness import Served, on_loop, serving


async def post(served: Served, path: str, **fields: Any) -> Any:
    return (await served.client.post(path, json=fields)).json()


@pytest.mark.parametrize("prefix", ["", "/v1"])
@on_loop
async def test_as_llama_server_answers(prefix: str) -> None:
    async with serving() as served:
        assert await post(served, f"{prefix}/tokenize", content="Hi") == {"tokens": [72, 105]}
        assert await post(served, f"{prefix}/tokenize", content="") == {"tokens": []}
        told = await post(served, f"{prefix}/tokenize", content="é!", with_pieces=True)
        # Tokens of the fake are bytes: two of them are a character only together.
        assert told == {
            "tokens": [{"id": 0xC3, "piece": [0xC3]}, {"id": 0xA9, "piece": [0xA9]}, {"id": 33, "piece": "!"}]
        }
        told = await post(served, f"{prefix}/detokenize", tokens=[72, 105])
        assert told == {"content": "Hi", "prompt": "Hi"}


@on_loop
async def test_as_vllm_answers() -> None:
    async with serving() as served:
        assert await post(served, "/tokenize", prompt="Hi", model="tiny") == {
            "tokens": [72, 105],
            "count": 2,
            "max_model_len": 2048,
            "token_strs": None,
        }
        told = await post(served, "/tokenize", prompt="Hi", return_token_strs=True)
        assert told["token_strs"] == ["H", "i"]


@pytest.mark.parametrize(
    ("fields", "special"),
    [
        ({"content": "x"}, (False, True)),
        ({"content": "x", "add_special": True, "parse_special": False}, (True, False)),
        ({"content": "x", "add_special_tokens": True}, (False, True)),
        ({"prompt": "x"}, (True, True)),
        ({"prompt": "x", "add_special_tokens": False}, (False, True)),
    ],
)
@on_loop
async def test_special_tokens_are_each_servers_own_business(
    fields: dict[str, Any], special: tuple[bool, bool]
) -> None:
    class Asked(FakeEngine):
        async def tokenize(
            self, text: str, *, add_special: bool = True, parse_special: bool = True
        ) -> list[int]:
            return [add_special, parse_special]

    async with serving(Asked()) as served:
        assert tuple((await post(served, "/tokenize", **fields))["tokens"]) == special


@pytest.mark.parametrize(
    ("path", "fields", "param"),
    [
        ("/tokenize", {}, "content"),
        ("/tokenize", {"content": None}, "content"),
        ("/tokenize", {"content": ["x"]}, "content"),
        ("/tokenize", {"content": "x", "prompt": "x"}, "prompt"),
        ("/tokenize", {"content": "x", "with_pieces": 1}, "with_pieces"),
        ("/tokenize", {"content": "x", "model": 1}, "model"),
        ("/detokenize", {}, "tokens"),
        ("/detokenize", {"tokens": "x"}, "tokens"),
        ("/detokenize", {"tokens": [1, -1]}, "tokens[1]"),
        ("/detokenize", {"tokens": [1, 2.5]}, "tokens[1]"),
        ("/apply-template", {}, "messages"),
        ("/apply-template", {"messages": [{"role": "user"}]}, "messages[0].content"),
    ],
)
@on_loop
async def test_wrong_input(path: str, fields: dict[str, Any], param: str) -> None:
    async with serving() as served:
        response = await served.client.post(path, json=fields)
        assert response.status_code == 400
        assert response.json()["error"]["param"] == param


@on_loop
async def test_the_engine_says_which_tokens_there_are() -> None:
    class Strict(FakeEngine):
        async def detokenize(self, *_: Any, **__: Any) -> str:
            raise errors.ParameterError("no such token", param="token_ids")

    async with serving(Strict()) as served:
        told = await post(served, "/detokenize", tokens=[999])
        assert told["error"]["param"] == "tokens"


@on_loop
async def test_a_template_is_applied_to_what_a_chat_could_say() -> None:
    async with serving(trust_request_chat_template=True) as served:
        messages = [{"role": "user", "content": "Hi"}]
        told = await post(served, "/apply-template", messages=messages, chat_template="{{ x }}")
        conversation = orjson.loads(told["prompt"].strip("<>"))
        assert conversation["messages"][0]["content"] == "Hi"
        assert conversation["chat_template"] == "{{ x }}"


@on_loop
async def test_a_template_of_the_request_must_be_trusted() -> None:
    async with serving() as served:
        messages = [{"role": "user", "content": "Hi"}]
        told = await post(served, "/apply-template", messages=messages, chat_template="{{ x }}")
        assert told["error"]["param"] == "chat_template"
        assert "--trust-request-chat-template" in told["error"]["message"]
        assert "prompt" in await post(served, "/apply-template", messages=messages, chat_template=None)


@on_loop
async def test_many_tokens_are_answered_as_few_are() -> None:
    async with serving() as served:
        for content in ("ab", "ab" * 10_000):
            told = await post(served, "/tokenize", content=content, with_pieces=True)
            assert "".join(token["piece"] for token in told["tokens"]) == content


@on_loop
async def test_a_model_must_be_named_where_there_are_several() -> None:
    async with serving() as served:
        served.models.served["other"] = FakeEngine()
        for path, fields in (
            ("/tokenize", {"content": "x"}),
            ("/detokenize", {"tokens": [1]}),
            ("/apply-template", {"messages": [{"role": "user", "content": "Hi"}]}),
        ):
            told = await post(served, path, **fields)
            assert told["error"]["param"] == "model"
            assert "2 models" in told["error"]["message"]
            assert "error" not in await post(served, path, **fields, model="other")
            told = await post(served, path, **fields, model="third")
            assert told["error"]["code"] == "model_not_found"


@on_loop
async def test_tokenizer_info() -> None:
    class Described(FakeEngine):
        @property
        def info(self) -> Any:
            return SimpleNamespace(bos_token="<s>", eos_token="</s>")

    async with serving(Described()) as served:
        expected = {"bos_token": "<s>", "eos_token": "</s>"}
        assert (await served.client.get("/tokenizer_info")).json() == expected
        assert (await served.client.get("/tokenizer_info?model=tiny")).json() == expected
        assert (await served.client.get("/tokenizer_info?model=huge")).status_code == 404
