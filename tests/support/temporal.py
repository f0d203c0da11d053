"""A Temporal client that opens what a stack's workers have encrypted."""

from __future__ import annotations

from temporalio.client import Client

from towpath.runtime.embedded import EmbeddedStack
from towpath.runtime.plugin import towpath_plugin
from towpath.runtime.settings import Settings


async def client_of(stack: EmbeddedStack) -> Client:
    """Connected to a stack's Temporal, with its keys."""
    settings = Settings(encryption_keys=",".join(stack.encryption_keys))
    return await Client.connect(stack.temporal_address, plugins=[towpath_plugin(settings)])
