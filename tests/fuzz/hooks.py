"""Loaded by schemathesis: the key that its requests carry, made anew whenever the last one is refused.

Among the operations are those that revoke keys, and schemathesis takes ids for them from the lists that it has seen.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from typing import Any

import schemathesis

from towpath.accounts.domain.keys import KEY_BYTES, make_key
from towpath.accounts.store.auth import add_key, new_key
from towpath.accounts.types import KeyKind, Role, Scope
from towpath.db.engine import Database

SECONDS = 600


@schemathesis.auth(refresh_interval=SECONDS)
class AdminKey:
    """An admin's key of the organization that is fuzzed."""

    def get(self, _case: Any, _context: Any) -> str:
        return asyncio.run(admin_key(os.environ["FUZZ_DATABASE"], os.environ["FUZZ_ORGANIZATION"]))

    def set(self, case: Any, data: str, _context: Any) -> None:
        case.headers = {**(case.headers or {}), "X-API-Key": data}


async def admin_key(database_url: str, organization: str) -> str:
    """Make an admin's key; no route makes one that is above its maker."""
    database = Database(database_url)
    try:
        key = make_key(secrets.token_bytes(KEY_BYTES))
        row = new_key(
            organization, name="fuzz", kind=KeyKind.ORGANIZATION, role=Role.ADMIN, scopes=list(Scope), user_id=None,
            expires_at=None,
        )  # fmt: skip
        await add_key(database, key, row)
        return key
    finally:
        await database.close()
