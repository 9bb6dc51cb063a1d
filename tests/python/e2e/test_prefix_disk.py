"""`prefix_cache_dir`: computed prefixes that outlive the process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from llamad import Engine, ParameterError

from tests.python.support.server_process import wait_until
from tests.python.support.tiny_gguf import TinyModel, write_tiny_model

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(120)

PROMPT = "count the story of one world and two " * 6


def load(model: Path, directory: Path, **options: Any) -> Engine:
    defaults: dict[str, Any] = {"n_parallel": 1, "n_ctx": 512, "n_threads": 1, "prefix_cache_mib": 16}
    return Engine(model, prefix_cache_dir=str(directory), **(defaults | options))


def cached_tokens(engine: Engine) -> int:
    return engine.generate(PROMPT, max_tokens=4, temperature=0).usage.cached_tokens


def files(directory: Path) -> list[Path]:
    return sorted(directory.rglob("*.kv"))


def wait_for_entries(engine: Engine, count: int) -> None:
    wait_until(lambda: engine.stats()["prefix_cache_entries"] == count, f"{count} states are found")


def test_each_model_and_each_way_to_load_it_has_states_of_its_own(tiny_model: Path, tmp_path: Path) -> None:
    other_model = write_tiny_model(tmp_path / "other.gguf", TinyModel(seed=2))
    cache = tmp_path / "cache"
    loads: list[tuple[Path, dict[str, Any]]] = [
        (tiny_model, {}),
        (other_model, {}),
        (tiny_model, {"cache_type_k": "f32"}),
        (tiny_model, {"rope_freq_base": 20_000.0}),
    ]
    for model, options in loads:
        with load(model, cache, **options) as engine:
            assert cached_tokens(engine) == 0
    assert len(files(cache)) == len({path.parent for path in files(cache)}) == len(loads)
    for model, options in loads:
        with load(model, cache, **options) as engine:
            wait_for_entries(engine, 1)
            n_cached = cached_tokens(engine)
            assert n_cached == engine.stats()["restored_tokens"] == len(engine.tokenize(PROMPT)) - 1


def test_a_model_may_be_moved(tiny_model: Path, tmp_path: Path) -> None:
    with load(tiny_model, tmp_path / "cache") as engine:
        cached_tokens(engine)
    moved = tmp_path / "moved.gguf"
    moved.write_bytes(tiny_model.read_bytes())
    with load(moved, tmp_path / "cache") as engine:
        wait_for_entries(engine, 1)
        assert cached_tokens(engine) > 0


def test_a_damaged_file_is_removed_and_the_prompt_computed(tiny_model: Path, tmp_path: Path) -> None:
    with load(tiny_model, tmp_path) as engine:
        cached_tokens(engine)
    (path,) = files(tmp_path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with load(tiny_model, tmp_path) as engine:
        wait_for_entries(engine, 1)
        assert cached_tokens(engine) == 0
        assert path not in files(tmp_path)


def test_what_users_wrote_is_for_this_user_alone(tiny_model: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with load(tiny_model, cache) as engine:
        cached_tokens(engine)
    (path,) = files(cache)
    assert [file.stat().st_mode & 0o777 for file in (cache, path.parent, path)] == [0o700, 0o700, 0o600]


def test_a_directory_that_cannot_be_made(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ParameterError, match="prefix_cache_dir"):
        load(tiny_model, tmp_path / "file" / "cache")
