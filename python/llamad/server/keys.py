"""API keys: who they belong to, and what they may do.

Of a key only its digest is kept, so nothing here can show one.
"""

from __future__ import annotations

import hashlib
import hmac
import tomllib
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from ..errors import SettingsError
from ..settings import kinds
from ..settings.sources import suggest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from ..settings import Settings
    from ..settings.kinds import Kind

ADMIN_NAME = "admin"
"""What the key of `--admin-key` is called."""


@dataclass(frozen=True, slots=True)
class Key:
    """One API key.

    Attributes:
        name: for logs and the queue; no secret.
        digest: SHA-256 of the key.
        admin: whether it may load and unload models and look inside the process.
        models: patterns of the model ids and aliases that it may use, as the shell's: `*`, `?`, `[…]`.
        max_requests: how many requests it may have at once; 0 is no limit.
        tokens_per_minute: how many tokens, read and generated, it may use in a minute; 0 is no limit.
    """

    name: str
    digest: bytes = field(repr=False)
    admin: bool = False
    models: tuple[str, ...] = ("*",)
    max_requests: int = 0
    tokens_per_minute: int = 0

    @property
    def unrestricted(self) -> bool:
        """Whether it may use every model, whatever its name."""
        return "*" in self.models

    def may_use(self, names: Iterable[str]) -> bool:
        """Say whether it may use the model that has these names."""
        return any(fnmatchcase(name, pattern) for name in names for pattern in self.models)


class Keys:
    """The keys of one server; false where there are none and nobody is asked for one.

    Args:
        keys: with different names and digests.
    """

    def __init__(self, keys: Iterable[Key] = ()) -> None:
        self._keys = tuple(keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[Key]:
        return iter(self._keys)

    def find(self, secret: bytes) -> Key | None:
        """Return the key that this is, in a time that does not tell how near it came to any."""
        digest = hashlib.sha256(secret).digest()
        found = None
        for key in self._keys:
            if hmac.compare_digest(digest, key.digest):
                found = key
        return found


def load_keys(settings: Settings) -> Keys:
    """Return the keys that the settings give and name.

    Raises:
        SettingsError: the file of keys cannot be read or is not right, or two keys are the same. No
            message shows a key.
    """
    keys = [_plain(f"key-{number}", key) for number, key in enumerate(settings.api_key, 1)]
    if settings.admin_key:
        keys.append(Key(ADMIN_NAME, _digest(settings.admin_key), admin=True))
    if settings.api_key_file is not None:
        keys += _from_file(settings.api_key_file)
    names: dict[str, Key] = {}
    digests: dict[bytes, Key] = {}
    for key in keys:
        if key.name in names:
            raise SettingsError(f"there are two API keys named {key.name!r}")
        if key.digest in digests:
            raise SettingsError(f"the API keys {digests[key.digest].name!r} and {key.name!r} are the same")
        names[key.name] = digests[key.digest] = key
    return Keys(keys)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _plain(name: str, secret: str) -> Key:
    return Key(name, _digest(secret))


def _from_file(path: Path) -> list[Key]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"cannot read the file of API keys {str(path)!r}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: not UTF-8") from None
    keys = _from_toml(path, text) if path.suffix == ".toml" else _from_lines(path, text)
    if not keys:  # whoever names a file wants keys to be asked for
        raise SettingsError(f"{path}: holds no key")
    return keys


def _from_lines(path: Path, text: str) -> list[Key]:
    keys = []
    for number, line in enumerate(text.splitlines(), 1):
        secret = line.strip()
        if secret and not secret.startswith("#"):
            _check(_SECRET, secret, f"{path}: line {number}")
            keys.append(_plain(f"{path.stem}-{number}", secret))
    return keys


def _hexadecimal() -> Kind:
    def check(value: object) -> bytes:
        if not isinstance(value, str) or len(digest := bytes.fromhex(value)) != hashlib.sha256().digest_size:
            raise ValueError
        return digest

    return kinds.Kind("HEX", "64 hexadecimal digits", str, check, secret=True)


_SECRET = kinds.secret(header=True)
_FIELDS: Mapping[str, Kind] = {
    "key": _SECRET,
    "sha256": _hexadecimal(),
    "admin": kinds.switch(),
    "models": kinds.names(),
    "max_requests": kinds.integer(0),
    "tokens_per_minute": kinds.integer(0),
}


def _from_toml(path: Path, text: str) -> list[Key]:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: not a TOML file: {error}") from None
    keys = []
    for name, table in document.items():
        if not isinstance(table, dict):
            raise SettingsError(f"{path}: {name!r} is no table; a key is [NAME] with key = … below it")
        if not (name.isascii() and name.isprintable() and " " not in name and 0 < len(name) <= _LONGEST_NAME):
            raise SettingsError(
                f"{path}: the name {name[:_LONGEST_NAME]!r} is not visible ASCII without blanks"
            )
        keys.append(_from_table(f"{path}: [{name}]", name, table))
    return keys


_LONGEST_NAME = 64


def _from_table(where: str, name: str, table: dict[str, Any]) -> Key:
    for entry in table:
        if entry not in _FIELDS:
            raise SettingsError(f"{where}: unknown key {entry!r}{suggest(entry, _FIELDS)}")
    values = {entry: _check(_FIELDS[entry], value, f"{where} {entry}") for entry, value in table.items()}
    secret, digest = values.pop("key", ""), values.pop("sha256", None)
    if bool(secret) == bool(digest):
        raise SettingsError(f"{where}: needs either key or sha256")
    return Key(name, digest or _digest(secret), **values)


def _check(kind: Kind, value: object, where: str) -> Any:
    try:
        return kind.check(value)
    except (TypeError, ValueError):
        shown = "" if kind.secret else f" = {value!r}"
        raise SettingsError(f"{where}{shown}: expected {kind.expected}") from None
