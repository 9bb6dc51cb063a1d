"""Many models in one server: memory that holds two of six, settings of their own, operators."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import openai
import pytest

from tests.python.support.server_process import ONE_THREAD, ServerProcess, get, serving, wait_until
from tests.python.support.tiny_gguf import TinyModel, write_tiny_model

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(300)

HELLO: Any = [{"role": "user", "content": "hello"}]
MIB = 1 << 20
SIZE = 41 * MIB
WEIGHTS = TinyModel(n_layers=4, width=512, n_heads=8)
FLAGS = ("--n-ctx", "512", "--prefix-cache-mib", "0", *ONE_THREAD)


class Memory:
    """Watches how much memory a process has in RAM."""

    def __init__(self, pid: int) -> None:
        self._statm = Path(f"/proc/{pid}/statm")
        self.before = self.peak = self._now()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.005):
            self.peak = max(self.peak, self._now())

    def _now(self) -> int:
        return int(self._statm.read_text().split()[1]) * 4096


def model_of(server: ServerProcess, name: str) -> Any:
    return json.loads(get(f"{server.url}/v1/models/{name}")[1])


def post(server: ServerProcess, path: str) -> tuple[int, Any]:
    request = urllib.request.Request(f"{server.url}{path}", method="POST")
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def complete(server: ServerProcess, model: str, **fields: Any) -> Any:
    with server.client() as client:
        wanted = {"max_tokens": 4, "temperature": 0} | fields
        return client.chat.completions.create(model=model, messages=HELLO, **wanted)


@pytest.fixture(scope="module")
def six(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six models of `SIZE` each."""
    directory = tmp_path_factory.mktemp("six")
    first = write_tiny_model(directory / "m0.gguf", WEIGHTS)
    for index in range(1, 6):
        (directory / f"m{index}.gguf").write_bytes(first.read_bytes())
    return directory


def test_six_models_twenty_clients_and_memory_for_two(six: Path, tmp_path: Path) -> None:
    """Every request is answered in full, and memory seen from outside stays within the budget."""

    async def clients(server: ServerProcess) -> list[Any]:
        chance = random.Random(7)
        async with server.async_client() as client:

            async def ask(names: list[str]) -> list[Any]:
                return [
                    await client.chat.completions.create(
                        model=name, messages=HELLO, max_tokens=4, temperature=0
                    )
                    for name in names
                ]

            orders = [[f"m{chance.randrange(6)}" for _ in range(10)] for _ in range(20)]
            return [one for answers in await asyncio.gather(*map(ask, orders)) for one in answers]

    with serving(six, *FLAGS, log_path=tmp_path / "probe.log") as server:
        complete(server, "m0")
        needed = model_of(server, "m0")["memory_bytes"]
    assert 50 * MIB < needed < 150 * MIB
    budget = 2 * needed + needed // 4

    flags = (*FLAGS, "--memory-budget", str(budget))
    with serving(six, *flags, log_path=tmp_path / "server.log") as server:
        with Memory(server.pid) as memory:
            answers = asyncio.run(clients(server))
        assert len(answers) == 200
        assert {answer.choices[0].finish_reason for answer in answers} == {"length"}
        assert {answer.usage.completion_tokens for answer in answers} == {4}
        texts = {answer.choices[0].message.content for answer in answers}
        assert len(texts) == 1, "they are copies of one model"
        assert server.log.count("to make room") >= 4
        assert memory.peak - memory.before <= budget
        assert memory.peak - memory.before > 1.5 * SIZE, "two were there at once"
        # In the order of arrival two of three would need a load.
        assert server.log.count("loading m") < 120, "requests for one model are served together"


def test_a_model_that_never_fits_is_refused_with_the_numbers_and_the_others_serve(
    six: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "models"
    directory.mkdir()
    (directory / "large.gguf").write_bytes((six / "m0.gguf").read_bytes())
    write_tiny_model(directory / "small.gguf")
    flags = (*FLAGS, "--memory-budget", "64MiB")
    with serving(directory, *flags, log_path=tmp_path / "server.log") as server:
        with pytest.raises(openai.APIStatusError) as caught:
            complete(server, "large")
        assert (caught.value.status_code, caught.value.code) == (503, "insufficient_memory")
        assert "the budget is 0.06 GiB (67108864 bytes)" in caught.value.message
        assert model_of(server, "large")["state"] == "failed"
        assert complete(server, "small").usage.completion_tokens == 4


@pytest.fixture(scope="module")
def configured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ServerProcess, Path]]:
    """A server of one file with two sets of settings, and its directory."""
    directory = tmp_path_factory.mktemp("configured")
    write_tiny_model(directory / "tiny.gguf")
    (directory / "models.toml").write_text(
        """
        [models.tiny]
        aliases = ["gpt-4o-mini"]
        n_ctx = 8192

        [models.short]
        file = "tiny.gguf"
        n_ctx = 64
        chat_template = "{{ messages[0]['content'] }}"
        sampling = { max_tokens = 3, temperature = 0.0 }
        preload = true
        """
    )
    log_path = tmp_path_factory.mktemp("log") / "server.log"
    with serving(directory, *FLAGS, log_path=log_path) as server:
        wait_until(lambda: get(f"{server.monitor_url}/readyz")[0] == 200, "readiness")
        yield server, directory


def test_a_model_is_found_by_its_alias(configured: tuple[ServerProcess, Path]) -> None:
    server, _ = configured
    assert complete(server, "gpt-4o-mini").usage.completion_tokens == 4
    described = model_of(server, "gpt-4o-mini")
    assert (described["id"], described["aliases"]) == ("tiny", ["gpt-4o-mini"])


def test_a_table_of_its_own_settings_holds(configured: tuple[ServerProcess, Path]) -> None:
    server, _ = configured
    assert model_of(server, "short")["state"] == "loaded", "it was to be preloaded"
    assert model_of(server, "short")["context_length"] == 64
    with server.client() as client:
        defaults = client.chat.completions.create(model="short", messages=HELLO)
        said = client.chat.completions.create(model="short", messages=HELLO, max_tokens=5)
        other = client.chat.completions.create(model="tiny", messages=HELLO, max_tokens=5)
    assert defaults.usage is not None
    assert said.usage is not None
    assert other.usage is not None
    assert (defaults.usage.completion_tokens, said.usage.completion_tokens) == (3, 5)
    assert said.usage.prompt_tokens < other.usage.prompt_tokens, "its own template adds nothing"
    again = complete(server, "short", max_tokens=None, temperature=None)
    assert again.choices[0].message.content == defaults.choices[0].message.content, "it is greedy"


def test_operators_load_and_unload(configured: tuple[ServerProcess, Path]) -> None:
    server, _ = configured
    status, described = post(server, "/v1/models/gpt-4o-mini/load")
    assert (status, described["id"], described["state"]) == (200, "tiny", "loaded")
    assert described["memory_bytes"] > 0
    status, described = post(server, "/v1/models/tiny/unload")
    assert (status, described["state"], described["memory_bytes"]) == (200, "unloaded", None)
    assert post(server, "/v1/models/absent/load")[0] == 404
    assert post(server, "/v1/models/absent/unload")[0] == 404
    status, error = post(server, "/v1/models/tiny/unload?force=maybe")
    assert (status, error["error"]["param"]) == (400, "force")


def test_a_model_in_use_is_unloaded_only_by_force(configured: tuple[ServerProcess, Path]) -> None:
    server, _ = configured
    with (
        server.client() as client,
        client.chat.completions.create(
            model="tiny", messages=HELLO, max_tokens=8000, temperature=0, stream=True
        ) as stream,
    ):
        events = iter(stream)
        next(events)
        status, error = post(server, "/v1/models/tiny/unload")
        assert (status, error["error"]["code"]) == (409, "model_busy")
        assert post(server, "/v1/models/tiny/unload?force=true")[0] == 200
        with pytest.raises(openai.APIError):
            for _ in events:
                pass
    assert complete(server, "tiny").usage.completion_tokens == 4


def test_a_file_that_is_replaced_is_loaded_anew(configured: tuple[ServerProcess, Path]) -> None:
    server, directory = configured
    before = complete(server, "tiny", max_tokens=16).choices[0].message.content
    new = write_tiny_model(directory / "tiny.new", TinyModel(seed=99))
    new.rename(directory / "tiny.gguf")
    time.sleep(1.1)  # a look at the directory is good for a second
    assert complete(server, "tiny", max_tokens=16).choices[0].message.content != before
    server.wait_for_log("its file or its settings have changed")


def test_sighup_reads_the_tables_again(configured: tuple[ServerProcess, Path]) -> None:
    server, directory = configured
    (directory / "models.toml").write_text("[models.tiny]\nn_ctx = 128\n")
    server.signal(signal.SIGHUP)
    wait_until(lambda: get(f"{server.url}/v1/models/short")[0] == 404 or "reload: done" in server.log, "it")
    complete(server, "tiny")
    assert model_of(server, "tiny")["context_length"] == 128
    devices = model_of(server, "tiny")["devices"]
    assert sum(one["layers"] for one in devices) == 3, "two, and the output layer"
    assert all(one["bytes"] > 0 for one in devices)


def test_an_idle_model_is_unloaded_after_its_keep_alive(tiny_model: Path, tmp_path: Path) -> None:
    flags = (*FLAGS, "--keep-alive", "300ms")
    with serving(tiny_model.parent, *flags, log_path=tmp_path / "server.log") as server:
        assert complete(server, "tiny").usage.completion_tokens == 4
        wait_until(lambda: model_of(server, "tiny")["state"] == "unloaded", "unloading")
        server.wait_for_log("nobody has used it for its keep-alive")
        assert complete(server, "tiny").usage.completion_tokens == 4


def test_models_to_preload_that_do_not_fit_end_the_start(six: Path, tmp_path: Path) -> None:
    names = [flag for name in ("m0", "m1", "m2") for flag in ("--preload-model", name)]
    flags = (*FLAGS, "--memory-budget", "200MiB", *names)
    server = ServerProcess(six, tmp_path / "server.log", *flags)
    try:
        assert server.wait() == 1
        server.wait_for_log("which must stay")
    finally:
        server.close()


def test_a_wrong_table_is_an_error_at_the_start(tiny_model: Path, tmp_path: Path) -> None:
    config = tmp_path / "more.toml"
    config.write_text("[models.tiny]\nn_ctxx = 1\n")
    with pytest.raises(AssertionError, match="did you mean n_ctx"):
        ServerProcess(tiny_model.parent, tmp_path / "server.log", "--models-config", str(config))
