"""Real certificates, made by openssl for one test run."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as files in PEM."""

    certificate: Path
    key: Path

    def context(self, *, clients: Pair | None = None) -> ssl.SSLContext:
        """What a server with this certificate needs; ``clients`` signed those of its clients."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.certificate, self.key)
        if clients is not None:
            context.verify_mode = ssl.CERT_OPTIONAL
            context.load_verify_locations(clients.certificate)
        return context


def make_certificate(folder: Path, name: str, *, signer: Pair | None = None, names: str = "") -> Pair:
    """A certificate called ``name``; signed by itself without a signer, good for a CA.

    Args:
        folder: where it goes.
        name: common name.
        signer: a CA.
        names: what a server is called, such as ``DNS:kube.test,IP:127.0.0.1``.
    """
    made = Pair(folder / f"{name}.pem", folder / f"{name}.key")
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    command += ["-days", "2", "-subj", f"/CN={name}", "-keyout", str(made.key), "-out", str(made.certificate)]
    if signer is not None:
        command += ["-CA", str(signer.certificate), "-CAkey", str(signer.key)]
        command += ["-addext", "basicConstraints=CA:FALSE"]
    if names:
        command += ["-addext", f"subjectAltName={names}"]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    return made
