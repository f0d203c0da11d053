"""What an iteration of a question reads, it reads once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.support.console.site import Site, begin, keep, make_answered, make_question, who
from towpath.ai.semantic_types import Content
from towpath.ai.service import agent_context
from towpath.ai.service.agent_context import AgentContext
from towpath.ai.store import models, threads
from towpath.ai.store.jobs import read_actions
from towpath.ai.store.models import change_model
from towpath.ai.store.threads import get_conversation
from towpath.ai.types import ActionType, StoredAction
from towpath.db.engine import Connection, Database
from towpath.jobs.patience import Patience
from towpath.llm import LanguageModels
from towpath.llm.gateway import LlmGateway
from towpath.net.http import GuardedClient
from towpath.secrets.vault import Vault


def _context(database: Database, running_site: Site) -> AgentContext:
    settings = running_site.state.settings

    async def no_local_model() -> str:
        raise AssertionError("this test asks no model")

    llm_gateway = LlmGateway(database, LanguageModels(settings.llm, no_local_model), Patience(database, seconds=1))
    guard = GuardedClient(most_bytes=1, seconds=1)
    return AgentContext(database, llm_gateway, Vault([]), guard=guard, root=None, seconds=1)


def _action(number: int, kind: ActionType = ActionType.PICK_TOPIC) -> StoredAction:
    return StoredAction(number=number, type=kind, message="x", topic="shipments", at=datetime.now(UTC))


async def test_the_layers_of_a_model_are_parsed_once_for_all_iterations(
    database: Database, running_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = who(running_site.organization())
    thread, ref = await make_question(database, tenant)
    await begin(database, ref)
    model_id = (await get_conversation(database, tenant, thread, None)).model_id
    views = {"shipments": {"table": "shipments", "label": uuid4().hex, "measures": {"count": {"aggregate": "count"}}}}
    content = {"views": views, "topics": {"shipments": {"base_view": "shipments"}}}
    await change_model(database, tenant, model_id, {"content": content})
    parsed: list[Mapping[str, Any]] = []
    parse = models.read_model  # type: ignore[attr-defined]

    def counted(merged: Mapping[str, Any]) -> Content:
        parsed.append(merged)
        return parse(merged)

    monkeypatch.setattr(models, "read_model", counted)
    context = _context(database, running_site)

    first = await context.open(ref)
    await keep(database, ref, _action(1))
    second = await context.open(ref)

    assert [len(run.actions) for run in (first, second)] == [0, 1]
    assert second.content is first.content
    assert len(parsed) == 1


async def test_no_turn_of_a_conversation_is_read_twice(
    database: Database, running_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = who(running_site.organization())
    thread, earlier = await make_answered(database, tenant, _action(1, ActionType.SUMMARIZE), "12 shipments")
    _, ref = await make_question(database, tenant, thread=thread)
    await begin(database, ref)
    await keep(database, ref, _action(1))
    reads: Counter[UUID] = Counter()

    async def counted(connection: Connection, job_ids: Sequence[UUID]) -> dict[UUID, list[StoredAction]]:
        reads.update(job_ids)
        return await read_actions(connection, job_ids)

    monkeypatch.setattr(threads, "read_actions", counted)
    monkeypatch.setattr(agent_context, "read_actions", counted)

    run = await _context(database, running_site).open(ref)

    assert [turn.job_id for turn in run.earlier] == [earlier.job_id]
    assert [action.number for action in run.actions] == [1]
    assert reads == {ref.job_id: 1, earlier.job_id: 1}
