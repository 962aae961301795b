"""The launcher's own certificate, which says nothing but that the same launcher speaks as before.

No authority vouches for it and none is needed: runners are handed it with their token, and trust no other.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Final

from offload.launcher.tokens import write_private

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

_YEARS: Final = 20
_BEGIN: Final = "-----BEGIN CERTIFICATE"


def certificate_in(pem: Path) -> str:
    """The certificate in a file that :func:`make_certificate` made, in PEM."""
    text = pem.read_text("ascii")
    return text[text.index(_BEGIN) :]


def make_certificate(pem: Path) -> None:
    """Write a private key and the certificate for it into a file (mode 0600), unless it is there."""
    if pem.exists():
        return
    # 8 MB that a launcher needs once in its life.
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_private(pem, private + _certificate(key).public_bytes(serialization.Encoding.PEM))


def _certificate(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415

    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Offload launcher")])
    public = key.public_key()
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder(name, name, public, x509.random_serial_number())
        # The clocks of a cluster's nodes may be behind ours.
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=365 * _YEARS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )


def _usage() -> x509.KeyUsage:
    """What Python 3.13 insists on in whatever is trusted."""
    from cryptography import x509  # noqa: PLC0415

    unused = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign")
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        encipher_only=False,
        decipher_only=False,
        **dict.fromkeys(unused, False),
    )
