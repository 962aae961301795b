"""Who may speak: tokens that are derived from one secret, so none has to be stored, and any can be made
again.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from offload.model.ids import PoolId


class Tokens:
    """The tokens of one launcher."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    @classmethod
    def open(cls, path: Path) -> Tokens:
        """The tokens that belong to the secret in a file, which is made (mode 0600) when it isn't there."""
        try:
            return cls(path.read_bytes())
        except FileNotFoundError:
            write_private(path, secrets.token_bytes(32))
            return cls(path.read_bytes())

    def of_pool(self, pool: PoolId) -> str:
        """Bearer token of a pool's runners: the pool's id and its signature."""
        return f"{pool}.{self._derive(f'pool:{pool}')}"

    def of_api(self) -> str:
        """Bearer token of the public API over TCP."""
        return self._derive("api")

    def pool_of(self, token: str) -> PoolId | None:
        """The pool whose token this is, if any; takes equally long whatever its signature."""
        pool = PoolId(token.partition(".")[0])
        return pool if hmac.compare_digest(self.of_pool(pool).encode(), token.encode()) else None

    def is_api(self, token: str) -> bool:
        """Whether this is the API's token; takes equally long whatever the answer."""
        return hmac.compare_digest(self.of_api().encode(), token.encode())

    def _derive(self, name: str) -> str:
        return hmac.new(self._secret, name.encode(), hashlib.sha256).hexdigest()


def write_private(path: Path, data: bytes) -> None:
    """Make a file that only its owner can read; all of it appears at once, and never over another one."""
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
