"""Who sees a job and who moves it, by every kind of caller."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID, uuid4

import pytest

from towpath.accounts.types import KeyKind, Principal, Role, Scope
from towpath.ai.types import AI_JOB
from towpath.core.errors import ForbiddenError, NotFoundError
from towpath.entities.types import ENTITY_BATCH
from towpath.jobs.policy import MOVES, JobAction, assert_may, may, seer_of
from towpath.jobs.registry import kinds, personal_kinds

ANNA, BORIS, THREAD = uuid4(), uuid4(), uuid4()
KEY = uuid4()
OTHERS = [action for action in JobAction if action not in MOVES]


@dataclass(frozen=True)
class Job:
    kind: str = AI_JOB
    user_id: UUID | None = None
    created_by: UUID | None = None
    conversation_id: UUID | None = THREAD
    organization: str = "acme"
    id: UUID = THREAD


def key(role: Role = Role.OPERATOR, *, key_id: UUID = KEY, scopes: frozenset[Scope] = frozenset(Scope)) -> Principal:
    return Principal(organization="acme", key_id=key_id, kind=KeyKind.ORGANIZATION, role=role, scopes=scopes)


def person(user: UUID, role: Role = Role.OPERATOR) -> Principal:
    return Principal(organization="acme", user_id=user, kind=KeyKind.PERSONAL, role=role, scopes=frozenset(Scope))


def link(thread: UUID = THREAD, *, write: bool = True) -> Principal:
    scopes = frozenset(Scope) if write else frozenset({Scope.READ})
    return Principal(
        organization="acme", kind=KeyKind.ORGANIZATION, role=Role.OPERATOR, scopes=scopes, thread_id=thread
    )


@pytest.mark.parametrize("kind", sorted(set(kinds()) - personal_kinds()))
@pytest.mark.parametrize("action", list(JobAction))
def test_a_job_of_the_organization_is_everybodys(kind: str, action: JobAction) -> None:
    for caller in (key(), person(ANNA), person(BORIS, Role.OWNER)):
        assert may(caller, action, Job(kind, created_by=uuid4()))


@pytest.mark.parametrize("kind", sorted(personal_kinds()))
def test_a_question_is_seen_by_who_asked_and_by_keys_of_the_organization(kind: str) -> None:
    asked = Job(kind, user_id=ANNA)

    assert may(person(ANNA), JobAction.SEE, asked)
    assert may(key(), JobAction.SEE, asked)
    for other in (person(BORIS), person(BORIS, Role.OWNER), person(BORIS, Role.ADMIN)):
        with pytest.raises(NotFoundError):
            assert_may(other, JobAction.SEE, asked)
        assert not may(other, JobAction.CANCEL, asked)


@pytest.mark.parametrize("kind", sorted(personal_kinds()))
def test_a_question_of_nobody_is_for_keys(kind: str) -> None:
    assert may(key(), JobAction.SEE, Job(kind))
    assert not may(person(ANNA, Role.OWNER), JobAction.SEE, Job(kind))


@pytest.mark.parametrize("action", sorted(MOVES))
def test_a_question_is_moved_by_who_asked_or_an_owner(action: JobAction) -> None:
    asked = Job(user_id=ANNA, created_by=KEY)

    assert may(person(ANNA), action, asked)
    assert may(key(), action, asked)
    assert may(key(Role.OWNER, key_id=uuid4()), action, asked)
    for stranger in (key(key_id=uuid4()), key(Role.EDITOR, key_id=uuid4())):
        with pytest.raises(ForbiddenError, match="only who asked, or an owner"):
            assert_may(stranger, action, asked)


@pytest.mark.parametrize("action", list(JobAction))
def test_a_link_is_for_its_thread_alone(action: JobAction) -> None:
    assert may(link(), action, Job(user_id=ANNA))
    assert not may(link(uuid4()), action, Job(user_id=ANNA))
    assert not may(link(), action, Job(ENTITY_BATCH, conversation_id=None))
    assert may(link(write=False), action, Job(user_id=ANNA)) is (action is JobAction.SEE)


@pytest.mark.parametrize("action", list(JobAction))
def test_another_organizations_job_is_not_there(action: JobAction) -> None:
    for caller in (key(Role.ADMIN), person(ANNA, Role.ADMIN), link()):
        with pytest.raises(NotFoundError):
            assert_may(caller, action, Job(user_id=ANNA, organization="other"))


@pytest.mark.parametrize("action", [one for one in JobAction if one is not JobAction.SEE])
def test_a_key_for_reading_moves_nothing(action: JobAction) -> None:
    with pytest.raises(ForbiddenError, match="scope write"):
        assert_may(key(Role.OWNER, scopes=frozenset({Scope.READ})), action, Job(ENTITY_BATCH))
    with pytest.raises(ForbiddenError, match="scope read"):
        assert_may(key(Role.OWNER, scopes=frozenset({Scope.WRITE})), JobAction.SEE, Job(ENTITY_BATCH))


def test_lists_show_a_person_what_single_jobs_show() -> None:
    assert seer_of(person(ANNA)) == ANNA
    assert seer_of(key()) is None
