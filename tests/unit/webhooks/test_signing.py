"""Signatures checked by the official package, and the schedule."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from towpath.core.errors import BadInputError
from towpath.webhooks.domain.schedule import SCHEDULE, judge_attempt
from towpath.webhooks.domain.signing import new_secret, signature_headers, signing_key, standard_form
from towpath.webhooks.types import DeliveryState

BODY = '{"event":"job.complete","näme":"é"}'.encode()


def signed(*secrets: str) -> dict[str, str]:
    return signature_headers(secrets, message_id="evt_1", timestamp=int(time.time()), body=BODY)


@pytest.mark.parametrize("secret", [new_secret(), "local-test-secret", "pässword"], ids=["new", "plain", "umlaut"])
def test_the_official_package_accepts_the_signature(secret: str) -> None:
    headers = signed(secret)

    assert Webhook(standard_form(secret)).verify(BODY, headers)["event"] == "job.complete"
    with pytest.raises(WebhookVerificationError):
        Webhook(standard_form(secret)).verify(BODY + b" ", headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(BODY, headers)


def test_both_secrets_of_a_rotation_verify() -> None:
    old, new = new_secret(), new_secret()
    headers = signed(new, old)

    for secret in (old, new):
        Webhook(secret).verify(BODY, headers)
        told = headers["X-Omni-Signature-Timestamp"].encode() + b"." + BODY
        mine = "sha256=" + hmac.new(secret.encode(), told, hashlib.sha256).hexdigest()
        assert mine in headers["X-Omni-Signature"].split(", ")


def test_without_a_secret_nothing_is_signed() -> None:
    assert signed().keys() == {"webhook-id", "webhook-timestamp"}


@given(
    st.one_of(st.text(min_size=1, max_size=40), st.binary(min_size=24, max_size=64)),
    st.uuids(),
    st.integers(0, 2**33),
    st.text(max_size=200),
)
def test_the_headers_are_those_of_the_standard_to_the_byte(
    secret: str | bytes, message: UUID, timestamp: int, text: str
) -> None:
    shown = secret if isinstance(secret, str) else "whsec_" + base64.b64encode(secret).decode()
    key = secret.encode() if isinstance(secret, str) else secret
    assume(isinstance(secret, bytes) or not secret.startswith("whsec_"))
    body = text.encode()

    headers = signature_headers([shown], message_id=str(message), timestamp=timestamp, body=body)

    standard = hmac.digest(key, f"{message}.{timestamp}.".encode() + body, hashlib.sha256)
    pair = hmac.digest(shown.encode(), f"{timestamp}.".encode() + body, hashlib.sha256)
    assert headers == {
        "webhook-id": str(message),
        "webhook-timestamp": str(timestamp),
        "webhook-signature": "v1," + base64.b64encode(standard).decode(),
        "X-Omni-Signature-Timestamp": str(timestamp),
        "X-Omni-Signature": f"sha256={pair.hex()}",
    }


@pytest.mark.parametrize("wrong", ["whsec_", "whsec_%%%", "whsec_" + base64.b64encode(b"x" * 23).decode(),
                                   "whsec_" + base64.b64encode(b"x" * 65).decode()])  # fmt: skip
def test_a_broken_secret_is_refused(wrong: str) -> None:
    with pytest.raises(BadInputError, match="whsec_") as caught:
        signing_key(wrong, field="webhookSigningSecret")
    assert caught.value.field == "webhookSigningSecret"


@given(st.one_of(st.none(), st.integers(100, 599)), st.integers(0, 20), st.floats(0, 1), st.integers(0, 10**6))
def test_an_attempt_ends_or_waits_within_a_tenth_of_its_place(
    status: int | None, number: int, chance: float, asked: int
) -> None:
    outcome = judge_attempt(status, number=number, chance=chance, retry_after=asked or None)

    if status is not None and 200 <= status < 300:
        assert outcome.state is DeliveryState.DELIVERED
    elif status == 410:
        assert outcome.state is DeliveryState.DISABLED
    elif number >= len(SCHEDULE):
        assert outcome.state is DeliveryState.FAILED
    else:
        assert outcome.state is DeliveryState.PENDING
        place = SCHEDULE[number] * (2 if status in {429, 502, 504} else 1)
        assert outcome.wait >= min(asked, 86_400)
        assert 0.899 * place <= outcome.wait <= max(1.101 * place, min(asked, 86_400))


def test_the_schedule_is_the_contracts() -> None:
    assert SCHEDULE == (5, 300, 1800, 7200, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
