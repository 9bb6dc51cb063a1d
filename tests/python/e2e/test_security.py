"""Keys, limits and HTTPS as the official client meets them."""

from __future__ import annotations

import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest
import trustme
from openai import OpenAI

from tests.python.support.server_process import (
    ONE_THREAD,
    REQUEST_TIMEOUT_S,
    ServerProcess,
    serving,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(300)

HELLO: Any = [{"role": "user", "content": "hello"}]
KEYS = """
[alice]
key = "sk-alice-secret"

[batch]
key = "sk-batch-secret"
models = ["tiny"]
max_requests = 1

[meter]
key = "sk-meter-secret"
tokens_per_minute = 120

[root]
key = "sk-root-secret"
admin = true
"""


@pytest.fixture(scope="module")
def models(tiny_model: Path, endless_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the models "tiny" and "endless"."""
    directory = tmp_path_factory.mktemp("models")
    for path in (tiny_model, endless_model):
        shutil.copy(path, directory)
    return directory


@pytest.fixture(scope="module")
def keyed(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    directory = tmp_path_factory.mktemp("keys")
    keys = directory / "keys.toml"
    keys.write_text(KEYS)
    flags = ("--n-ctx", "8192", "--api-key-file", str(keys), *ONE_THREAD)
    with serving(models, *flags, log_path=directory / "server.log") as server:
        yield server
    assert "-secret" not in server.log


def client_of(server: ServerProcess, key: str, *, max_retries: int = 0) -> OpenAI:
    return OpenAI(
        base_url=f"{server.url}/v1", api_key=key, max_retries=max_retries, timeout=REQUEST_TIMEOUT_S
    )


def ask(client: OpenAI, model: str = "tiny", **fields: Any) -> Any:
    return client.chat.completions.create(model=model, messages=HELLO, **{"max_tokens": 4} | fields)


def test_a_wrong_key(keyed: ServerProcess) -> None:
    with client_of(keyed, "sk-wrong") as client, pytest.raises(openai.AuthenticationError) as caught:
        ask(client)
    assert caught.value.code == "invalid_api_key"
    assert "sk-wrong" not in caught.value.message


def test_a_key_with_its_name_in_the_log(keyed: ServerProcess) -> None:
    with client_of(keyed, "sk-alice-secret") as client:
        assert ask(client).choices[0].finish_reason in {"stop", "length"}
    wait_until(lambda: "key=alice" in keyed.log, "the name in the log")


def test_a_model_that_the_key_is_not_for(keyed: ServerProcess) -> None:
    with client_of(keyed, "sk-batch-secret") as client:
        assert [model.id for model in client.models.list()] == ["tiny"]
        with pytest.raises(openai.PermissionDeniedError) as caught:
            ask(client, "endless")
        assert caught.value.code == "model_not_found"
        ask(client, "tiny")


def test_requests_at_once_are_refused_and_tried_again(keyed: ServerProcess) -> None:
    with client_of(keyed, "sk-batch-secret") as client:
        running = ask(client, stream=True, max_tokens=8000, extra_body={"ignore_eos": True})
        next(iter(running))
        with pytest.raises(openai.RateLimitError) as caught:
            ask(client)
        assert caught.value.code == "rate_limit_exceeded"
        assert caught.value.response.headers["retry-after"] == "1"
        # By itself the client tries again, and gets through once the other is over.
        ender = threading.Timer(0.5, running.close)
        ender.start()
        try:
            with client_of(keyed, "sk-batch-secret", max_retries=20) as patient:
                assert ask(patient).usage.completion_tokens > 0
        finally:
            ender.join()


def test_tokens_per_minute(keyed: ServerProcess) -> None:
    with client_of(keyed, "sk-meter-secret") as client:
        refused = None
        for _ in range(20):
            try:
                ask(client, max_tokens=100, extra_body={"ignore_eos": True})
            except openai.RateLimitError as error:
                refused = error
                break
        assert refused is not None
        headers = refused.response.headers
        assert int(headers["retry-after"]) >= 1
        assert headers["x-ratelimit-limit-tokens"] == "120"


def test_operators(keyed: ServerProcess) -> None:
    load = f"{keyed.url}/v1/models/tiny/load"
    for key, status in (("sk-alice-secret", 403), ("sk-root-secret", 200)):
        response = httpx.post(load, headers={"authorization": f"Bearer {key}"}, timeout=REQUEST_TIMEOUT_S)
        assert response.status_code == status


def test_keys_from_the_environment_are_seen_by_nobody(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLAMAD_API_KEY", "sk-one-secret,sk-two-secret")
    with serving(models, *ONE_THREAD, log_path=tmp_path / "server.log") as server:
        for key in ("sk-one-secret", "sk-two-secret"):
            with client_of(server, key) as client:
                assert len(client.models.list().data) == 2
        with (
            client_of(server, "sk-one-secret,sk-two-secret") as client,
            pytest.raises(openai.AuthenticationError),
        ):
            client.models.list()
        assert "-secret" not in Path(f"/proc/{server.pid}/cmdline").read_text()
    assert "-secret" not in server.log


def test_keys_are_reread_on_sighup(models: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("sk-old-secret\n")
    flags = ("--api-key-file", str(keys), *ONE_THREAD)
    with (
        serving(models, *flags, log_path=tmp_path / "server.log") as server,
        client_of(server, "sk-new-secret") as new,
        client_of(server, "sk-old-secret") as old,
    ):
        old.models.list()
        with pytest.raises(openai.AuthenticationError):
            new.models.list()
        keys.write_text("sk-new-secret\n")
        server.signal(signal.SIGHUP)
        wait_until(lambda: lets_in(new), "the new key")
        with pytest.raises(openai.AuthenticationError):
            old.models.list()
        keys.unlink()
        server.signal(signal.SIGHUP)
        wait_until(lambda: "cannot read the file of API keys" in server.log, "a word about the file")
        new.models.list()


def lets_in(client: OpenAI) -> bool:
    try:
        client.models.list()
    except openai.AuthenticationError:
        return False
    return True


def test_https(models: Path, tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    certificate, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    issued.cert_chain_pems[0].write_to_path(certificate)
    issued.private_key_pem.write_to_path(key)
    flags = (
        "--ssl-certfile",
        str(certificate),
        "--ssl-keyfile",
        str(key),
        "--header-timeout",
        "1",
        *ONE_THREAD,
    )
    with serving(models, *flags, log_path=tmp_path / "server.log") as server:
        assert server.url.startswith("https://")
        trusting = ssl.create_default_context()
        authority.configure_trust(trusting)
        with (
            openai.DefaultHttpxClient(verify=trusting, trust_env=False) as http,
            OpenAI(base_url=f"{server.url}/v1", api_key="x", max_retries=0, http_client=http) as client,
        ):
            chunks = list(ask(client, stream=True))
            assert chunks[-1].choices[0].finish_reason in {"stop", "length"}
            assert http.get(f"{server.url}/healthz").status_code == 200
        with client_of(server, "x") as distrustful, pytest.raises(openai.APIConnectionError):
            distrustful.models.list()
        with pytest.raises(httpx.HTTPError):
            httpx.get(server.url.replace("https", "http") + "/healthz", trust_env=False)
        # Who never says hello is not waited for.
        host, port = server.url.removeprefix("https://").split(":")
        with socket.create_connection((host, int(port)), timeout=REQUEST_TIMEOUT_S) as silent:
            assert silent.recv(1) == b""


def test_slow_heads_hold_up_nobody(models: Path, tmp_path: Path) -> None:
    flags = ("--header-timeout", "2", "--max-connections", "300", *ONE_THREAD)
    with serving(models, *flags, log_path=tmp_path / "server.log") as server, ExitStack() as sockets:
        host, port = server.url.removeprefix("http://").split(":")
        begin = time.monotonic()
        slow = []
        for _ in range(200):
            one = sockets.enter_context(
                socket.create_connection((host, int(port)), timeout=REQUEST_TIMEOUT_S)
            )
            one.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-le")
            slow.append(one)
        with client_of(server, "x") as client:
            for _ in range(5):
                assert ask(client).usage.completion_tokens > 0
        for one in slow:
            answer = b""
            while part := one.recv(4096):
                answer += part
            assert answer.startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - begin >= 2


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (("--api-key-file", "nowhere.toml"), "cannot read the file of API keys 'nowhere.toml'"),
        (("--ssl-certfile", "nowhere.pem"), "cannot read ssl_certfile 'nowhere.pem'"),
        (("--ssl-keyfile", "nowhere.pem"), "ssl_keyfile needs ssl_certfile"),
        (("--api-key", "sk secret"), "--api-key: expected a list of keys"),
        (("--api-key", "sk-a", "--admin-key", "sk-a"), "are the same"),
        (
            ("--cors-origin", "chat.example.org"),
            "--cors-origin = ['chat.example.org']: expected a list of origins",
        ),
    ],
)
def test_what_is_wrong_is_one_line_at_the_start(
    models: Path, tmp_path: Path, flags: tuple[str, ...], complaint: str
) -> None:
    command = [sys.executable, "-m", "llamad", "--model-directory", str(models), "--port", "0", *flags]
    done = subprocess.run(
        command, check=False, cwd=tmp_path, capture_output=True, text=True, timeout=REQUEST_TIMEOUT_S
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("llamad: ")
    assert complaint in line
    assert "secret" not in line
