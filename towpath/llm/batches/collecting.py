"""Collecting mode: a page is run to find out what it asks, and what is not known yet waits for a batch."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from towpath.core.errors import AnswerAwaitedError
from towpath.core.imports import import_beside_loop
from towpath.db.engine import Database
from towpath.jobs.types import JobRef
from towpath.llm.batches.types import CallState
from towpath.llm.models import LanguageModels
from towpath.llm.store.batches import add_call, find_call
from towpath.llm.types import Prompt, Purpose, Site

if TYPE_CHECKING:
    from towpath.llm.batches.exchange import Exchange

SITE = "site"
"""What is kept beside how an answer is read: where in the job it is asked, for its line in the ledger."""
EXCHANGE = "towpath.llm.batches.exchange"
_COLLECTS: ContextVar[bool] = ContextVar("towpath_llm_collects", default=False)


@contextmanager
def collecting(collects: bool) -> Iterator[None]:
    """Run a page in collecting mode, or as usual.

    Whatever it asks through `LlmGateway` within this block, tasks included, is answered from the paid answers or ends
    with `AnswerAwaitedError`.
    """
    token = _COLLECTS.set(collects)
    try:
        yield
    finally:
        _COLLECTS.reset(token)


def is_collecting() -> bool:
    """Return whether the caller runs in collecting mode."""
    return _COLLECTS.get()


def site_of(reader: Mapping[str, Any]) -> Site:
    """Return where in its job a collected call is asked."""
    purpose, item = reader.get(SITE) or (Purpose.ENRICHMENT, None)
    return Site(Purpose(purpose), item)


async def collect(
    database: Database,
    models: LanguageModels,
    ref: JobRef,
    model: str,
    prompt: Prompt,
    digest: bytes,
    site: Site,
    *,
    plain_json: bool,
    is_booked: bool,
    admit: Callable[[], Awaitable[None]] | None,
) -> Exchange | None:
    """Have a call wait for a batch.

    Args:
        database: Where calls wait.
        models: Tell what a live call would send.
        ref: The job.
        model: The model key.
        prompt: What is asked.
        digest: The key of the answer.
        site: Where in the job it is asked.
        plain_json: Ask for JSON in words.
        is_booked: Whether what a batch has brought is in the books already.
        admit: Asked before it is collected whether there is money for it; it raises where there is none.

    Returns:
        For a call that no batch will answer: brings an answer that a batch has brought and that could not be used, to
        be repaired live; None: there is none.

    Raises:
        AnswerAwaitedError: The call waits.
        ModelError: The call cannot be made.
    """
    known = await find_call(database, ref.job_id, digest)
    if known is not None and known[0] == CallState.LIVE:
        if known[1] is None:
            return None
        await import_beside_loop(EXCHANGE)
        from towpath.llm.batches.exchange import Replay

        return Replay(known[1], paid=is_booked)
    if known is None or known[0] == CallState.STORED:
        if admit is not None:
            await admit()
        body = await models.body_of(ref.organization, model, prompt, plain_json=plain_json)
        reader = prompt.model_copy(update={"system": "", "user": "", "images": []}).model_dump(mode="json")
        reader |= {SITE: [site.purpose.value, site.item]}
        await add_call(database, ref, digest, model, reader, body, plain_json=plain_json)
    raise AnswerAwaitedError(f"{model} answers with a batch")
