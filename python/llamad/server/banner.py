"""What the server says when it starts."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ..models.entries import ModelEntry

_MOST_LISTED = 20


def text(
    directory: Path, entries: Sequence[ModelEntry], url: str, monitor_url: str | None, *, keyed: bool
) -> str:
    """Return the lines: what is served, where, and a command to try it, with a key where that is asked for.

    The line "llamad: listening on URL" is for programs too.
    """
    count = "1 model" if len(entries) == 1 else f"{len(entries)} models"
    lines = [f"llamad: serving {count} from {directory}"]
    lines += [f"  {entry.id}  ({entry.size_bytes / 2**20:.0f} MiB)" for entry in entries[:_MOST_LISTED]]
    if len(entries) > _MOST_LISTED:
        lines.append(f"  and {len(entries) - _MOST_LISTED} more; see {url}/v1/models")
    if monitor_url is not None:
        lines.append(f"llamad: monitoring on {monitor_url} (/healthz, /readyz, /metrics)")
    lines.append(f"llamad: listening on {url}")
    chatty = [one.id for one in entries if one.metadata is not None and one.metadata.kind == "generate"]
    if chatty:
        lines += ["try it:", f"  {_curl(url, chatty[0], keyed=keyed)}"]
    return "\n".join(lines)


def _curl(url: str, model: str, *, keyed: bool) -> str:
    messages = [{"role": "user", "content": "What is a slot?"}]
    body = json.dumps({"model": model, "messages": messages, "stream": True})
    key = '-H "Authorization: Bearer $LLAMAD_API_KEY" ' if keyed else ""
    return (
        f"curl -N {shlex.quote(url + '/v1/chat/completions')} "
        f"{key}-H 'content-type: application/json' -d {shlex.quote(body)}"
    )
