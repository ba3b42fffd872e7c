"""TLS with a PACS, by certificates in files of the site's own."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from fedvox.common.errors import IdentityError, InputError
from fedvox.common.identity.secret_files import read_secret


@dataclass(frozen=True)
class TlsFiles:
    """PEM files; a None is a file that was not given."""

    cert: Path | None = None
    key: Path | None = None
    ca: Path | None = None

    def __post_init__(self) -> None:
        if (self.cert is None) != (self.key is None):
            raise InputError("--tls-cert and --tls-key belong together; give both or neither")

    @property
    def any(self) -> bool:
        """Whether TLS is wanted at all."""
        return self.cert is not None or self.ca is not None

    @property
    def mutual(self) -> bool:
        """Whether those who connect must show a certificate of the authority."""
        return self.cert is not None and self.ca is not None

    def server(self) -> ssl.SSLContext | None:
        """For those who connect here; None without TLS."""
        if not self.any:
            return None
        if self.cert is None:
            raise InputError("--tls-ca: a listener needs --tls-cert and --tls-key as well")
        context = self._made(ssl.PROTOCOL_TLS_SERVER)
        if self.ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def client(self) -> ssl.SSLContext | None:
        """For connecting to a PACS, whose certificate is checked; None without TLS."""
        if not self.any:
            return None
        context = self._made(ssl.PROTOCOL_TLS_CLIENT)
        if self.ca is None:
            context.load_default_certs()
        return context

    def _made(self, protocol: int) -> ssl.SSLContext:
        context = ssl.SSLContext(protocol)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            if self.cert is not None and self.key is not None:
                read_secret(self.key)  # refuses a key that others may read
                context.load_cert_chain(self.cert, self.key, password="")  # never asks
            if self.ca is not None:
                context.load_verify_locations(self.ca)
        except (OSError, ssl.SSLError) as error:
            raise IdentityError(
                f"--tls-cert, --tls-key, --tls-ca: {error.strerror or error}; give PEM files, "
                "the key without a password"
            ) from None
        return context
