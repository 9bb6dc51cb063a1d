"""The files that HTTPS needs: what is wrong with them is told in one line at the start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from llamad.errors import SettingsError
from llamad.server.gate import Gate
from llamad.server.tls import make_context
from llamad.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

PASSWORD = "do not tell anybody"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    for name in ("one", "two"):
        issued = authority.issue_cert("localhost")
        key = issued.private_key_pem.bytes()
        issued.cert_chain_pems[0].write_to_path(directory / f"{name}.pem")
        (directory / f"{name}.key").write_bytes(key)
        issued.private_key_and_cert_chain_pem.write_to_path(directory / f"{name}-both.pem")
        encrypted = load_pem_private_key(key, None).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSWORD.encode())
        )
        (directory / f"{name}-encrypted.key").write_bytes(encrypted)
    (directory / "text.pem").write_text("no certificate at all")
    (directory / "empty.pem").write_text("")
    return directory


def settings_of(files: Path, certificate: str, key: str | None, password: str = "") -> Settings:
    return Settings(
        ssl_certfile=files / certificate,
        ssl_keyfile=None if key is None else files / key,
        ssl_keyfile_password=password,
    )


@pytest.mark.parametrize(
    ("certificate", "key", "password"),
    [("one.pem", "one.key", ""), ("one-both.pem", None, ""), ("one.pem", "one-encrypted.key", PASSWORD)],
)
def test_files_that_fit(files: Path, certificate: str, key: str | None, password: str) -> None:
    assert make_context(settings_of(files, certificate, key, password)) is not None


def test_no_files_are_no_tls() -> None:
    assert make_context(Settings()) is None


@pytest.mark.parametrize(
    ("certificate", "key", "password", "complaint"),
    [
        ("gone.pem", "one.key", "", "cannot read ssl_certfile '"),
        ("one.pem", "gone.key", "", "cannot read ssl_keyfile '"),
        ("one.pem", ".", "", "Is a directory"),
        ("one.pem", "two.key", "", "the private key is not the certificate's"),
        ("one.pem", "one-encrypted.key", "", "encrypted, and ssl_keyfile_password is missing"),
        ("one.pem", "one-encrypted.key", PASSWORD + "!", "encrypted, and ssl_keyfile_password is wrong"),
        ("one.pem", None, "", "not a certificate chain and its private key in PEM"),
        ("one.key", "one.key", "", "not a certificate chain and its private key in PEM"),
        ("text.pem", "one.key", "", "not a certificate chain and its private key in PEM"),
        ("empty.pem", "empty.pem", "", "not a certificate chain and its private key in PEM"),
    ],
)
def test_files_that_do_not(
    files: Path, certificate: str, key: str | None, password: str, complaint: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        make_context(settings_of(files, certificate, key, password))
    message = str(caught.value)
    assert complaint in message
    assert "\n" not in message
    assert PASSWORD not in message


def test_a_key_without_a_certificate(files: Path) -> None:
    with pytest.raises(SettingsError, match="ssl_keyfile needs ssl_certfile"):
        make_context(Settings(ssl_keyfile=files / "one.key"))


def test_certificates_change_without_a_restart(files: Path) -> None:
    gate = Gate(settings_of(files, "one.pem", "one.key"))
    context = gate.tls
    gate.prepare(settings_of(files, "two.pem", "two.key"))()
    assert gate.tls is context
    with pytest.raises(SettingsError, match="not the certificate's"):
        gate.prepare(settings_of(files, "two.pem", "one.key"))
    with pytest.raises(SettingsError, match="cannot be turned on or off"):
        gate.prepare(Settings())
    with pytest.raises(SettingsError, match="cannot be turned on or off"):
        Gate(Settings()).prepare(settings_of(files, "one.pem", "one.key"))
