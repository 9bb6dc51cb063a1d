"""What the server says when it starts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from llamad.models.entries import ModelEntry
from llamad.models.metadata import ModelMetadata
from llamad.server import banner

if TYPE_CHECKING:
    from llamad.models.metadata import ModelKind


def entry(name: str, kind: ModelKind | None) -> ModelEntry:
    metadata = None
    if kind is not None:
        metadata = ModelMetadata("llama", name, 1, "F16", 64, 16, "none", kind, has_chat_template=True)
    return ModelEntry(name, Path(f"{name}.gguf"), 1 << 20, 0, "unloaded", metadata)


def shown(*entries: ModelEntry) -> str:
    return banner.text(Path("models"), entries, "http://127.0.0.1:1", None, keyed=False)


def test_the_command_to_try_asks_a_model_that_can_answer() -> None:
    text = shown(entry("broken", None), entry("embeds", "embed"), entry("talks", "generate"))
    assert text.splitlines()[:2] == ["llamad: serving 3 models from models", "  broken  (1 MiB)"]
    assert '"model": "talks"' in text
    assert "try it" not in shown(entry("broken", None), entry("embeds", "embed"))


def test_long_lists_are_cut() -> None:
    text = shown(*(entry(f"m{i}", "embed") for i in range(25)))
    assert "  and 5 more; see http://127.0.0.1:1/v1/models" in text.splitlines()
