"""TLS with an API server, as its kubeconfig says."""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path

from offload.backends.kubernetes.access import Access
from offload.backends.kubernetes.api_errors import CredentialsError, Status
from offload.backends.kubernetes.credentials import Credential

__all__ = ["tls_context"]


def tls_context(access: Access, shown: Credential) -> ssl.SSLContext | None:
    """How to encrypt, whom to believe and what certificate to show; None for a server without encryption.

    Raises:
        CredentialsError: the client certificate can't be used.
    """
    if access.server.startswith("http://"):
        return None
    context = ssl.create_default_context(cadata=access.ca.decode("ascii", "replace") if access.ca else None)
    # Certificates of real clusters, EKS' among them, lack extensions that Python 3.13 insists on by default.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    # Kubeconfigs may name an intermediate certificate: kubectl trusts whatever is named.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if access.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if shown.certificate and shown.key:
        _load_certificate(context, shown.certificate, shown.key)
    return context


def _load_certificate(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """OpenSSL reads certificates from files only."""
    with tempfile.TemporaryDirectory(prefix="offload-") as directory:
        pem, private = Path(directory, "certificate"), Path(directory, "key")
        pem.write_bytes(certificate)
        private.touch(mode=0o600)
        private.write_bytes(key)
        try:
            context.load_cert_chain(pem, private, password="")
        except (ssl.SSLError, ValueError) as error:
            raise CredentialsError(
                "sign in to the cluster with",
                Status(message=f"the client certificate can't be used: {error}"),
            ) from error
