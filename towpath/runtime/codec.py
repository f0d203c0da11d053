"""What Temporal stores, encrypted: payloads of workflows, their summaries and the attributes of failures.

The keys are those of the secrets at rest, each derived anew for this use, so that no two uses share a key. The first
encrypts, any decrypts. A payload that is not encrypted passes: histories from before still replay.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from temporalio.api.common.v1 import Payload
from temporalio.converter import PayloadCodec

from towpath.core.errors import UnavailableError
from towpath.runtime.settings import Settings

ENCODING = b"binary/encrypted"
KEY_ID = "encryption-key-id"
NONCE_BYTES = 12
KEY_INFO = b"towpath/temporal-payloads/key"
NAME_INFO = b"towpath/temporal-payloads/key-id"


class EncryptionCodec(PayloadCodec):
    """AES-256-GCM with a random nonce a payload; the metadata name the key.

    Args:
        keys: Passphrases, the newest first.
        encrypts: Whether new payloads are encrypted; those that are, are decrypted in any case.
    """

    def __init__(self, keys: Sequence[str], *, encrypts: bool = True) -> None:
        ring = {_derive(key, NAME_INFO, 8).hex().encode(): AESGCM(_derive(key, KEY_INFO, 32)) for key in keys}
        self._ring = ring
        self._newest = next(iter(ring), None) if encrypts else None

    @property
    def encrypts(self) -> bool:
        """Whether new payloads are encrypted."""
        return self._newest is not None

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Encrypt each payload, whole with its metadata; one that is encrypted already stays as it is."""
        if self._newest is None:
            return list(payloads)
        return [self._sealed(self._newest, payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Decrypt what is encrypted.

        Raises:
            UnavailableError: A payload was encrypted with a key that is not held, or was changed.
        """
        return [self._opened(payload) for payload in payloads]

    def _sealed(self, name: bytes, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") == ENCODING:
            return payload
        nonce = os.urandom(NONCE_BYTES)
        data = self._ring[name].encrypt(nonce, payload.SerializeToString(), name)
        return Payload(metadata={"encoding": ENCODING, KEY_ID: name}, data=nonce + data)

    def _opened(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != ENCODING:
            return payload
        name = payload.metadata.get(KEY_ID, b"")
        key = self._ring.get(name)
        if key is None:
            label = name.decode(errors="replace")[:32]
            raise UnavailableError(
                f"a payload was encrypted with the key {label}, which TOWPATH_ENCRYPTION_KEYS does not hold"
            )
        try:
            return Payload.FromString(key.decrypt(payload.data[:NONCE_BYTES], payload.data[NONCE_BYTES:], name))
        except (InvalidTag, ValueError) as error:
            raise UnavailableError("a payload does not open with the key that it names: it was changed") from error


def make_codec(settings: Settings) -> EncryptionCodec:
    """Return the codec that the settings ask for.

    Raises:
        ValueError: Payloads are to be encrypted, and there is no key.
    """
    keys = settings.encryption_key_list
    if settings.payload_encryption and not keys:
        raise ValueError("TOWPATH_PAYLOAD_ENCRYPTION needs TOWPATH_ENCRYPTION_KEYS")
    return EncryptionCodec(keys, encrypts=settings.payload_encryption is not False)


def _derive(passphrase: str, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=info).derive(passphrase.encode())
