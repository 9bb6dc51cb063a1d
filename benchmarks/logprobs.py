"""Do llamad's log-probabilities agree with llama-server's? `python -m benchmarks.logprobs`.

Both get the same model and the same prompts, one at a time and eight at a time. Of generated tokens both
report the likeliest five; they are compared as long as both servers choose the same tokens. Of prompts
llama-server reports nothing, so it is asked for the next token after each beginning of the prompt.

Log-probabilities of the same model differ a little with the number of rows that are computed at once.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import httpx

from benchmarks import build_peers, servers
from benchmarks.build_peers import LLAMA_SERVER
from benchmarks.models import model_path
from benchmarks.workloads import Workload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

MEDIAN_LIMIT, MOST_LIMIT = 0.005, 0.1
"""Of the differences between two log-probabilities of a token."""

CLEAR_MARGIN = 0.2
"""By how much the likeliest token leads where both servers have to agree on it."""

SLOTS, TOP, NEW_TOKENS = 8, 5, 32
DEEP_TOP = 2000
"""How far down llama-server is asked for the prompt's own next token, which may be an unlikely one."""

_TIMEOUT_S = 120.0

PROMPTS = (
    "The capital of France is Paris, and the capital of Japan is Tokyo. The capital of Italy is",
    "Once upon a time there was a little girl who lived in a village near the forest. One day",
    "def fibonacci(n):\n    if n < 2:\n        return n\n    return",
    "Water boils at one hundred degrees Celsius at sea level, but on a high mountain it boils",
    "Dear Sir or Madam,\n\nI am writing to you about the chair that I ordered last week. It",
    "The three laws of thermodynamics say that energy is conserved, that entropy never",
    "1, 1, 2, 3, 5, 8, 13, 21,",
    "Die Hauptstadt von Deutschland ist Berlin. La capitale de la France est",
)


@dataclass(frozen=True, slots=True)
class Position:
    """What one server says of one position of a text.

    Attributes:
        token: the token that stands there.
        logprobs: of the tokens it tells of, the likeliest first.
    """

    token: str
    logprobs: dict[str, float]

    @property
    def likeliest(self) -> str:
        return max(self.logprobs, key=self.logprobs.__getitem__)

    @property
    def margin(self) -> float:
        """By how much the likeliest leads."""
        first, second = sorted(self.logprobs.values(), reverse=True)[:2]
        return first - second


@dataclass(frozen=True, slots=True)
class Agreement:
    """How two servers' positions compare.

    Attributes:
        differences: between the two log-probabilities of a token, for the likeliest five and the one that
            stands there.
        clear: positions where the peer's likeliest token has a clear margin.
        same_top: those of them where llamad's is the same.
    """

    differences: tuple[float, ...]
    clear: int
    same_top: int

    @property
    def holds(self) -> bool:
        return (
            median(self.differences) <= MEDIAN_LIMIT
            and max(self.differences) <= MOST_LIMIT
            and self.same_top == self.clear
        )


def agreement(pairs: Iterable[tuple[Position, Position]]) -> Agreement:
    """Compare positions: each pair is llamad's, then the peer's."""
    differences: list[float] = []
    clear = same_top = 0
    for ours, theirs in pairs:
        told = set(list(ours.logprobs)[:TOP]) | {ours.token}
        differences += [abs(ours.logprobs[one] - theirs.logprobs[one]) for one in told & set(theirs.logprobs)]
        if theirs.margin > CLEAR_MARGIN:
            clear += 1
            same_top += ours.likeliest == theirs.likeliest
    return Agreement(tuple(differences), clear, same_top)


def while_same(ours: Sequence[Position], theirs: Sequence[Position]) -> list[tuple[Position, Position]]:
    """Pair positions up to and with the first where the two texts part."""
    pairs = []
    for pair in zip(ours, theirs, strict=False):
        pairs.append(pair)
        if pair[0].token != pair[1].token:
            break
    return pairs


class Llamad:
    """llamad's answers."""

    def __init__(self, client: httpx.Client, model: str) -> None:
        self._client = client
        self._model = model

    def generated(self, prompt: str) -> list[Position]:
        """Generate greedily."""
        return self._positions(prompt, max_tokens=NEW_TOKENS, ignore_eos=True)

    def prompt(self, prompt: str) -> list[Position]:
        """Score all tokens of a prompt but the first, which nothing precedes."""
        return self._positions(prompt, max_tokens=0, echo=True)[1:]

    def _positions(self, prompt: str, **fields: Any) -> list[Position]:
        body = {"model": self._model, "prompt": prompt, "temperature": 0, "logprobs": TOP} | fields
        logprobs = _post(self._client, "/v1/completions", body)["choices"][0]["logprobs"]
        return [
            Position(token, (top or {}) | {token: own})
            for token, own, top in zip(
                logprobs["tokens"], logprobs["token_logprobs"], logprobs["top_logprobs"], strict=True
            )
        ]


class LlamaServer:
    """llama-server's answers."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def generated(self, prompt: str) -> list[Position]:
        """Generate greedily."""
        return self._positions(prompt, NEW_TOKENS, TOP)

    def prompt(self, prompt: str) -> list[Position]:
        """Ask for the token after each beginning of the prompt, computed anew each time."""
        ids = _post(self._client, "/tokenize", {"content": prompt, "add_special": True, "with_pieces": True})
        tokens = [token["id"] for token in ids["tokens"]]
        pieces = [token["piece"] for token in ids["tokens"]]
        positions = []
        for place in range(1, len(tokens)):
            (after,) = self._positions(tokens[:place], 1, DEEP_TOP)
            positions.append(Position(pieces[place], after.logprobs))
        return positions

    def _positions(self, prompt: str | list[int], n_predict: int, top: int) -> list[Position]:
        body = {"prompt": prompt, "n_predict": n_predict, "n_probs": top, "temperature": 0}
        body |= {"cache_prompt": False, "ignore_eos": n_predict > 1}
        told = _post(self._client, "/completion", body)["completion_probabilities"]
        positions = []
        for one in told:
            logprobs: dict[str, float] = {}
            for other in one["top_logprobs"]:
                logprobs.setdefault(other["token"], other["logprob"])  # of two that look alike the likelier
            positions.append(Position(one["token"], logprobs))
        return positions


def compare(ours: Llamad, theirs: LlamaServer, together: int) -> dict[str, Agreement]:
    """Compare all prompts, so many at a time."""

    def ask(score: Callable[[str], list[Position]]) -> list[list[Position]]:
        with ThreadPoolExecutor(together) as pool:
            return list(pool.map(score, PROMPTS))

    prompts = zip(ask(ours.prompt), ask(theirs.prompt), strict=True)
    generated = zip(ask(ours.generated), ask(theirs.generated), strict=True)
    return {
        "prompt": agreement(pair for texts in prompts for pair in zip(*texts, strict=True)),
        "generated": agreement(pair for texts in generated for pair in while_same(*texts)),
    }


def _post(client: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    response = client.post(path, json=body)
    if response.is_error:
        raise RuntimeError(f"{client.base_url}{path}: {response.status_code} {response.text[:500]}")
    answer: dict[str, Any] = response.json()
    return answer


def _table(results: dict[tuple[int, str], Agreement]) -> str:
    head = (
        f"| at a time | tokens | log-probabilities | median (≤ {MEDIAN_LIMIT}) | largest (≤ {MOST_LIMIT}) "
        f"| same top token, margin > {CLEAR_MARGIN} | met |"
    )
    lines = [head, "| --: | --- | --: | --: | --: | --: | --- |"]
    for (together, tokens), found in results.items():
        lines.append(
            f"| {together} | {tokens} | {len(found.differences)} | {median(found.differences):.5f} "
            f"| {max(found.differences):.5f} | {found.same_top} of {found.clear} "
            f"| {'yes' if found.holds else '**no**'} |"
        )
    return "\n".join(lines)


def main() -> int:
    """Run the comparison; the exit status says whether the servers agree."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.logprobs", description=__doc__)
    parser.add_argument("--peers", type=Path, metavar="DIRECTORY", help="use the llama-server in it")
    arguments = parser.parse_args()
    peers: Path = arguments.peers or build_peers.build()
    model = model_path("smollm2")
    load = Workload("logprobs", "smollm2", SLOTS, SLOTS, prompt_words=0, max_tokens=NEW_TOKENS, n_ctx=512)
    results = {}
    with (
        tempfile.TemporaryDirectory(prefix="llamad-bench-") as logs,
        servers.Server(servers.llamad(model, load), Path(logs, "llamad")) as llamad,
        servers.Server(servers.llama_server(peers / LLAMA_SERVER, model, load), Path(logs, "peer")) as peer,
        _client(llamad.port) as to_llamad,
        _client(peer.port) as to_peer,
    ):
        ours, theirs = Llamad(to_llamad, model.stem), LlamaServer(to_peer)
        for together in (1, SLOTS):
            for tokens, found in compare(ours, theirs, together).items():
                results[together, tokens] = found
    print(_table(results))
    return 0 if all(found.holds for found in results.values()) else 1


def _client(port: int) -> httpx.Client:
    return httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=_TIMEOUT_S, trust_env=False)


if __name__ == "__main__":
    sys.exit(main())
