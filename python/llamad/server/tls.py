"""The certificate with which the API speaks HTTPS."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from ..errors import SettingsError

if TYPE_CHECKING:
    from ..settings import Settings


def make_context(settings: Settings) -> ssl.SSLContext | None:
    """Return what connections are encrypted with; None where the settings name no certificate.

    Raises:
        SettingsError: a file cannot be read, or they do not belong together.
    """
    if settings.ssl_certfile is None:
        if settings.ssl_keyfile is not None:
            raise SettingsError("ssl_keyfile needs ssl_certfile: a private key is of no use alone")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    load_chain(context, settings)
    return context


def load_chain(context: ssl.SSLContext, settings: Settings) -> None:
    """Use the certificate of the settings for connections from now on.

    Raises:
        SettingsError: a file cannot be read, or they do not belong together.
    """
    certificate, key = settings.ssl_certfile, settings.ssl_keyfile
    for name, path in (("ssl_certfile", certificate), ("ssl_keyfile", key)):
        if path is not None:
            try:
                path.read_bytes()  # OpenSSL does not say which of the two it cannot read
            except OSError as error:
                raise SettingsError(f"cannot read {name} {str(path)!r}: {error.strerror}") from None
    asked: list[bool] = []

    def password() -> str:  # without one, OpenSSL would ask on the terminal
        asked.append(True)
        return settings.ssl_keyfile_password

    try:
        context.load_cert_chain(str(certificate), key, password)
    except (ssl.SSLError, ValueError) as error:
        why = _why(error)
        if asked:  # OpenSSL does not say whether that was it
            given = "wrong" if settings.ssl_keyfile_password else "missing"
            why = f"the private key is encrypted, and ssl_keyfile_password is {given}"
        raise SettingsError(f"cannot use {_files(settings)}: {why}") from None


def _files(settings: Settings) -> str:
    certificate = f"ssl_certfile {str(settings.ssl_certfile)!r}"
    return (
        certificate if settings.ssl_keyfile is None else f"{certificate} with {str(settings.ssl_keyfile)!r}"
    )


def _why(error: ssl.SSLError | ValueError) -> str:
    if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
        return "the private key is not the certificate's"
    return f"not a certificate chain and its private key in PEM ({error})"
