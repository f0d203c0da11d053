"""The judge as its users know it: started, its judgements listed and taken back, and shown beside what they decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import uuid4

from towpath.accounts.types import Principal
from towpath.core.errors import ConflictError
from towpath.core.json_values import parse_json
from towpath.db.engine import Connection, Database
from towpath.entities.domain.matching import SAME, Constraints, PairLabel, entity_uid, find_label_chain
from towpath.entities.group_types import Cause, WhyReason, WhyView
from towpath.entities.judge_types import (
    Judge,
    JudgeAnswer,
    JudgeBody,
    JudgementPage,
    JudgementsRemoved,
    JudgementView,
    JudgeParams,
    Standing,
)
from towpath.entities.service.deciding import decide_or_mark
from towpath.entities.service.labelling import read_link_similarities
from towpath.entities.service.matching import ModelCache
from towpath.entities.service.naming import Reason
from towpath.entities.store import judgements as store
from towpath.entities.store.groups import read_ids
from towpath.entities.store.indexes import Index, find_index
from towpath.entities.store.judgements import ListedJudgement, Pair
from towpath.entities.store.locks import lock_single_writes
from towpath.entities.store.pairs import PairRow, PartnerRow
from towpath.entities.types import ENTITY_JUDGE, Basis, PairView
from towpath.jobs.patience import utc_now
from towpath.jobs.store.jobs import create_job
from towpath.jobs.store.tables import JobRow
from towpath.llm import Catalog
from towpath.llm.batches.choice import choose_execution

MAX_AT_ONCE = 200
"""Judgements whose groups are decided before the answer; those of more are decided by the housekeeping."""
MAY_BE_JUDGED = frozenset({Basis.JUDGED_SAME, Basis.JUDGED_DIFFERENT, Basis.ADDED})


class JudgementService:
    """Starts the judge of an index and looks after what it has said.

    Args:
        database: Where indexes are.
        models: This process's models of matching.
        catalog: The language models that there are.
    """

    def __init__(self, database: Database, models: ModelCache, catalog: Catalog) -> None:
        self._database = database
        self._models = models
        self._catalog = catalog

    async def start(
        self,
        connection: Connection,
        caller: Principal,
        name: str,
        body: JudgeBody,
        *,
        max_jobs: int,
        deadline: datetime | None = None,
    ) -> JobRow:
        """Accept a job of the judge; it is to be started after the commit.

        Args:
            connection: In the caller's transaction.
            caller: Who asks.
            name: The index.
            body: The model, and how far to go.
            max_jobs: How many jobs the organization may have in flight; 0: any number.
            deadline: Until when it may run.

        Raises:
            NotFoundError: No such index.
            BadInputError: The model cannot be asked.
            ConflictError: A judge is at work in the index.
            LimitReachedError: There are as many jobs as may be.
        """
        index = await find_index(connection, caller.organization, name, lock="exclusive")
        self._catalog.check(body.model, "model")
        running = await store.find_open_judge(connection, caller.organization, ENTITY_JUDGE, index.name)
        if running is not None:
            raise ConflictError(f"the pairs of {index.name} are being judged: job {running}")
        execution = choose_execution(self._catalog, body.execution, [body.model], deadline, utc_now())
        params = JudgeParams(
            index=index.name,
            index_made=index.created_at.isoformat(),
            model=body.model,
            max_cost_usd=body.max_cost_usd,
            limit=body.limit,
            zone=None if body.zone is None else (body.zone.from_, body.zone.to),
            execution=execution,
        )
        job = JobRow(
            id=uuid4(),
            organization=caller.organization,
            kind=ENTITY_JUDGE,
            params=params.model_dump(mode="json"),
            max_cost_usd=body.max_cost_usd,
            created_by=caller.key_id,
            deadline=deadline,
            # One request at a time: what it can cost at most must fit into what is left.
            window_size=1,
        )
        await create_job(connection, job, most=max_jobs)
        return job

    async def list_all(self, organization: str, name: str, *, limit: int, offset: int) -> JudgementPage:
        """List the judgements of an index, newest first.

        Raises:
            NotFoundError: No such index.
        """
        async with self._database.transaction() as connection:
            index = await find_index(connection, organization, name)
            rows, total = await store.page_judgements(connection, index, limit=limit, offset=offset)
            uids = sorted({uid for row in rows for uid in (row.left_uid, row.right_uid)})
            statements = await store.read_statements(connection, index, uids)
        refused = set(Constraints(statements.labels, statements.judgements).refused)
        return JudgementPage(
            judgements=[_judgement_view(row, refused) for row in rows], limit=limit, offset=offset, total=total
        )

    async def remove_all(self, connection: Connection, organization: str, name: str) -> JudgementsRemoved:
        """Take all judgements of an index back: its pairs are judged by fields and labels alone again.

        Args:
            connection: In the caller's transaction.
            organization: Whose index.
            name: Its name.

        Raises:
            NotFoundError: No such index.
        """
        # In the order of a single write, as labels are taken back.
        await lock_single_writes(connection, organization, name)
        index = await find_index(connection, organization, name, lock="share")
        pairs = await store.delete_judgements(connection, organization, index.name)
        uids = sorted({uid for pair in pairs for uid in pair})
        model = await self._models.get(connection, index) if len(pairs) <= MAX_AT_ONCE else None
        await decide_or_mark(connection, index, model, uids, Reason(Cause.JUDGEMENT))
        return JudgementsRemoved(removed=len(pairs))


def _judgement_view(row: ListedJudgement, refused: set[PairLabel]) -> JudgementView:
    answer = JudgeAnswer(row.answer)
    standing = Standing.HOLDS
    if not row.is_current:
        standing = Standing.OUTDATED
    elif answer is JudgeAnswer.UNSURE:
        standing = Standing.UNSURE
    elif PairLabel(row.left_uid, row.right_uid, answer is JudgeAnswer.SAME) in refused:
        standing = Standing.CONFLICTING
    return JudgementView(
        entity_id=row.left_id,
        duplicate_id=row.right_id,
        answer=answer,
        reason=row.reason,
        judged_by=row.model,
        standing=standing,
        job_id=row.job_id,
        created_at=row.created_at,
        cost_usd=row.cost_usd,
    )


async def read_judges(
    connection: Connection, index: Index, pairs: Sequence[tuple[int, int, str | None]]
) -> dict[Pair, Judge]:
    """Return who has judged each of some pairs, of those whose basis may be a judgement.

    Args:
        connection: A connection.
        index: The generation.
        pairs: Both uids of each, in either order, and its basis.

    Returns:
        By the pair, the lower uid first. What follows from other judgements has none of its own.
    """
    judged = [(min(left, right), max(left, right)) for left, right, basis in pairs if basis in MAY_BE_JUDGED]
    return await store.read_judges(connection, index, judged) if judged else {}


async def judges_of_rows(connection: Connection, index: Index, rows: Sequence[PairRow]) -> list[Judge | None]:
    """Return who has judged each of some listed pairs; None: nobody."""
    uids = [tuple(sorted((entity_uid(parse_json(row.left_id)), entity_uid(parse_json(row.right_id))))) for row in rows]
    judges = await read_judges(
        connection, index, [(left, right, row.basis) for (left, right), row in zip(uids, rows, strict=True)]
    )
    return [judges.get((left, right)) for left, right in uids]


async def judges_of_partners(
    connection: Connection, index: Index, partners: Mapping[int, Sequence[PartnerRow]]
) -> dict[Pair, Judge]:
    """Return who has judged the pairs of some entities.

    Args:
        connection: A connection.
        index: The generation.
        partners: The candidates of each entity, by its uid.

    Returns:
        By the pair, the lower uid first.
    """
    pairs = [(uid, partner.uid, partner.basis) for uid, rows in partners.items() for partner in rows]
    return await read_judges(connection, index, pairs)


async def explain_by_judgement(connection: Connection, index: Index, view: WhyView, pair: Pair, sign: int) -> None:
    """Say that judgements decide of two entities, and which.

    Args:
        connection: A connection.
        index: The generation.
        view: Takes what is said.
        pair: The entities, the lower uid first.
        sign: What follows of them: SAME or DIFFERENT.
    """
    statements = await store.read_statements(connection, index, list(pair))
    refused = Constraints(statements.labels, statements.judgements).refused
    holding = [judgement for judgement in statements.judgements if judgement not in refused]
    chain = find_label_chain([*statements.labels, *holding], *pair, sign)
    pairs = [(link.left, link.right) for link in chain]
    judges = await store.read_judges(connection, index, pairs)
    ids = await read_ids(connection, index.index_no, sorted({uid for link in pairs for uid in link}))
    similarity_of = await read_link_similarities(connection, index, chain)
    view.reason = WhyReason.JUDGEMENT
    view.chain = [
        PairView(
            # An entity that is gone may still link others by its labels.
            entity_id=_name(ids, link.left),
            duplicate_id=_name(ids, link.right),
            similarity=similarity_of[link],
            duplicate=link.duplicate,
            **(judges[link.left, link.right].shown() if (link.left, link.right) in judges else {}),
        )
        for link in chain
    ]
    words = "the same" if sign == SAME else "different"
    judge = judges.get(pair)
    if judge is not None:
        view.judged_by, view.judge_reason = judge.model, judge.reason
        view.sentence = f"The model {judge.model} judges that they are {words}."
        return
    models = ", ".join(sorted({judge.model for judge in judges.values()}))
    view.judged_by = models or None
    view.sentence = f"It follows from {len(chain)} labels and judgements of {models} that they are {words}."


def _name(ids: dict[int, str], uid: int) -> str:
    return str(parse_json(ids[uid])) if uid in ids else "(removed)"
