"""The official JavaScript client. Skipped where Node.js is missing; nothing of llamad's needs it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .documented import snippets
from .questions import MODEL

if TYPE_CHECKING:
    from tests.python.support.server_process import ServerProcess

pytestmark = pytest.mark.timeout(300)

HERE = Path(__file__).resolve().parent / "js"
WORKSPACE = HERE.parents[3] / "build" / "clients-js"
"""Where npm puts its packages. Node looks for them beside the script, so scripts are copied there."""

NPM_TIMEOUT_S = 240
NODE_TIMEOUT_S = 240


@pytest.fixture(scope="module")
def workspace() -> Path:
    """A folder with the client installed, at the version of the lock file."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("Node.js with npm is not installed")
    lock = (HERE / "package-lock.json").read_bytes()
    installed = WORKSPACE / "installed-lock.json"
    if not installed.exists() or installed.read_bytes() != lock:
        WORKSPACE.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, WORKSPACE)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        subprocess.run(command, cwd=WORKSPACE, check=True, timeout=NPM_TIMEOUT_S)
        installed.write_bytes(lock)
    return WORKSPACE


def run_script(workspace: Path, name: str, code: str, *arguments: str) -> str:
    """Return what a script prints."""
    (workspace / name).write_text(code)
    done = subprocess.run(
        ["node", name, *arguments],
        cwd=workspace,
        capture_output=True,
        text=True,
        timeout=NODE_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def outcomes(workspace: Path, server: ServerProcess) -> dict[str, Any]:
    """What each case of cases.mjs came to."""
    code = (HERE / "cases.mjs").read_text()
    lines = run_script(workspace, "cases.mjs", code, f"{server.url}/v1", MODEL).splitlines()
    return {outcome.pop("case"): outcome for outcome in map(json.loads, lines)}


def test_the_documented_snippet_runs(workspace: Path, server: ServerProcess) -> None:
    (code,) = snippets("openai, JavaScript", "javascript", server.url)
    assert "Tokyo" in run_script(workspace, "snippet.mjs", code)


def test_streamed_equals_whole(outcomes: dict[str, Any]) -> None:
    whole, streamed = outcomes["whole"], outcomes["streamed"]
    assert "Tokyo" in whole["text"]
    assert streamed["text"] == whole["text"]
    assert streamed["finish_reason"] == whole["finish_reason"] == "stop"
    assert streamed["usage"]["completion_tokens"] == whole["usage"]["completion_tokens"]
    assert streamed["pieces"] > 1


def test_structured(outcomes: dict[str, Any]) -> None:
    structured = outcomes["structured"]
    assert structured["capital"] in {"Tokyo", "Kyoto"}
    assert isinstance(structured["sure"], bool)


@pytest.mark.parametrize("case", ["tool", "streamed_tool"])
def test_a_forced_tool_is_called(outcomes: dict[str, Any], case: str) -> None:
    assert outcomes[case]["name"] == "get_weather"
    assert outcomes[case]["arguments"]["city"] in {"Paris", "Tokyo"}


def test_finish_reason_of_a_tool_call(outcomes: dict[str, Any]) -> None:
    assert outcomes["tool"]["finish_reason"] == "tool_calls"
    assert outcomes["streamed_tool"]["id"].startswith("call_")


def test_completion(outcomes: dict[str, Any]) -> None:
    assert "Paris" in outcomes["completion"]["text"]


def test_models(outcomes: dict[str, Any]) -> None:
    assert MODEL in outcomes["models"]["ids"]
    assert outcomes["models"]["retrieved"] == MODEL


def test_errors_become_the_client_s_own(outcomes: dict[str, Any]) -> None:
    bad, missing = outcomes["errors"]["bad"], outcomes["errors"]["missing"]
    assert bad == {"class": "BadRequestError", "status": 400, "param": "temperature"}
    assert missing == {"class": "NotFoundError", "status": 404, "param": "model"}


def test_a_timeout_and_a_broken_loop_free_their_slots(
    outcomes: dict[str, Any], server: ServerProcess
) -> None:
    assert outcomes["timeout"]["class"] == "APIConnectionTimeoutError"
    assert outcomes["aborted"]["chunks"] == 3
    server.wait_until_idle()
