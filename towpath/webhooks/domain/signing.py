"""Signatures over a webhook's body: Standard Webhooks, and the `X-Omni-Signature` pair.

Standard Webhooks, as their own package signs: https://www.standardwebhooks.com; the pair as in the contract of AI jobs.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime

from standardwebhooks import Webhook

from towpath.core.errors import BadInputError

PREFIX = "whsec_"
MIN_KEY_BYTES, MAX_KEY_BYTES = 24, 64


def signing_key(secret: str, *, field: str = "secret") -> bytes:
    """Return the key for `webhook-signature`.

    Args:
        secret: `whsec_` and base64, or any text, whose UTF-8 bytes are the key.
        field: What the error names.

    Raises:
        BadInputError: What follows `whsec_` is no base64 of 24 to 64 bytes.
    """
    if not secret.startswith(PREFIX):
        return secret.encode()
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadInputError(f"{field}: what follows {PREFIX} is not base64", field=field) from error
    if not MIN_KEY_BYTES <= len(key) <= MAX_KEY_BYTES:
        allowed = f"{MIN_KEY_BYTES} to {MAX_KEY_BYTES} bytes"
        raise BadInputError(f"{field}: {PREFIX} must hold {allowed}, not {len(key)}", field=field)
    return key


def standard_form(secret: str) -> str:
    """Return the equal secret that the official packages take."""
    return secret if secret.startswith(PREFIX) else PREFIX + base64.b64encode(secret.encode()).decode()


def new_secret() -> str:
    """Return a fresh secret of 32 random bytes."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def signature_headers(signing: Sequence[str], *, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers of one attempt.

    Args:
        signing: The secrets that are valid now, the newest first; none: the body goes unsigned.
        message_id: The same over all repeats.
        timestamp: Unix seconds of this attempt.
        body: What is sent, byte for byte: text in UTF-8.
    """
    headers = {"webhook-id": message_id, "webhook-timestamp": str(timestamp)}
    if not signing:
        return headers
    moment, text = datetime.fromtimestamp(timestamp, UTC), body.decode()
    # The package reads base64 leniently and would sign with half a key: it gets the bytes that ours has checked.
    standard = [Webhook(signing_key(secret)).sign(message_id, moment, text) for secret in signing]
    headers["webhook-signature"] = " ".join(standard)
    pair = [hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256) for secret in signing]
    headers["X-Omni-Signature-Timestamp"] = str(timestamp)
    headers["X-Omni-Signature"] = ", ".join(f"sha256={signature.hexdigest()}" for signature in pair)
    return headers
