"""What a façade process holds, and how a route gets at it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, cast

from fastapi import Depends
from starlette.requests import HTTPConnection
from temporalio.client import Client

from api.checks import Checks
from api.gateway import Gateway
from api.health import Probes
from api.key_uses import KeyUses
from api.limiter import Limiter
from api.limits import Limits
from api.stream_leases import StreamLeases
from api.turns import Turns
from api.upload_slots import UploadSlots
from api.vector_search import VectorSearch
from clients.documents import DocumentReader
from clients.http import GuardedClient
from clients.llm import Catalog
from contracts.auth import Principal
from domain.auth import hash_key
from runtime.settings import Settings
from stores.db import Database
from stores.entities.matching import Models
from stores.events import EventHub
from stores.vault import Vault

KEY_SECONDS = 5.0
MOST_KEYS = 10_000


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
        if len(self._known) >= MOST_KEYS:
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
