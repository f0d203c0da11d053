"""What a façade process holds, and how a route gets at it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Annotated, cast

from fastapi import Depends
from starlette.requests import HTTPConnection
from temporalio.client import Client

from api.gateway import Gateway
from runtime.settings import Settings
from stores.db import Database
from stores.entities.matching import Models
from stores.events import EventHub


@dataclass(slots=True)
class AppState:
    """The parts that routes use."""

    settings: Settings
    db: Database
    temporal: Client
    gateway: Gateway
    events: EventHub
    secret: str
    uploads: asyncio.Semaphore
    models: Models = field(default_factory=Models)


def state_of(connection: HTTPConnection) -> AppState:
    """The state of the application that a request belongs to."""
    return cast(AppState, connection.app.state.towpath)


State = Annotated[AppState, Depends(state_of)]
