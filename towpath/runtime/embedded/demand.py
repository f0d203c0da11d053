"""How a façade or worker asks the supervisor for a part that is started only when it is needed."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from towpath.core.extras import Extra, require
from towpath.runtime.embedded.home import FACTS, Home, StackError
from towpath.runtime.health import PartState
from towpath.runtime.settings import Settings

CHROMA_WANTED = "chroma.wanted"
LLM_WANTED = "llm.wanted"
# The part's own start, and the supervisor's look at the folder before it.
WAIT_SECONDS = 90.0


@dataclass(frozen=True, slots=True)
class Demand:
    """A part that is started when it is needed, as it is without asking for it."""

    url: str | None
    state: PartState


def chroma_demand(settings: Settings) -> Demand:
    """Return where Chroma is now, if anywhere; it is not started by that."""
    return _demand(settings, settings.chroma_url, "chroma", CHROMA_WANTED)


def llm_demand(settings: Settings) -> Demand:
    """Return where the embedded language model is now, if anywhere; it is not started by that."""
    return _demand(settings, settings.local_llm_url, "llm", LLM_WANTED)


def _demand(settings: Settings, external: str | None, part: str, mark: str) -> Demand:
    if external is not None:
        return Demand(external, PartState.READY)
    if not (settings.home / FACTS).exists():
        # No stack of ours runs here that would start it.
        return Demand(None, PartState.NOT_CONFIGURED)
    if url := Home(settings.home).published().get(part):
        return Demand(str(url), PartState.READY)
    return Demand(None, PartState.STARTING if (settings.home / mark).exists() else PartState.IDLE)


async def chroma_url(settings: Settings) -> str:
    """Return where Chroma is; in the embedded stack it is started by the first who asks.

    Args:
        settings: An external Chroma in them is the answer at once.

    Raises:
        StackError: No stack answers on this home, or Chroma does not start.
    """
    return settings.chroma_url or await _request_part(settings, "chroma", CHROMA_WANTED, "TOWPATH_CHROMA_URL")


async def local_llm_url(settings: Settings) -> str:
    """Base URL of the embedded language model, started by the first who asks and shared by all.

    Args:
        settings: An external server of it in them is the answer at once.

    Raises:
        MissingExtraError: The extra `local-llm` is not installed, and nobody else has started the model.
        StackError: No stack answers on this home, or the model's server does not start.
    """
    if settings.local_llm_url is None and not Home(settings.home).published().get("llm"):
        # A missing part does not come by waiting.
        require(Extra.LOCAL_LLM, "the embedded language model")
    return settings.local_llm_url or await _request_part(settings, "llm", LLM_WANTED, "TOWPATH_LOCAL_LLM_URL")


async def _request_part(settings: Settings, part: str, mark: str, setting: str) -> str:
    home = Home(settings.home)
    # It stays: a stack that needed the part once starts it with the rest from then on.
    (home.folder / mark).touch(mode=0o600)
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        if url := home.published().get(part):
            return str(url)
        await asyncio.sleep(0.1)
    raise StackError(f"{part} does not start; its log is {home.logs / f'{part}.log'}, or set {setting}")
