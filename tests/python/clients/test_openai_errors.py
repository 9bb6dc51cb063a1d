"""Errors, timeouts and retries as the official Python client knows them."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.python.support.server_process import ONE_THREAD, ServerProcess, serving
from tests.python.support.tiny_gguf import ENDLESS_N_CTX

from .questions import MODEL, user

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import httpx2
    from openai.types.chat import ChatCompletionChunk

pytestmark = pytest.mark.timeout(300)

ENDLESS: dict[str, Any] = {"model": "endless", "messages": user("hello"), "extra_body": {"ignore_eos": True}}
"""Fields of a request that ends only by being cancelled."""


class Attempts:
    """A client that notes what was answered to each of its attempts, and when.

    Args:
        server: whom to ask.
        max_retries: as of `openai.OpenAI`.
        after: called with each response, before the client decides whether to try again.
    """

    def __init__(
        self, server: ServerProcess, max_retries: int, after: Callable[[httpx2.Response], None] | None = None
    ) -> None:
        self.responses: list[httpx2.Response] = []
        self.times: list[float] = []
        self._after = after
        self.client = openai.OpenAI(
            base_url=f"{server.url}/v1",
            api_key="none",
            max_retries=max_retries,
            http_client=openai.DefaultHttpx2Client(event_hooks={"response": [self._note]}),
        )

    @property
    def statuses(self) -> list[int]:
        return [response.status_code for response in self.responses]

    def _note(self, response: httpx2.Response) -> None:
        self.responses.append(response)
        self.times.append(time.monotonic())
        if self._after is not None:
            self._after(response)


@contextmanager
def occupying(server: ServerProcess, *, queue: bool) -> Iterator[list[openai.Stream[ChatCompletionChunk]]]:
    """Take the server's one slot, and if wanted its one place in the queue; yields their streams."""
    with server.client() as client:
        streams = [client.chat.completions.create(**ENDLESS, stream=True)]
        server.wait_for_metric("llamad_num_requests_running", lambda count: count == 1)
        if queue:
            streams.append(client.chat.completions.create(**ENDLESS, stream=True))
            server.wait_for_metric("llamad_num_requests_waiting", lambda count: count == 1)
        try:
            yield streams
        finally:
            for stream in streams:
                stream.close()
            server.wait_until_idle()


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"temperature": -1}, "temperature"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
        ({"top_logprobs": 5}, "top_logprobs"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
    ],
)
def test_bad_requests_name_the_field(client: openai.OpenAI, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**({"model": MODEL, "messages": user("Hi")} | fields))
    assert (caught.value.param, caught.value.type) == (param, "invalid_request_error")


def test_too_long_a_prompt(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=MODEL, messages=user("river " * 3000))
    assert caught.value.code == "context_length_exceeded"


def test_unknown_models_and_paths_are_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="absent", messages=user("Hi"))
    assert caught.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        client.files.list()


def test_bad_requests_are_not_tried_again(server: ServerProcess) -> None:
    attempts = Attempts(server, max_retries=3)
    with attempts.client as client, pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model=MODEL, messages=[])
    assert attempts.statuses == [400]


def test_a_full_queue_is_a_rate_limit(one_slot: ServerProcess) -> None:
    with occupying(one_slot, queue=True), one_slot.client() as client:
        with pytest.raises(openai.RateLimitError) as caught:
            client.chat.completions.create(**ENDLESS)
        assert caught.value.code == "queue_full"


def test_a_rate_limit_is_tried_again_after_as_long_as_the_server_says(one_slot: ServerProcess) -> None:
    with occupying(one_slot, queue=True) as streams:

        def make_room(response: httpx2.Response) -> None:
            if response.status_code == 429:
                for stream in streams:
                    stream.close()
                one_slot.wait_until_idle()

        attempts = Attempts(one_slot, max_retries=2, after=make_room)
        with attempts.client as client:
            completion = client.chat.completions.create(model="endless", messages=user("hello"), max_tokens=2)
    assert attempts.statuses == [429, 200]
    assert completion.choices[0].message.content
    said = float(attempts.responses[0].headers["retry-after"])
    # The client's own first delay is at most half a second.
    assert said >= 1
    assert attempts.times[1] - attempts.times[0] >= said


def test_waiting_too_long_for_a_slot_is_unavailability(endless_model: Path, tmp_path: Path) -> None:
    flags = ("--n-parallel", "1", "--n-ctx", str(ENDLESS_N_CTX), "--queue-timeout", "1", *ONE_THREAD)
    with (
        serving(endless_model.parent, *flags, log_path=tmp_path / "server.log") as server,
        occupying(server, queue=False),
        server.client() as client,
    ):
        with pytest.raises(openai.InternalServerError) as caught:
            client.chat.completions.create(**ENDLESS)
        assert (caught.value.status_code, caught.value.code) == (503, "queue_timeout")
        assert int(caught.value.response.headers["retry-after"]) >= 1


def test_a_request_that_takes_too_long_is_not_tried_again(one_slot: ServerProcess) -> None:
    attempts = Attempts(one_slot, max_retries=3)
    body = {"ignore_eos": True, "timeout": 0.3}
    with attempts.client as client, pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model="endless", messages=user("hello"), extra_body=body)
    assert (caught.value.status_code, caught.value.code) == (408, "request_timeout")
    assert attempts.statuses == [408]


def test_a_client_s_timeout_frees_the_slot(one_slot: ServerProcess) -> None:
    with one_slot.client() as client, pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.5).chat.completions.create(**ENDLESS)
    one_slot.wait_until_idle()


def test_a_closed_stream_frees_the_slot(one_slot: ServerProcess) -> None:
    with one_slot.client() as client:
        with client.chat.completions.create(**ENDLESS, stream=True) as stream:
            for chunk in stream:
                if chunk.choices[0].delta.content:
                    break
            assert one_slot.metric("llamad_num_requests_running") == 1
        one_slot.wait_until_idle()


def test_a_request_timeout_ends_a_stream_with_an_error(one_slot: ServerProcess) -> None:
    body = {"ignore_eos": True, "timeout": 0.5}
    with one_slot.client() as client:
        stream = client.chat.completions.create(
            model="endless", messages=user("hello"), stream=True, extra_body=body
        )
        with pytest.raises(openai.APIError, match=r"0\.5"):
            list(stream)


def test_nobody_listens(server: ServerProcess) -> None:
    client = openai.OpenAI(base_url="http://127.0.0.1:1/v1", api_key="none", max_retries=0)
    with client, pytest.raises(openai.APIConnectionError):
        client.models.list()
