"""A language model judges the doubtful pairs of an index: a job that picks pairs, asks about them, and decides anew.

One request is made for up to 64 pairs, and none that could cost more than is left. What is answered is stored with what
it has cost in one transaction; verdicts and groups follow in small steps, so that single writes need not wait.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from towpath.core.errors import (
    AnswerAwaitedError,
    CostLimitError,
    ErrorCode,
    JobFaultError,
    ModelError,
    NotFoundError,
    OutputInvalidError,
)
from towpath.core.json_values import parse_json, write_json
from towpath.db.engine import Connection, Database
from towpath.entities.domain.judging import (
    PAIRS_A_PROMPT,
    PairAnswer,
    Question,
    judge_prompt,
    read_answers,
    shown_values,
)
from towpath.entities.domain.matching import Constraints, PairLabel
from towpath.entities.group_types import Cause
from towpath.entities.judge_types import JudgeAnswer, JudgeParams, JudgePlan, JudgeResult, StopReason
from towpath.entities.service.deciding import decide_marked, decide_or_mark
from towpath.entities.service.matching import Matcher
from towpath.entities.service.naming import Reason
from towpath.entities.store import judgements as store
from towpath.entities.store.indexes import Index, find_index
from towpath.entities.store.judgements import Content, Pair, StoredJudgement
from towpath.entities.store.locks import lock_deciding, lock_single_writes
from towpath.entities.types import Phase
from towpath.jobs.domain import Outcome, count_outcomes
from towpath.jobs.pages import record_page
from towpath.jobs.params import load_params, params_of
from towpath.jobs.store import jobs as job_store
from towpath.jobs.store.runs import lock_run
from towpath.jobs.store.staging import (
    Retake,
    StagedItem,
    add_failures,
    load_page,
    plan_pages,
    save_outcomes,
    stage_page,
)
from towpath.jobs.types import FailedItem, JobRef, PageTask
from towpath.llm.batches.choice import tell_execution
from towpath.llm.batches.collecting import collecting
from towpath.llm.gateway import LlmGateway
from towpath.llm.types import Purpose, Site

MARKS_A_STEP = 50
"""Entities whose components are decided in one transaction."""
TRIES = 2
"""How often a pair is asked; again only where no usable answer has come."""
NO_ANSWER = "the model gave no usable answer"


@dataclass(slots=True)
class _Asking:
    """What has come of asking about the pairs of a page; places are those within the page.

    Attributes:
        answers: The answers.
        costs: What each answered pair has cost.
        open: Pairs that are still to be asked.
        failed: Why the others have no answer.
    """

    open: list[int]
    answers: dict[int, PairAnswer] = field(default_factory=dict)
    costs: dict[int, float] = field(default_factory=dict)
    failed: dict[int, tuple[ErrorCode, str]] = field(default_factory=dict)


class Judging:
    """Works through the jobs of the judge.

    Args:
        database: Where indexes and jobs are.
        matcher: This process's models of matching.
        llm_gateway: The language models.
    """

    def __init__(self, database: Database, matcher: Matcher, llm_gateway: LlmGateway) -> None:
        self._database = database
        self._matcher = matcher
        self._llm_gateway = llm_gateway

    async def plan(self, ref: JobRef) -> JudgePlan:
        """Pick the pairs and stage them; a later attempt takes up what was left.

        Raises:
            JobFaultError: The index is gone.
        """
        async with self._database.transaction() as connection:
            job = await lock_run(connection, ref)
            params = params_of(job, JudgeParams)
            if params.attempt is None:
                index = await _open_index(connection, ref, params)
                low, high = params.zone or (index.config.candidate_threshold, index.config.duplicate_threshold)
                pairs = await store.pick_pairs(connection, index, low, high, limit=params.limit + 1)
                await job_store.merge_params(connection, ref, {"has_more": len(pairs) > params.limit})
                await _stage(connection, ref, pairs[: params.limit])
            if params.attempt != ref.attempt:
                await job_store.merge_params(connection, ref, {"attempt": ref.attempt, "is_spent": False})
            retake = Retake.FAILED if ref.attempt > 1 else Retake.NONE
            await tell_execution(connection, ref, params.execution)
            batch = self._llm_gateway.batch_plan if params.execution.is_batch else None
            return JudgePlan(pages=await plan_pages(connection, ref.job_id, retake=retake), batch=batch)

    async def judge_page(self, task: PageTask) -> None:
        """Ask about the pairs of a page that are still doubtful, and keep the answers.

        Raises:
            ModelError: The model cannot answer now; what was answered is kept.
            JobNotActiveError: The job has ended.
            JobFaultError: The index is gone.
        """
        ref = task.ref
        async with self._database.transaction() as connection:
            await job_store.assert_active(connection, ref)
            params = await load_params(connection, ref, JudgeParams)
            index = await _open_index(connection, ref, params)
            page = await load_page(connection, ref.job_id, task.page, lock=False)
            waiting = np.flatnonzero(page.outcomes == Outcome.WAITING).tolist()
            pairs: dict[int, Pair] = {place: _read_pair(page.lines[place]) for place in waiting}
            contents = await store.read_contents(
                connection, index.index_no, sorted({uid for pair in pairs.values() for uid in pair})
            )
            settled = await store.find_settled(connection, index, list(pairs.values()))
        if not pairs:
            # An earlier try has recorded the page.
            await self._follow(ref, params)
            return
        asking = _Asking(
            [place for place, pair in pairs.items() if pair not in settled and contents.keys() >= set(pair)]
        )
        skipped = set(pairs) - set(asking.open)
        if asking.open and not params.is_spent:
            questions = {place: _question(index, contents, pairs[place]) for place in asking.open}
            try:
                with collecting(task.collects):
                    await self._ask(task, params, questions, asking)
            except AnswerAwaitedError:
                # What is set aside for the page stays so until its answers have come.
                await self._follow(ref, params)
                return
        judgements = [
            _judgement(ref, params, pairs[place], contents, answer, asking.costs[place])
            for place, answer in sorted(asking.answers.items())
        ]
        async with self._database.transaction() as connection:
            await self._record(connection, task, asking, skipped, judgements)
        await self._follow(ref, params)

    async def settle(self, ref: JobRef) -> dict[str, Any]:
        """Decide what is left, and sum up.

        Returns:
            The job's result, a `JudgeResult`.

        Raises:
            JobFaultError: The index is gone.
        """
        async with self._database.transaction() as connection:
            params = await load_params(connection, ref, JudgeParams)
        await self._follow(ref, params, wait=True)
        async with self._database.transaction() as connection:
            job = await lock_run(connection, ref)
            index = await _open_index(connection, ref, params)
            conflicting = await _count_conflicting(connection, index, ref)
        answers = {answer: params.answers.get(answer, 0) for answer in JudgeAnswer}
        stopped = StopReason.DONE
        if job.processed < job.total:
            stopped = StopReason.BUDGET
        elif params.has_more:
            stopped = StopReason.LIMIT
        result = JudgeResult(
            pairs_asked=sum(answers.values()) + job.failed,
            same=answers[JudgeAnswer.SAME],
            different=answers[JudgeAnswer.DIFFERENT],
            unsure=answers[JudgeAnswer.UNSURE],
            unanswered=job.failed,
            conflicting=conflicting,
            cost_usd=job.cost_usd,
            input_tokens=job.input_tokens,
            output_tokens=job.output_tokens,
            stopped_because=stopped,
        )
        return result.model_dump(mode="json", by_alias=True)

    async def _ask(self, task: PageTask, params: JudgeParams, questions: dict[int, Question], asking: _Asking) -> None:
        """Ask until each pair has an answer, has been asked often enough, or the next request could cost too much."""
        site = Site(Purpose.JUDGEMENT, task.page)
        for attempt in range(TRIES):
            places = asking.open
            prompt = judge_prompt([questions[place] for place in places])
            try:
                answer = await self._llm_gateway.ask(task.ref, params.model, prompt, site=site, repairs=0)
            except CostLimitError:
                if attempt:
                    asking.failed = dict.fromkeys(places, (ErrorCode.COST_LIMIT, f"{NO_ANSWER}; maxCostUsd is reached"))
                    asking.open = []
                if task.collects:
                    # What is set aside for pages that wait may turn out to be more than they cost.
                    return
                # A smaller page might fit, but it is the less doubtful pairs that come later.
                async with self._database.transaction() as connection:
                    await job_store.merge_params(connection, task.ref, {"is_spent": True})
                return
            except OutputInvalidError as error:
                asking.failed = dict.fromkeys(places, (error.code, error.detail))
            except ModelError as error:
                if error.retryable:
                    raise
                asking.failed, asking.open = dict.fromkeys(places, (error.code, error.detail)), []
                return
            else:
                usable = read_answers(answer.data, len(places))
                asking.answers |= {places[at]: pair_answer for at, pair_answer in usable.items()}
                asking.costs |= {places[at]: answer.usd / len(usable) for at in usable}
                asking.open = [place for at, place in enumerate(places) if at not in usable]
                asking.failed = dict.fromkeys(asking.open, (ErrorCode.MODEL_OUTPUT_INVALID, NO_ANSWER))
            if not asking.open:
                return
        asking.open = []

    async def _record(
        self,
        connection: Connection,
        task: PageTask,
        asking: _Asking,
        skipped: set[int],
        judgements: list[StoredJudgement],
    ) -> None:
        """Store what has come of a page: judgements, marks, outcomes, cost, event."""
        ref = task.ref
        job = await lock_run(connection, ref)
        params = params_of(job, JudgeParams)
        index = await _open_index(connection, ref, params, lock=True)
        page = await load_page(connection, ref.job_id, task.page)
        before = count_outcomes(page.outcomes)
        if judgements:
            await store.save_judgements(connection, index.organization, index.name, judgements)
            uids = sorted({uid for x in judgements for uid in (x.left_uid, x.right_uid)})
            # They are decided in small steps of their own, see `_follow`.
            await decide_or_mark(connection, index, None, uids, Reason(Cause.JUDGEMENT, ref.job_id))
        for places, outcome in (
            (asking.answers, Outcome.DONE),
            (asking.failed, Outcome.FAILED),
            (skipped, Outcome.UNCHANGED),
        ):
            page.outcomes[list(places)] = outcome
        await add_failures(
            connection,
            ref.job_id,
            [
                FailedItem(index=page.first_index + place, stage=Phase.JUDGE, code=code, message=message)
                for place, (code, message) in sorted(asking.failed.items())
            ],
        )
        await save_outcomes(connection, ref.job_id, task.page, page.outcomes, 2)
        answers = dict(params.answers)
        for pair_answer in asking.answers.values():
            answers[pair_answer.answer] = answers.get(pair_answer.answer, 0) + 1
        await job_store.merge_params(connection, ref, {"answers": answers})
        after = count_outcomes(page.outcomes)
        await record_page(connection, task, Phase.JUDGE, before, after)

    async def _follow(self, ref: JobRef, params: JudgeParams, *, wait: bool = False) -> None:
        """Decide verdicts and groups of what is marked, some at a time.

        Args:
            ref: The job.
            params: What it was asked for.
            wait: Whether to wait for somebody else who decides; otherwise the marks stay for later.
        """

        async def decide(connection: Connection) -> int | None:
            # In the order of a single write: otherwise the two could wait for each other.
            await lock_single_writes(connection, ref.organization, params.index)
            await job_store.assert_active(connection, ref)
            index = await _open_index(connection, ref, params, lock=True)
            model = await self._matcher.models.get(connection, index)
            reason = Reason(Cause.JUDGEMENT, ref.job_id)
            return await decide_marked(connection, index, model, reason, limit=MARKS_A_STEP)

        while (decided := await self._database.repeatable(decide)) != 0:
            if decided is not None:
                continue
            if not wait:
                return
            # Without the lock of single writes, which go on meanwhile.
            async with self._database.transaction() as connection:
                index = await _open_index(connection, ref, params)
                await lock_deciding(connection, index.index_no)


async def _open_index(connection: Connection, ref: JobRef, params: JudgeParams, *, lock: bool = False) -> Index:
    """Return the live generation; with `lock` no other one takes its place before the transaction ends."""
    dropped = JobFaultError(f"the index {params.index} has been dropped", code=ErrorCode.INDEX_DROPPED)
    try:
        index = await find_index(connection, ref.organization, params.index, lock="share" if lock else "")
    except NotFoundError as error:
        raise dropped from error
    if index.created_at.isoformat() != params.index_made:
        raise dropped
    return index


async def _stage(connection: Connection, ref: JobRef, pairs: list[Pair]) -> None:
    for page, start in enumerate(range(0, len(pairs), PAIRS_A_PROMPT)):
        items = [
            StagedItem(raw=write_json(pair), uid=start + place + 1)
            for place, pair in enumerate(pairs[start : start + PAIRS_A_PROMPT])
        ]
        await stage_page(connection, ref.job_id, page, start, items)


def _read_pair(line: bytes) -> Pair:
    left, right = parse_json(line)
    return left, right


def _question(index: Index, contents: dict[int, Content], pair: Pair) -> Question:
    left, right = (shown_values(parse_json(contents[uid].body), index.config) for uid in pair)
    return Question(left, right)


def _judgement(
    ref: JobRef, params: JudgeParams, pair: Pair, contents: dict[int, Content], answer: PairAnswer, cost: float
) -> StoredJudgement:
    left, right = (contents[uid] for uid in pair)
    return StoredJudgement(
        left_uid=pair[0],
        right_uid=pair[1],
        left_id=str(parse_json(left.id_json)),
        right_id=str(parse_json(right.id_json)),
        left_digest=left.digest,
        right_digest=right.digest,
        answer=answer.answer,
        reason=answer.reason,
        model=params.model,
        job_id=ref.job_id,
        cost_usd=cost,
    )


async def _count_conflicting(connection: Connection, index: Index, ref: JobRef) -> int:
    pairs = set(await store.read_job_pairs(connection, index, ref.job_id))
    if not pairs:
        return 0
    statements = await store.read_statements(connection, index)
    refused: list[PairLabel] = Constraints(statements.labels, statements.judgements).refused
    return sum((label.left, label.right) in pairs for label in refused)
