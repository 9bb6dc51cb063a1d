"""What of the settings reaches the engine."""

from __future__ import annotations

import dataclasses
from typing import Any, cast

from llamad.options import EngineOptions
from llamad.settings import OPTIONS, Settings
from llamad.settings.options import engine_options
from llamad.settings.sources import load_settings

OTHER_NAMES = {
    "threads": "n_threads",
    "threads_batch": "n_threads_batch",
    "queue_timeout": "queue_timeout_s",
    "request_timeout": "request_timeout_s",
}
"""Settings that the engine knows by another name."""

OF_THE_SERVER = {
    "model_directory",
    "preload_model",
    "load_timeout",
    "memory_budget",
    "keep_alive",
    "models_config",
    "host",
    "port",
    "monitor_host",
    "monitor_port",
    "ssl_certfile",
    "ssl_keyfile",
    "ssl_keyfile_password",
    "max_connections",
    "header_timeout",
    "max_header_kib",
    "api_key",
    "api_key_file",
    "admin_key",
    "cors_origin",
    "allowed_host",
    "max_body_mib",
    "max_unread_kib",
    "read_timeout",
    "write_timeout",
    "stall_timeout",
    "lameduck",
    "trust_request_chat_template",
    "log_level",
    "log_format",
    "allocator",
}


def test_every_other_setting_reaches_the_engine() -> None:
    marks = {name: object() for name in OPTIONS if name not in OF_THE_SERVER}
    settings = dataclasses.replace(Settings(), **cast("dict[str, Any]", marks))
    options = engine_options(settings)
    expected: dict[str, object] = {OTHER_NAMES.get(name, name): mark for name, mark in marks.items()}
    assert options == expected | {"prefix_cache_dir": str(marks["prefix_cache_dir"])}
    assert set(options) <= set(EngineOptions.__annotations__)


def test_no_prefix_cache_directory_is_the_empty_string_to_the_engine() -> None:
    assert engine_options(Settings())["prefix_cache_dir"] == ""
    assert load_settings({"prefix_cache_dir": ""}, {}).prefix_cache_dir is None
