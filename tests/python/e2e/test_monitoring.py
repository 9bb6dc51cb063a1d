"""The monitor of a real server: what it counts, what documentation and dashboard say of it; under load."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import urllib.request
from typing import TYPE_CHECKING, Any

import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.python.conftest import ROOT
from tests.python.support.server_process import ONE_THREAD, ServerProcess, get, serving, wait_until
from tests.python.support.tiny_gguf import ENDLESS_N_CTX

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from openai import AsyncOpenAI
    from prometheus_client.metrics_core import Metric

pytestmark = pytest.mark.timeout(300)

HELLO: Any = [{"role": "user", "content": "hello"}]
N_REQUESTS, N_TOKENS = 3, 8


@pytest.fixture(scope="module")
def used_server(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that has answered `N_REQUESTS` of `N_TOKENS` each, and one that was wrong."""
    log_path = tmp_path_factory.mktemp("log") / "server.log"
    flags = ("--n-parallel", "2", "--n-ctx", "512", *ONE_THREAD)
    with serving(tiny_model.parent, *flags, log_path=log_path) as server:
        assert families(server)["llamad_model_loads"].samples == []  # looking has loaded nothing
        with server.client() as client:
            for _ in range(N_REQUESTS):
                client.chat.completions.create(
                    model="tiny", messages=HELLO, max_tokens=N_TOKENS, extra_body={"ignore_eos": True}
                )
            with pytest.raises(openai.NotFoundError):
                client.chat.completions.create(model="huge", messages=HELLO)
        server.wait_until_idle()
        yield server


def families(server: ServerProcess) -> dict[str, Metric]:
    status, text = get(f"{server.monitor_url}/metrics")
    assert status == 200
    return {family.name: family for family in text_string_to_metric_families(text)}


def sample_names(found: dict[str, Metric]) -> dict[str, set[str]]:
    """Each name that a query may use, and the labels that its samples have."""
    suffixes = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("_total",)}
    names: dict[str, set[str]] = {}
    for family in found.values():
        labels = {label for sample in family.samples for label in sample.labels}
        names |= {family.name + suffix: labels for suffix in suffixes.get(family.type, ("",))}
    return names


def counters_of(server: ServerProcess) -> dict[tuple[Any, ...], float]:
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in families(server).values()
        for sample in family.samples
        if family.type in {"counter", "histogram"} and sample.labels.get("model_name")
    }


def test_each_request_is_counted_once(used_server: ServerProcess) -> None:
    count = used_server.metric
    assert count("llamad_request_success_total", finished_reason="length") == N_REQUESTS
    assert count("llamad_generation_tokens_total") == N_REQUESTS * N_TOKENS
    for name in ("time_to_first_token_seconds", "e2e_request_latency_seconds", "request_queue_time_seconds"):
        assert count(f"llamad_{name}_count", model_name="tiny") == N_REQUESTS
    assert count("llamad_inter_token_latency_seconds_count") == N_REQUESTS * (N_TOKENS - 1)
    assert count("llamad_request_generation_tokens_sum") == N_REQUESTS * N_TOKENS
    assert count("llamad_request_prompt_tokens_sum") == count("llamad_prompt_tokens_total")
    assert count("llamad_prefix_cache_hits_total") > 0  # the same prompt again
    assert count("llamad_http_requests_total", status="404") == 1


def test_the_engine_s_state_is_told(used_server: ServerProcess) -> None:
    assert used_server.metric("llamad_slots") == 2
    assert used_server.metric("llamad_kv_cells") == 2 * 512
    assert used_server.metric("llamad_kv_cache_usage_perc") == 0
    assert used_server.metric("llamad_kv_cells_held") > N_TOKENS
    assert used_server.metric("llamad_model_state", model_name="tiny", state="loaded") == 1
    assert used_server.metric("llamad_model_state", model_name="tiny", state="unloaded") == 0
    assert used_server.metric("llamad_model_memory_bytes", model_name="tiny") > 0
    assert used_server.metric("llamad_engine_stall_seconds") == 0


def test_buckets_rise_to_the_count(used_server: ServerProcess) -> None:
    histograms = [family for family in families(used_server).values() if family.type == "histogram"]
    assert len(histograms) >= 10
    for family in histograms:
        by_labels: dict[Any, list[float]] = {}
        for sample in family.samples:
            rest = tuple(sorted((key, value) for key, value in sample.labels.items() if key != "le"))
            if sample.name.endswith(("_bucket", "_count")):
                by_labels.setdefault(rest, []).append(sample.value)
        for counts in by_labels.values():
            assert counts == sorted(counts)
            assert counts[-1] == counts[-2]  # of all, and of those below infinity


def test_the_documentation_lists_what_there_is(used_server: ServerProcess) -> None:
    page = (ROOT / "docs" / "monitoring.md").read_text()
    rows = re.findall(r"^\| `(llamad_\w+)` \| (\w+) \| ([^|]*)\|", page, re.MULTILINE)
    found = {name: family for name, family in families(used_server).items() if name.startswith("llamad_")}
    assert {name.removesuffix("_total"): kind for name, kind, _ in rows} == {
        name: family.type for name, family in found.items()
    }
    named = set(re.findall(r"llamad_[a-z][a-z0-9_]*", page))
    assert {re.sub("_(total|sum|count)$", "", name) for name in named} == found.keys()
    for name, _, labels in rows:
        family = found[name.removesuffix("_total")]
        told = set(re.findall(r"`(\w+)`", labels))
        assert all(set(sample.labels) - {"le"} == told for sample in family.samples), name


def test_the_dashboard_asks_for_what_there_is_and_for_all_of_it(used_server: ServerProcess) -> None:
    dashboard = json.loads((ROOT / "docs" / "grafana-dashboard.json").read_text())
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    queries += [variable["query"]["query"] for variable in dashboard["templating"]["list"][1:]]
    sources = [panel["datasource"]["uid"] for panel in panels]
    assert set(sources) == {"${datasource}"}

    found = families(used_server)
    names = sample_names(found)
    asked: set[str] = set()
    for query in queries:
        metrics = set(re.findall(r"\b(?:llamad|process)_\w+", query))
        assert metrics <= set(names), query
        asked |= metrics
        selected = re.findall(r'(\w+)=~?"', query) + re.findall(
            r"\w+", ",".join(re.findall(r"by \((.*?)\)", query))
        )
        for metric in metrics:
            if names[metric]:
                assert set(selected) - {"instance"} <= names[metric], query
    for family in found.values():
        if family.name.startswith("llamad_"):
            assert any(name.startswith(family.name) for name in asked), family.name


def test_slots_are_told_without_texts(used_server: ServerProcess) -> None:
    status, text = get(f"{used_server.monitor_url}/debug/slots")
    (model,) = json.loads(text)["models"]
    assert status == 200
    assert (model["model"], model["running"], model["waiting"], model["busy_s"]) == ("tiny", 0, 0, 0)
    assert [slot["id"] for slot in model["slots"]] == [0, 1]
    assert {slot["state"] for slot in model["slots"]} == {"idle"}
    assert sum(slot["n_computed"] for slot in model["slots"]) > N_TOKENS
    assert "hello" not in text


def test_health_is_told_on_both_ports(used_server: ServerProcess) -> None:
    for root in (used_server.url, used_server.monitor_url):
        assert get(f"{root}/healthz") == (200, '{"status":"ok"}')
        assert get(f"{root}/readyz")[0] == 200


def test_counts_survive_unloading(used_server: ServerProcess) -> None:
    before = counters_of(used_server)
    assert before["llamad_request_success_total", ("finished_reason", "length"), ("model_name", "tiny")] > 0
    request = urllib.request.Request(f"{used_server.url}/v1/models/tiny/unload", method="POST")
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 200
    used_server.wait_for_metric("llamad_model_state", lambda value: value == 1, state="unloaded")
    gone = counters_of(used_server)
    with used_server.client() as client:
        client.chat.completions.create(model="tiny", messages=HELLO, max_tokens=1)
    again = counters_of(used_server)
    assert set(before) <= set(gone) <= set(again)
    for key, value in before.items():
        assert value <= gone[key] <= again[key], key
    assert sum(again.values()) > sum(gone.values())


def test_a_port_of_the_monitor_that_is_taken_is_told_with_its_flag(tiny_model: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        flags = ("--monitor-port", str(taken.getsockname()[1]))
        with pytest.raises(AssertionError, match=r"--monitor-port\): Address already in use\n"):
            ServerProcess(tiny_model.parent, tmp_path / "server.log", *flags)


def test_a_model_that_is_gone_at_once_has_been_counted(tiny_model: Path, tmp_path: Path) -> None:
    flags = ("--keep-alive", "0", "--n-ctx", "512", *ONE_THREAD)
    with serving(tiny_model.parent, *flags, log_path=tmp_path / "server.log") as server:
        with server.client() as client:
            for _ in range(3):
                client.chat.completions.create(model="tiny", messages=HELLO, max_tokens=4)
        assert server.metric("llamad_generation_tokens_total") == 3 * 4
        assert server.metric("llamad_request_success_total", finished_reason="length") == 3
        assert server.metric("llamad_time_to_first_token_seconds_count") == 3


async def stream_of(client: AsyncOpenAI) -> AsyncIterator[Any]:
    stream = await client.chat.completions.create(
        model="endless", messages=HELLO, stream=True, extra_body={"ignore_eos": True}
    )
    return aiter(stream)


def test_a_saturated_server_is_told_of(endless_model: Path, tmp_path: Path) -> None:
    """All slots busy, the queue full, and clients that are turned away."""

    async def saturate(server: ServerProcess) -> None:
        async with server.async_client() as client:
            running = await stream_of(client)
            await anext(running)
            waiting = [asyncio.create_task(stream_of(client)) for _ in range(2)]
            await asyncio.to_thread(
                server.wait_for_metric, "llamad_num_requests_waiting", lambda count: count == 2
            )
            with pytest.raises(openai.RateLimitError):
                await stream_of(client)
            await asyncio.to_thread(look_around, server)
            await anext(running)  # it goes on
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    flags = ("--n-parallel", "1", "--max-queue", "2", "--n-ctx", str(ENDLESS_N_CTX), *ONE_THREAD)
    with serving(endless_model.parent, *flags, "--lameduck", "0", log_path=tmp_path / "log") as server:
        asyncio.run(saturate(server))
        wait_until(lambda: server.metric("llamad_num_requests_running") == 0, "the clients have gone")
        assert server.metric("llamad_request_success_total", finished_reason="abort") >= 1


def look_around(server: ServerProcess) -> None:
    assert server.metric("llamad_requests_rejected_total") == 1
    assert server.metric("llamad_num_requests_running") == 1
    assert server.metric("llamad_kv_cells_used") > 0
    (model,) = json.loads(get(f"{server.monitor_url}/debug/slots")[1])["models"]
    (slot,) = model["slots"]
    assert (slot["state"], model["waiting"]) == ("decode", 2)
    assert slot["n_generated"] > 0
    assert slot["age_s"] > 0
    assert isinstance(slot["request_id"], int)
    wait_until(lambda: moved_on(server, slot["n_generated"]), "the slot shows how its request goes on")
    for root in (server.url, server.monitor_url):
        assert get(f"{root}/healthz")[0] == 200


def moved_on(server: ServerProcess, n_generated: int) -> bool:
    (model,) = json.loads(get(f"{server.monitor_url}/debug/slots")[1])["models"]
    return bool(model["slots"][0]["n_generated"] > n_generated)
