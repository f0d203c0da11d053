"""URLs are sealed where they may hold a secret, and shown without one."""

from __future__ import annotations

import pytest

from towpath.core.errors import UnavailableError
from towpath.net.urls import document_shown, show_endpoint
from towpath.secrets.urls import open_url, seal_document, seal_endpoint, seen_url, shown_url
from towpath.secrets.vault import Vault

VAULT, KEYLESS = Vault(["one"]), Vault([])
SIGNED = "https://files.example/a%20b.pdf?X-Sig=MARK&n=1"
HOOK = "https://hooks.example/services/MARK"


def test_a_signed_link_is_sealed_and_shown_without_its_signature() -> None:
    stored = seal_document(VAULT, SIGNED)

    assert "MARK" not in stored
    assert open_url(VAULT, stored) == SIGNED
    assert shown_url(stored, document_shown) == "https://files.example/a%20b.pdf?X-Sig=***&n=***"


def test_who_may_not_see_the_whole_sees_the_host_of_a_receiver() -> None:
    stored = seal_endpoint(VAULT, HOOK)

    assert "MARK" not in stored
    assert seen_url(VAULT, stored, show_endpoint, whole=True) == HOOK
    for vault, whole in ((VAULT, False), (KEYLESS, True), (Vault(["other"]), True)):
        assert seen_url(vault, stored, show_endpoint, whole=whole) == "https://hooks.example/***"
    # One that was kept before URLs were sealed.
    assert seen_url(VAULT, HOOK, show_endpoint, whole=False) == "https://hooks.example/***"


def test_without_a_key_a_url_without_a_query_is_kept_and_one_with_is_refused() -> None:
    assert seal_document(KEYLESS, "https://files.example/a.pdf") == "https://files.example/a.pdf"
    assert seal_endpoint(KEYLESS, HOOK) == HOOK
    for seal, url in ((seal_document, SIGNED), (seal_endpoint, f"{HOOK}?t=1")):
        with pytest.raises(UnavailableError, match="TOWPATH_ENCRYPTION_KEYS is not set"):
            seal(KEYLESS, url)
