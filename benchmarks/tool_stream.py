"""What a long streamed answer costs while tools are offered: `python -m benchmarks.tool_stream`.

Each server streams one answer of 4,000 tokens from the nano model, with a tool offered and without, and its
CPU time is read after every 500 tokens. The model's attention costs more with every token; what the tools
cost is the difference between the two runs. It should not grow: a server that parses its whole text again
for each token pays more at the end than at the start.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import httpx

from benchmarks import build_peers, servers
from benchmarks.build_peers import LLAMA_SERVER
from benchmarks.models import model_path
from benchmarks.targets import SUBJECT
from benchmarks.workloads import Workload

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKENS, STEP = 4000, 500
_N_SPECIAL = 17
"""The tokens of SmolLM2's vocabulary, which the model has, that stand for no text: any may end an answer."""

_TIMEOUT_S = 300.0

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}

TEMPLATE = """\
{%- if tools %}<|im_start|>system
You may call one of these functions:
<tools>
{%- for tool in tools %}
{{ tool | tojson }}
{%- endfor %}
</tools>
To call one, answer with its name and arguments:
<tool_call>
{"name": "...", "arguments": {...}}
</tool_call><|im_end|>
{% endif %}
{%- for message in messages %}<|im_start|>{{ message.role }}
{% if message.content %}{{ message.content }}{% endif %}
{%- for call in message.tool_calls or [] %}
<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>
{%- endfor %}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
"""How many models are told of tools; the nano model's own template knows none. Both servers are given it."""


def cpu_us_per_token(server: servers.Server, body: dict[str, Any]) -> list[float]:
    """Stream an answer; return the server's CPU time per token, for each step of tokens."""
    marks: list[float] = []
    begun, counted = server.cpu_seconds(), 0
    for tokens in _token_counts(server.port, body):
        if tokens >= STEP * (len(marks) + 1):
            now = server.cpu_seconds()
            marks.append((now - begun) * 1e6 / (tokens - counted))
            begun, counted = now, tokens
    return marks


def _token_counts(port: int, body: dict[str, Any]) -> Iterator[int]:
    """How many tokens the answer has by each chunk, as the chunks tell: text may carry several or none."""
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    with (
        httpx.Client(timeout=_TIMEOUT_S, trust_env=False) as client,
        client.stream("POST", url, json=body) as response,
    ):
        if response.is_error:
            raise RuntimeError(f"{response.status_code} {response.read().decode()[:500]}")
        for line in response.iter_lines():
            if not line.startswith("data: {"):
                continue
            chunk = json.loads(line.removeprefix("data: "))
            if "timings" in chunk:
                yield chunk["timings"]["predicted_n"]
            elif chunk.get("usage"):
                yield chunk["usage"]["completion_tokens"]


def request(program: str, model: str, *, tools: bool) -> dict[str, Any]:
    """The body of a request for so many tokens, each server told in its own way to count them."""
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": "user", "content": "Write a long story about a harbor."}],
        "max_tokens": TOKENS,
        # Not `ignore_eos`: after a tool call llamad has nothing to ignore, and says so.
        "logit_bias": dict.fromkeys(map(str, range(_N_SPECIAL)), -100),
        "temperature": 0.8,
        "seed": 1,
        "stream": True,
    }
    if program == SUBJECT:
        body["chat_template"] = TEMPLATE
        body["stream_options"] = {"include_usage": True, "continuous_usage_stats": True}
    else:
        body["timings_per_token"] = True
    if tools:
        body["tools"] = [TOOL]
    return body


def measure(launch: servers.Launch, model: str, rounds: int, log_path: Path) -> dict[bool, list[float]]:
    """Return the medians over the rounds, with tools (True) and without."""
    curves: dict[bool, list[list[float]]] = {True: [], False: []}
    with servers.Server(launch, log_path) as server:
        for tools in (True, False):
            cpu_us_per_token(server, request(launch.name, model, tools=tools) | {"max_tokens": STEP})
        for _ in range(rounds):
            for tools, found in curves.items():
                found.append(cpu_us_per_token(server, request(launch.name, model, tools=tools)))
    return {tools: [median(step) for step in zip(*found, strict=True)] for tools, found in curves.items()}


def _table(results: dict[str, dict[bool, list[float]]]) -> str:
    ends = range(STEP, TOKENS + 1, STEP)
    lines = [
        f"| CPU µs per token, tokens up to | {' | '.join(f'{end:,}' for end in ends)} |",
        f"| --- |{' --: |' * len(ends)}",
    ]
    for program, curves in results.items():
        cost = [with_tools - plain for with_tools, plain in zip(curves[True], curves[False], strict=True)]
        for name, curve in (("tools", curves[True]), ("no tools", curves[False]), ("**difference**", cost)):
            lines.append(f"| {program}, {name} | {' | '.join(f'{value:,.0f}' for value in curve)} |")
    return "\n".join(lines)


def main() -> int:
    """Run both servers and print their curves."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tool_stream", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="answers of each kind (default: %(default)s)")
    parser.add_argument("--peers", type=Path, metavar="DIRECTORY", help="use the llama-server in it")
    parser.add_argument("--program", choices=(SUBJECT, LLAMA_SERVER), help="run one only (default: both)")
    arguments = parser.parse_args()
    model = model_path("nano")
    load = Workload("tools", "nano", 1, 1, prompt_words=0, max_tokens=TOKENS, n_ctx=TOKENS + 512, threads=1)
    results = {}
    with tempfile.TemporaryDirectory(prefix="llamad-bench-") as logs:
        if arguments.program != SUBJECT:
            peers: Path = arguments.peers or build_peers.build()
            template = Path(logs, "template.jinja")
            template.write_text(TEMPLATE)
            launch = servers.llama_server(peers / LLAMA_SERVER, model, load)
            launch.command.extend(["--jinja", "--chat-template-file", str(template)])
            results[LLAMA_SERVER] = measure(launch, model.stem, arguments.rounds, Path(logs, "peer"))
        if arguments.program != LLAMA_SERVER:
            launch = servers.llamad(model, load)
            launch.command.append("--trust-request-chat-template")
            results[SUBJECT] = measure(launch, model.stem, arguments.rounds, Path(logs, "llamad"))
    print(_table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
