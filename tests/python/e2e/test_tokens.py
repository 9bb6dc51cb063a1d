"""Tokens of a real tokenizer, there and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.python.support.server_process import REQUEST_TIMEOUT_S
from tests.python.support.tiny_gguf import SMOLLM2_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.python.support.server_process import ServerProcess

pytestmark = pytest.mark.timeout(180)

SMOLLM2 = SMOLLM2_FILE.removesuffix(".gguf")
TEXTS = (
    "Hello world",
    "  two blanks, a\ttab\nand lines\r\n\n",
    "Grüße aus Köln, 日本語 и русский, \U0001f9d1\u200d\U0001f680",
    "<|im_start|>user\nspelled out<|im_end|>",
    "\x00\x01\x7f",
    "",
)


@pytest.fixture(scope="module")
def http(smollm2_server: ServerProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=smollm2_server.url, timeout=REQUEST_TIMEOUT_S, trust_env=False) as client:
        yield client


def post(http: httpx.Client, path: str, **fields: Any) -> dict[str, Any]:
    response = http.post(path, json={"model": SMOLLM2} | fields)
    assert response.status_code == 200, response.text
    told: dict[str, Any] = response.json()
    return told


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("parse_special", [True, False])
def test_there_and_back(http: httpx.Client, text: str, parse_special: bool) -> None:
    tokens = post(http, "/tokenize", content=text, parse_special=parse_special)["tokens"]
    assert post(http, "/detokenize", tokens=tokens)["content"] == text


@pytest.mark.parametrize("text", TEXTS)
def test_pieces_are_the_text(http: httpx.Client, text: str) -> None:
    told = post(http, "/tokenize", content=text, with_pieces=True)["tokens"]
    pieces = [one["piece"].encode() if isinstance(one["piece"], str) else bytes(one["piece"]) for one in told]
    assert b"".join(pieces).decode() == text
    assert [one["id"] for one in told] == post(http, "/tokenize", content=text)["tokens"]


def test_half_a_character_is_shown_as_such(http: httpx.Client) -> None:
    told = post(http, "/tokenize", content="\U0001f9d1\u200d\U0001f680", with_pieces=True)["tokens"]
    partial = [one for one in told if isinstance(one["piece"], list)]
    assert partial
    assert "\ufffd" in post(http, "/detokenize", tokens=[partial[0]["id"]])["content"]


def test_control_tokens_are_text_or_tokens(http: httpx.Client) -> None:
    as_token = post(http, "/tokenize", content="<|im_end|>")["tokens"]
    as_text = post(http, "/tokenize", content="<|im_end|>", parse_special=False)["tokens"]
    assert len(as_token) == 1
    assert len(as_text) > 1


def test_a_template_gives_the_prompt_of_a_chat(http: httpx.Client) -> None:
    messages = [{"role": "user", "content": "Hello"}]
    prompt = post(http, "/apply-template", messages=messages)["prompt"]
    assert "<|im_start|>user\nHello<|im_end|>" in prompt
    assert prompt.endswith("<|im_start|>assistant\n")
    tokens = post(http, "/tokenize", content=prompt)["tokens"]
    usage = post(http, "/v1/chat/completions", messages=messages, max_tokens=1)["usage"]
    assert len(tokens) == usage["prompt_tokens"]


def test_as_vllm_s_clients_ask(http: httpx.Client) -> None:
    told = post(http, "/tokenize", prompt="Hello world", return_token_strs=True)
    assert told["token_strs"] == ["Hello", " world"]
    assert told["count"] == len(told["tokens"]) == 2
    assert told["max_model_len"] == 1024
    info = http.get("/tokenizer_info", params={"model": SMOLLM2}).json()
    assert info["eos_token"] == "<|im_end|>"
    assert len(post(http, "/tokenize", prompt=info["eos_token"])["tokens"]) == 1


def test_a_token_that_is_not_there(http: httpx.Client) -> None:
    response = http.post("/detokenize", json={"model": SMOLLM2, "tokens": [1, 10**6]})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "tokens"
