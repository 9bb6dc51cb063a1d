"""schemathesis against the OpenAPI document: what is sent is drawn from the schema, and from its edges."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.python.support.server_process import ONE_THREAD, get, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.python.support.server_process import ServerProcess

pytestmark = pytest.mark.timeout(300)

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)
MAX_EXAMPLES = 25
"""Random requests for each operation; those at the edges of each field, a few thousand, come on top."""

TIMEOUT_S = 240


@pytest.fixture(scope="module")
def tiny_server(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A model so small that a request which is valid by chance costs nothing."""
    log_path = tmp_path_factory.mktemp("log") / "server.log"
    flags = ("--n-ctx", "64", "--n-parallel", "8", "--preload-model", "tiny", *ONE_THREAD)
    with serving(tiny_model.parent, *flags, log_path=log_path) as server:
        yield server


def write_document(server: ServerProcess, path: Path) -> None:
    """Write the server's OpenAPI document, its models narrowed to the one there is: others are all 404."""
    status, text = get(f"{server.url}/openapi.json")
    assert status == 200
    document = json.loads(text)
    for operations in document["paths"].values():
        body = operations.get("post", {}).get("requestBody")
        if body is not None:
            properties = body["content"]["application/json"]["schema"]["properties"]
            properties["model"] = {"type": "string", "enum": ["tiny"]}
    path.write_text(json.dumps(document))


def test_every_answer_is_documented(tiny_server: ServerProcess, tmp_path: Path) -> None:
    document = tmp_path / "openapi.json"
    write_document(tiny_server, document)
    command = [str(Path(sys.executable).with_name("schemathesis")), "run", str(document)]
    command += ["--url", tiny_server.url, "--checks", ",".join(CHECKS)]
    command += ["--phases", "examples,coverage,fuzzing", "--max-examples", str(MAX_EXAMPLES), "--seed", "1"]
    command += ["--no-shrink", "--request-timeout", "30", "--generation-database", "none"]
    command += ["--no-color", "--warnings", "off"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == 0, f"{done.stdout[-8000:]}\n{done.stderr[-2000:]}\n{tiny_server.log[-2000:]}"
    for path in ("/v1/chat/completions", "/v1/completions", "/tokenize"):
        assert re.search(rf"method=POST path={path} status=200 \S+ model=tiny", tiny_server.log), path
    tiny_server.wait_until_idle()
