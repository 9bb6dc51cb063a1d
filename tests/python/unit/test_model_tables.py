"""Tables of single models: what they say, and how they say what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest
from llamad.errors import SettingsError
from llamad.models.tables import RELOADABLE, read_tables
from llamad.settings import OPTIONS, Settings
from llamad.settings.sources import load_settings


def read(directory: Path, text: str) -> Settings:
    (directory / "models.toml").write_text(text)
    return Settings(model_directory=directory)


def failure(directory: Path, text: str) -> str:
    with pytest.raises(SettingsError) as caught:
        read_tables(read(directory, text))
    message = str(caught.value)
    assert "\n" not in message
    assert str(directory / "models.toml") in message
    return message


def test_no_file_no_tables(tmp_path: Path) -> None:
    assert read_tables(Settings(model_directory=tmp_path)) == {}


def test_everything_that_a_table_can_say(tmp_path: Path) -> None:
    (tmp_path / "t.jinja").write_text("{{ messages }}")
    settings = read(
        tmp_path,
        """
        [models."qwen"]
        file = "sub/qwen3.gguf"
        aliases = ["gpt-4o", "small"]
        pinned = true
        preload = true
        n_ctx = 4096
        n_parallel = 2
        n_gpu_layers = 10
        cache_type_k = "q8_0"
        keep_alive = "5m"
        chat_template_file = "t.jinja"
        lora_adapters = ["a.gguf", { path = "/b.gguf", scale = 0.5 }]

        [models."qwen".sampling]
        temperature = 0.6
        stop = ["END"]
        """,
    )
    (table,) = read_tables(settings).values()
    assert (table.name, table.file) == ("qwen", tmp_path / "sub/qwen3.gguf")
    assert table.aliases == ("gpt-4o", "small")
    assert (table.pinned, table.preload) == (True, True)
    assert table.chat_template == "{{ messages }}"
    assert table.lora_adapters == ((tmp_path / "a.gguf", 1.0), (Path("/b.gguf"), 0.5))
    assert table.sampling == {"temperature": 0.6, "stop": ["END"]}
    own = table.over(settings)
    assert (own.n_ctx, own.n_parallel, own.n_gpu_layers) == (4096, 2, 10)
    assert (own.cache_type_k, own.keep_alive) == ("q8_0", 300)
    assert own.n_batch == settings.n_batch


def test_inline_template(tmp_path: Path) -> None:
    tables = read_tables(read(tmp_path, "[models.a]\nchat_template = '{{ x }}'"))
    assert tables["a"].chat_template == "{{ x }}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[models.a]\nn_ctxx = 1", "[models.\"a\"]: unknown key 'n_ctxx'; did you mean n_ctx?"),
        ("[models.a]\nn_ctx = 'x'", "[models.\"a\"] n_ctx = 'x': expected an integer"),
        ("[models.a]\npinned = 1", '[models."a"] pinned = 1: expected true or false'),
        ("[models.a]\naliases = 'x'", "[models.\"a\"] aliases = 'x': expected a list of names"),
        ("[models.a]\nkeep_alive = 'x'", "keep_alive = 'x': expected a number of seconds, or a time"),
        ("[models.a.sampling]\ntemperatur = 1", "unknown key 'temperatur'; did you mean temperature?"),
        ("[models.a.sampling]\ntemperature = -1", '[models."a".sampling]: temperature'),
        ("[models.a.sampling]\ngrammar = 'x'", "unknown key 'grammar'"),
        ("[models.a]\nsampling = 1", '[models."a".sampling]: expected a table'),
        ("[models.a]\nchat_template_file = 'no'", "chat_template_file: cannot read"),
        ("[models.a]\nchat_template = 'x'\nchat_template_file = 'no'", "exclude each other"),
        ("[models.a]\nlora_adapters = 'x'", "lora_adapters = 'x': expected a list of paths"),
        ("[models.a]\nlora_adapters = [{ path = 'x', scal = 1 }]", "expected a path or { path"),
        ("[models.a]\nlora_adapters = [{ path = 'x', scale = '1' }]", "expected a path or { path"),
        ("[models]\na = 1", '[models."a"]: expected a table'),
        ("models = 1", 'models: expected tables [models."NAME"]'),
        ("[model.a]\n", "unknown key 'model'; did you mean models?"),
        ("[models.a]\naliases = ['b']\n[models.b]", "'b' is the name of"),
        ("[models.a]\naliases = ['x']\n[models.b]\naliases = ['x']", "'x' is the name of"),
        ("[models.a", "not a TOML file"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in failure(tmp_path, text)


def test_tables_of_the_configuration_file_and_of_others_add_up(tmp_path: Path) -> None:
    config, more = tmp_path / "llamad.toml", tmp_path / "more.toml"
    config.write_text(f'model_directory = "{tmp_path}"\nn_ctx = 512\n[models.a]\nn_parallel = 1\n')
    more.write_text("[models.b]\n")
    (tmp_path / "models.toml").write_text("[models.c]\n")
    settings = load_settings({"models_config": [str(more)]}, {}, str(config))
    assert settings.models_config == (config, more)
    tables = read_tables(settings)
    assert list(tables) == ["a", "b", "c"]
    assert tables["a"].over(settings).n_ctx == 512
    assert tables["a"].over(settings).n_parallel == 1

    more.write_text("[models.a]\n")
    with pytest.raises(SettingsError, match=r"more\.toml: .*'a' is the name of .*llamad\.toml"):
        read_tables(settings)


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"cannot read .*absent\.toml"):
        read_tables(Settings(model_directory=tmp_path, models_config=(tmp_path / "absent.toml",)))


def test_what_can_be_reloaded_are_settings() -> None:
    assert set(OPTIONS) >= RELOADABLE
