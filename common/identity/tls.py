"""TLS 1.3 between the parties of a consortium, which trust its root and nothing else."""

from __future__ import annotations

import ssl

from cryptography import x509

from fedvox.common.errors import IdentityError
from fedvox.common.identity.certificates import pem_of
from fedvox.common.identity.credentials import Credentials


def server_context(credentials: Credentials) -> ssl.SSLContext:
    """For the coordinator: a certificate need not be shown, but one that is must be genuine.

    Who enrols has none yet; what answers to whom is decided by path, from the identity.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _harden(context, credentials.root_pem)
    context.verify_mode = ssl.CERT_OPTIONAL
    # A resumed session would not look at the certificate's time again.
    context.num_tickets = 0
    present(context, credentials)
    return context


def site_context(credentials: Credentials) -> ssl.SSLContext:
    """For a site or an operator: shows its certificate, and talks to the coordinator only."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _harden(context, credentials.root_pem)
    present(context, credentials)
    return context


def joining_context(root: x509.Certificate) -> ssl.SSLContext:
    """For a site that has no certificate yet, but knows the consortium's root."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _harden(context, pem_of([root]).decode())
    return context


def enrolling_context() -> ssl.SSLContext:
    """For fetching the root, and for nothing else: it cannot verify whom it talks to.

    Nothing secret may be sent through it, and what it brings is to be held against a fingerprint.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _harden(context: ssl.SSLContext, root_pem: str) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT
    context.load_verify_locations(cadata=root_pem)
    context.set_alpn_protocols(["http/1.1"])


def present(context: ssl.SSLContext, credentials: Credentials) -> None:
    """Has a context show these from its next connection on, as after a renewal."""
    try:
        context.load_cert_chain(credentials.chain_file, credentials.key_file)
    except (ssl.SSLError, OSError):
        raise IdentityError(
            f"{credentials.chain_file}: the certificate and {credentials.key_file} do not go "
            "together; restore both from one backup, or join again with a new kit"
        ) from None
