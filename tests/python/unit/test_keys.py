"""Where API keys come from, and that nothing ever shows one."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from llamad.errors import SettingsError
from llamad.server.keys import Key, Keys, load_keys
from llamad.settings import OPTIONS, Settings
from llamad.settings.sources import load_settings

SECRET = "sk-do-not-tell-anybody"


def digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def keys_of(**settings: Any) -> list[Key]:
    return list(load_keys(Settings(**settings)))


def from_file(tmp_path: Path, text: str, name: str = "keys.toml") -> list[Key]:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return keys_of(api_key_file=path)


def failure(tmp_path: Path, text: str, name: str = "keys.toml") -> str:
    with pytest.raises(SettingsError) as caught:
        from_file(tmp_path, text, name)
    message = str(caught.value)
    assert SECRET not in message
    assert "\n" not in message
    return message


def test_no_keys_are_none() -> None:
    assert not load_keys(Settings())


def test_plain_keys_are_numbered_and_may_do_everything_but_administer() -> None:
    first, second = keys_of(api_key=("sk-a", "sk-b"))
    assert (first.name, second.name) == ("key-1", "key-2")
    assert first == Key("key-1", digest("sk-a"))
    assert not first.admin
    assert first.may_use(["anything"])


def test_the_admin_key() -> None:
    (key,) = keys_of(admin_key="sk-c")
    assert (key.name, key.admin) == ("admin", True)


def test_a_key_is_found_by_all_of_itself() -> None:
    keys = Keys([Key("a", digest("sk-a")), Key("b", digest("sk-b"))])
    for name in "ab":
        found = keys.find(f"sk-{name}".encode())
        assert found is not None
        assert found.name == name
    for wrong in (
        b"",
        b"sk-",
        b"sk-aa",
        b"SK-A",
        b"sk-a\0",
        b"\xff",
        digest("sk-a"),
        digest("sk-a").hex().encode(),
    ):
        assert keys.find(wrong) is None


def test_lines(tmp_path: Path) -> None:
    keys = from_file(tmp_path, "# the team\n\n  sk-a  \nsk-b\n", "team.keys")
    assert [(key.name, key.digest) for key in keys] == [
        ("team-3", digest("sk-a")),
        ("team-4", digest("sk-b")),
    ]


def test_toml(tmp_path: Path) -> None:
    text = f"""
        [alice]
        key = "sk-a"
        [batch]
        sha256 = "{digest("sk-b").hex()}"
        models = ["smollm2*", "tiny"]
        max_requests = 2
        tokens_per_minute = 30000
        [root]
        key = "sk-c"
        admin = true
    """
    alice, batch, root = from_file(tmp_path, text)
    assert alice == Key("alice", digest("sk-a"))
    assert batch == Key(
        "batch", digest("sk-b"), models=("smollm2*", "tiny"), max_requests=2, tokens_per_minute=30000
    )
    assert root == Key("root", digest("sk-c"), admin=True)


def test_models_by_pattern() -> None:
    key = Key("a", b"", models=("small*", "big-[12]"))
    assert key.may_use(["smallest"])
    assert key.may_use(["other", "big-1"])
    assert not key.may_use(["big-3"])
    assert not key.may_use(["SMALL"])
    assert not key.may_use([])
    assert not Key("b", b"", models=()).may_use(["small"])
    assert Key("c", b"").unrestricted
    assert not Key("d", b"", models=("?", "[*]", "**a")).unrestricted


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "holds no key"),
        ("[a]", "needs either key or sha256"),
        (f'[a]\nkey = "{SECRET}"\nsha256 = "{"0" * 64}"', "needs either key or sha256"),
        ('[a]\nkey = ""', "needs either key or sha256"),
        (f'[a]\nkey = "{SECRET} and more"', "[a] key: expected visible ASCII"),
        ("[a]\nkey = 5", "[a] key: expected visible ASCII"),
        (f'[a]\nsha256 = "{SECRET}"', "[a] sha256: expected 64 hexadecimal digits"),
        (f'[a]\nsha256 = "{"0" * 62}"', "[a] sha256: expected 64 hexadecimal digits"),
        (f'[a]\nkey = "{SECRET}"\nmax_request = 1', "unknown key 'max_request'; did you mean max_requests?"),
        (f'[a]\nkey = "{SECRET}"\nmax_requests = -1', "max_requests = -1: expected an integer"),
        (f'[a]\nkey = "{SECRET}"\nadmin = "yes"', "admin = 'yes': expected true or false"),
        (f'[a]\nkey = "{SECRET}"\nmodels = "tiny"', "models = 'tiny': expected a list of names"),
        (f'key = "{SECRET}"', "'key' is no table"),
        (f'["two words"]\nkey = "{SECRET}"', "the name 'two words' is not"),
        (f'[a]\nkey = "{SECRET}"\n[b]\nkey = "{SECRET}"', "'a' and 'b' are the same"),
        ("[a", "not a TOML file"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_without_its_secrets(
    tmp_path: Path, text: str, complaint: str
) -> None:
    assert complaint in failure(tmp_path, text)


def test_what_is_wrong_with_lines(tmp_path: Path) -> None:
    assert "line 2: expected visible ASCII" in failure(tmp_path, f"sk-a\n{SECRET} x\n", "keys")
    assert "holds no key" in failure(tmp_path, "\n# none\n", "keys")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"cannot read the file of API keys '.*gone': No such file"):
        keys_of(api_key_file=tmp_path / "gone")
    (tmp_path / "latin").write_bytes(b"sk-\xe9\n")
    with pytest.raises(SettingsError, match="latin: not UTF-8"):
        keys_of(api_key_file=tmp_path / "latin")


def test_two_sources_of_one_key() -> None:
    with pytest.raises(SettingsError, match="'key-1' and 'admin' are the same") as caught:
        keys_of(api_key=(SECRET,), admin_key=SECRET)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("name", [name for name, option in OPTIONS.items() if option.kind.secret])
def test_no_message_and_no_repr_shows_a_secret(name: str, tmp_path: Path) -> None:
    option = OPTIONS[name]
    bad = f"{SECRET}\0" if name == "ssl_keyfile_password" else f"{SECRET} {SECRET}"
    config = tmp_path / "llamad.toml"
    config.write_text(f'{name} = ["{SECRET}", 5]')
    sources: list[tuple[Any, Any, str | None]] = [
        ({name: [bad] if option.repeatable else bad}, {}, None),
        ({}, {option.variable: bad}, None),
        ({}, {}, str(config)),
    ]
    for flags, environ, file in sources:
        with pytest.raises(SettingsError) as caught:
            load_settings(flags, environ, file)
        assert SECRET not in str(caught.value)
    settings = load_settings({}, {option.variable: SECRET})
    assert getattr(settings, name) in {SECRET, (SECRET,)}
    assert SECRET not in repr(settings)
    assert SECRET not in repr(load_keys(settings))
    assert SECRET not in repr(list(load_keys(settings)))


def test_an_empty_variable_is_no_key() -> None:
    assert not load_keys(load_settings({}, {"LLAMAD_API_KEY": "", "LLAMAD_ADMIN_KEY": ""}))
