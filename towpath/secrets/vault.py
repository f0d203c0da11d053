"""Secrets at rest: encrypted with the first key, opened with any, so that keys can be rotated."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from towpath.core.errors import UnavailableError

LOST = "a secret was sealed with a key that TOWPATH_ENCRYPTION_KEYS does not hold"


class Vault:
    """Seals and opens secrets.

    Args:
        keys: Passphrases, the newest first; none: nothing can be sealed or opened.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        ciphers = [Fernet(base64.urlsafe_b64encode(hashlib.sha256(key.encode()).digest())) for key in keys]
        self._keys = MultiFernet(ciphers) if ciphers else None

    @property
    def has_keys(self) -> bool:
        """Whether anything can be sealed."""
        return self._keys is not None

    def seal(self, secret: str) -> bytes:
        """Encrypt.

        Raises:
            UnavailableError: No key is set.
        """
        return self._opened().encrypt(secret.encode())

    def open(self, sealed: bytes) -> str:
        """Decrypt.

        Raises:
            UnavailableError: No key is set, or none that fits.
        """
        try:
            return self._opened().decrypt(bytes(sealed)).decode()
        except InvalidToken as error:
            raise UnavailableError(LOST) from error

    def reseal(self, sealed: bytes) -> bytes:
        """Return the same secret under the newest key.

        Raises:
            UnavailableError: No key is set, or none that fits.
        """
        try:
            return self._opened().rotate(bytes(sealed))
        except InvalidToken as error:
            raise UnavailableError(LOST) from error

    def _opened(self) -> MultiFernet:
        if self._keys is None:
            raise UnavailableError("TOWPATH_ENCRYPTION_KEYS is not set, so no secret can be kept")
        return self._keys
