"""What a façade process holds, and how a route gets at it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, cast

from fastapi import Depends
from starlette.requests import HTTPConnection
from temporalio.client import Client

from towpath.accounts.domain.keys import hash_key
from towpath.accounts.types import Principal
from towpath.api.gateway import Gateway
from towpath.api.http.health import Probes
from towpath.api.http.key_uses import KeyUses
from towpath.api.http.limiter import Limiter
from towpath.api.http.limits import Limits
from towpath.api.http.stream_leases import StreamLeases
from towpath.api.http.upload_slots import UploadSlots
from towpath.api.vector_search import VectorSearch
from towpath.core.checks import Checks
from towpath.core.turns import Turns
from towpath.db.engine import Database
from towpath.documents import DocumentReader
from towpath.entities.store.matching import Models
from towpath.jobs.event_hub import EventHub
from towpath.llm import Catalog
from towpath.net.http import GuardedClient
from towpath.runtime.settings import Settings
from towpath.secrets.vault import Vault

KEY_SECONDS = 5.0
MAX_KEYS = 10_000


class KeyCache:
    """Keys that were valid a moment ago, so that each request need not ask again.

    A key that is revoked through this process is refused at once, through another one within five seconds; one that
    expires, at that moment.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[float, Principal]] = {}

    def get(self, key: str) -> Principal | None:
        """The caller that a key stands for, if it was looked up in the last seconds."""
        until, caller = self._known.get(hash_key(key), (0.0, None))
        return caller if until > time.monotonic() else None

    def put(self, key: str, caller: Principal) -> None:
        """Remember a valid key for a moment."""
        if len(self._known) >= MAX_KEYS:
            self._known.clear()
        seconds = KEY_SECONDS
        if caller.expires_at is not None:
            seconds = min(seconds, (caller.expires_at - datetime.now(UTC)).total_seconds())
        self._known[hash_key(key)] = (time.monotonic() + seconds, caller)

    def forget(self) -> None:
        """Look every key up again: one has changed."""
        self._known.clear()


@dataclass(slots=True)
class AppState:
    """The parts that routes use."""

    settings: Settings
    db: Database
    temporal: Client
    gateway: Gateway
    events: EventHub
    secret: str
    uploads: UploadSlots
    vectors: VectorSearch
    catalog: Catalog
    fetcher: GuardedClient
    receivers: GuardedClient
    reader: DocumentReader
    vault: Vault
    probes: Probes
    limiter: Limiter
    key_uses: KeyUses
    limits: Limits
    streams: StreamLeases
    models: Models = field(default_factory=Models)
    turns: Turns = field(default_factory=Turns)
    checks: Checks = field(default_factory=Checks)
    keys: KeyCache = field(default_factory=KeyCache)


async def state_of(connection: HTTPConnection) -> AppState:
    """The state of the application that a request belongs to."""
    return cast(AppState, connection.app.state.towpath)


State = Annotated[AppState, Depends(state_of)]
