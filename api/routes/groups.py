"""Groups one by one: what holds one together, why two entities are in one, and correcting them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from towpath.api.http.auth import Editor, Reader
from towpath.api.http.idempotency import IdempotencyKey, digest_of, slot_of, write_once
from towpath.api.http.responses import json_answer
from towpath.api.http.routing import ApiRoute
from towpath.api.http.state import State
from towpath.api.routes.entities import Explain, IndexName
from towpath.core.errors import BadInputError
from towpath.entities.domain.golden import Override, SurvivalRule
from towpath.entities.group_types import CorrectionView, GroupDetail, MergeBody, SplitBody, UndoBody, WhyView
from towpath.entities.types import DEFAULT_INDEX

router = APIRouter(prefix="/v1/groups", tags=["entities"], route_class=ApiRoute)

GroupId = Annotated[str, Path(alias="groupId", min_length=1, max_length=64)]
MAX_RULES = 10_000


@router.get("/why", summary="Why two entities are in one group, or why they are not", response_model=WhyView)
async def get_why(
    state: State,
    caller: Reader,
    entity_id: Annotated[
        str, Query(alias="entityId", min_length=1, max_length=512, description="An `id`, or a `sku`.")
    ],
    other_id: Annotated[str, Query(alias="otherId", min_length=1, max_length=512, description="The other one.")],
    index_name: IndexName = DEFAULT_INDEX,
) -> Response:
    """`reason` is a word, `sentence` says it.

    Together: `pair`, `group` (with the prior of the group), `chain` (through others), `label`. Apart: `label`,
    `no_shared_key`, `common_keys`, `crowded_out`, `below_threshold`, `better_candidate`, `one_to_one` (`lostTo` says to
    whom), `same_source`, `outweighed`.
    """
    view = await state.groups.explain_pair(caller.organization, index_name, entity_id, other_id)
    return json_answer(view.model_dump(mode="json", by_alias=True, exclude_none=True))


@router.get("/{groupId}", summary="One group, with its evidence and its golden record", response_model=GroupDetail)
async def get_group(
    state: State,
    caller: Reader,
    group_id: GroupId,
    index_name: IndexName = DEFAULT_INDEX,
    rule: Annotated[
        SurvivalRule | None,
        Query(description="By what the values of all fields survive, whatever rules the index has."),
    ] = None,
    rules: Annotated[
        str | None, Query(max_length=MAX_RULES, description="Of single fields: `name:longest,price:newest`.")
    ] = None,
    sources: Annotated[
        str | None, Query(max_length=MAX_RULES, description="For `source_rank`: sources, the best first: `crm,shop`.")
    ] = None,
    explain: Explain = True,
) -> Response:
    """`evidence` is the strongest pairs that connect the members; `golden` has one value for each field.

    Values survive by the rules of the index (`PUT /v1/indexes/{indexName}/golden-rules`) and by those of the request,
    which go before them.

    Where a rule leaves several values, the most frequent survives, then the longest, then the newest. The first 1,000
    members are listed and looked at.
    """
    ranked = None if sources is None else [name.strip() for name in sources.split(",") if name.strip()]
    requested = Override(rule, _read_rules(rules), ranked)
    view = await state.groups.read(caller.organization, index_name, group_id, requested, explain=explain)
    return json_answer(view.model_dump(mode="json", by_alias=True, exclude_none=True))


def _read_rules(text: str | None) -> dict[str, SurvivalRule]:
    """Read `field:rule,...`."""
    by_field: dict[str, SurvivalRule] = {}
    for part in (text or "").split(","):
        if not part.strip():
            continue
        name, colon, word = part.strip().rpartition(":")
        if not colon or not name:
            raise BadInputError(f"rules must be field:rule, not {part.strip()[:64]}", field="rules")
        try:
            by_field[name] = SurvivalRule(word)
        except ValueError as error:
            known = ", ".join(SurvivalRule)
            raise BadInputError(f"rules has {word[:64]}, and the rules are {known}", field="rules") from error
    return by_field


@router.post("/{groupId}/split", summary="Split a group", response_model=CorrectionView)
async def split_group(
    request: Request,
    state: State,
    caller: Editor,
    group_id: GroupId,
    body: SplitBody,
    index_name: IndexName = DEFAULT_INDEX,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """`leave`: who is not the same as the others; or `parts`: who is the same as whom. It holds for ever, by labels.

    The larger part keeps the name of the group. `undo` takes it back.
    """
    return await write_once(
        state, slot_of(request, caller, idempotency_key), digest_of(body),
        lambda connection: state.corrections.split(connection, caller, index_name, group_id, body),
    )  # fmt: skip


@router.post("/{groupId}/merge", summary="Merge groups and entities into a group", response_model=CorrectionView)
async def merge_group(
    request: Request,
    state: State,
    caller: Editor,
    group_id: GroupId,
    body: MergeBody,
    index_name: IndexName = DEFAULT_INDEX,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """All members of the groups and all entities that are named are the same. It holds for ever, by labels.

    The larger group gives the name, of equal ones the older. `undo` takes it back.
    """
    return await write_once(
        state, slot_of(request, caller, idempotency_key), digest_of(body),
        lambda connection: state.corrections.merge(connection, caller, index_name, group_id, body),
    )  # fmt: skip


@router.post("/{groupId}/undo", summary="Undo a split or a merge", response_model=CorrectionView)
async def undo_correction(
    request: Request,
    state: State,
    caller: Editor,
    group_id: GroupId,
    body: UndoBody,
    index_name: IndexName = DEFAULT_INDEX,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """The newest correction of the group, or that of `correctionId`: verdicts, groups and names are what they were."""
    return await write_once(
        state, slot_of(request, caller, idempotency_key), digest_of(body),
        lambda connection: state.corrections.undo(connection, caller, index_name, group_id, body.correction_id),
    )  # fmt: skip
