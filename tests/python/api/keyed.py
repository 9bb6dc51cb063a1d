"""Servers that ask for keys, and requests that bring one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llamad.settings import Settings

from .harness import CHAT, Served, chat_body

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

SECRET = "sk-do-not-tell-anybody"
KEYED = Settings(api_key=(SECRET, "sk-other"))


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


def keys_in(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "keys.toml"
    path.write_text(text)
    return Settings(api_key_file=path)


async def ask(served: Served, secret: str, **fields: Any) -> httpx.Response:
    return await served.client.post(CHAT, json=chat_body(**fields), headers=bearer(secret))
