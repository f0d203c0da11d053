"""What a caller may do to people and keys of their organization, as pure rules."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from uuid import UUID

import pytest

from towpath.accounts.domain.policy import AccountAction, KeyTarget, Target, UserTarget, assert_may
from towpath.accounts.types import KeyKind, Principal, Role, Scope
from towpath.core.errors import ConflictError, ForbiddenError

ADA, EVE, KEY = UUID(int=1), UUID(int=2), UUID(int=3)
BOTH = frozenset(Scope)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
A = AccountAction


def key(role: Role = Role.OWNER, **more: object) -> Principal:
    """An organization's key."""
    return Principal.model_validate(
        {"organization": "o", "kind": KeyKind.ORGANIZATION, "role": role, "scopes": BOTH, "key_id": KEY, **more}
    )


def person(role: Role = Role.OPERATOR, user_id: UUID = EVE, **more: object) -> Principal:
    """Someone who is signed in."""
    return Principal.model_validate(
        {"organization": "o", "kind": KeyKind.PERSONAL, "role": role, "scopes": BOTH, "user_id": user_id, **more}
    )


OF_ORGANIZATION = KeyTarget(kind=KeyKind.ORGANIZATION, role=Role.EDITOR, scopes=BOTH, expires_at=None, id=UUID(int=9))
OF_EVE = replace(OF_ORGANIZATION, kind=KeyKind.PERSONAL, role=Role.OPERATOR, user_id=EVE)


def refused(caller: Principal, action: AccountAction, target: Target = None) -> str:
    """Why it is refused; empty: it is not."""
    try:
        assert_may(caller, action, target)
    except (ForbiddenError, ConflictError) as error:
        return f"{error.status} {error.detail}"
    return ""


@pytest.mark.parametrize("action", [A.CHANGE_USER, A.REMOVE_USER, A.RESET_PASSWORD, A.END_SESSIONS])
def test_a_user_is_changed_by_owners_who_are_not_below(action: AccountAction) -> None:
    for mine, theirs in product(Role, Role):
        may = mine.covers(Role.OWNER) and mine.covers(theirs)

        assert (refused(person(mine), action, UserTarget(ADA, theirs)) == "") is may, (mine, theirs)


def test_nobody_gives_a_role_above_their_own() -> None:
    for mine, given in product((Role.OWNER, Role.ADMIN), Role):
        may = mine.covers(given)

        assert (refused(key(mine), A.INVITE, given) == "") is may
        assert (refused(key(mine), A.CHANGE_USER, UserTarget(ADA, Role.OPERATOR, given)) == "") is may
        assert (refused(key(mine), A.MAKE_KEY, replace(OF_ORGANIZATION, id=None, role=given)) == "") is may
        assert (refused(key(mine), A.CHANGE_KEY, replace(OF_ORGANIZATION, new_role=given)) == "") is may


@pytest.mark.parametrize("action", list(AccountAction))
def test_who_only_reads_changes_nothing(action: AccountAction) -> None:
    reader = person(Role.ADMIN, scopes=frozenset({Scope.READ}))

    assert refused(reader, action, None) == "403 this key lacks the scope write"


def test_a_personal_key_is_rotated_by_its_user_alone() -> None:
    assert refused(person(), A.ROTATE_KEY, OF_EVE) == ""
    for other in (key(Role.ADMIN), key(user_id=EVE), person(Role.ADMIN, user_id=ADA)):
        assert "by its own user" in refused(other, A.ROTATE_KEY, OF_EVE)


def test_a_personal_key_is_revoked_by_its_user_and_by_owners() -> None:
    assert refused(person(), A.REVOKE_KEY, OF_EVE) == ""
    assert refused(key(), A.REVOKE_KEY, OF_EVE) == ""
    assert refused(person(Role.EDITOR, user_id=ADA), A.REVOKE_KEY, OF_EVE).startswith("403")
    assert refused(key(), A.REVOKE_KEY, replace(OF_EVE, role=Role.ADMIN)).startswith("403")
    itself = key(Role.OPERATOR, key_id=OF_ORGANIZATION.id)
    assert refused(itself, A.REVOKE_KEY, OF_ORGANIZATION) == ""


def test_what_is_dead_does_not_come_alive() -> None:
    dead = replace(OF_ORGANIZATION, live=False)

    assert refused(key(), A.ROTATE_KEY, dead).startswith("409")
    assert refused(key(), A.CHANGE_KEY, replace(dead, moves_end=True)).startswith("409")
    assert refused(key(), A.CHANGE_KEY, dead) == ""


@pytest.mark.parametrize("action", [A.MAKE_KEY, A.ROTATE_KEY])
def test_who_learns_a_secret_gains_nothing_by_it(action: AccountAction) -> None:
    ends = NOW + timedelta(days=1)
    maker = key(expires_at=ends)

    assert refused(maker, action, replace(OF_ORGANIZATION, expires_at=ends)) == ""
    for late in (None, ends + timedelta(seconds=1)):
        assert "cannot outlive" in refused(maker, action, replace(OF_ORGANIZATION, expires_at=late))
        moved = replace(OF_ORGANIZATION, moves_end=True, new_expires_at=late)
        assert "cannot outlive" in refused(maker, A.CHANGE_KEY, moved)
    writer = key(scopes=frozenset({Scope.WRITE}))
    assert "a scope that its maker lacks: read" in refused(writer, action, OF_ORGANIZATION)
    assert "above your own" in refused(key(), action, replace(OF_ORGANIZATION, role=Role.ADMIN))


def test_a_personal_key_acts_as_its_maker() -> None:
    made = replace(OF_EVE, id=None)

    assert refused(person(), A.MAKE_KEY, made) == ""
    for other in (person(Role.OWNER, user_id=ADA), key(user_id=EVE)):
        assert "acts as its maker" in refused(other, A.MAKE_KEY, made)
    assert "needs the role owner" in refused(person(Role.EDITOR), A.MAKE_KEY, replace(OF_ORGANIZATION, id=None))


def test_a_password_is_changed_by_who_is_signed_in_with_it() -> None:
    assert refused(person(), A.CHANGE_OWN_PASSWORD) == ""
    assert "not by a key" in refused(person(key_id=KEY), A.CHANGE_OWN_PASSWORD)
    assert refused(person(key_id=KEY), A.END_OWN_SESSIONS) == ""
    for action in (A.CHANGE_OWN_PASSWORD, A.END_OWN_SESSIONS):
        assert "no password and no sessions" in refused(key(Role.ADMIN, user_id=EVE), action)


@pytest.mark.parametrize(
    ("action", "target"), [(A.INVITE, Role.OWNER), (A.RESET_PASSWORD, UserTarget(ADA, Role.OWNER))]
)
def test_a_key_that_ends_lets_nobody_in_who_stays(action: AccountAction, target: Target) -> None:
    assert refused(key(), action, target) == ""
    assert refused(person(Role.OWNER), action, target) == ""
    assert refused(key(expires_at=NOW), action, target).startswith("403")


def test_a_key_that_ends_raises_no_key_that_lasts_longer() -> None:
    raised = replace(OF_ORGANIZATION, role=Role.OPERATOR, new_role=Role.OWNER)

    assert refused(key(), A.CHANGE_KEY, raised) == ""
    assert refused(key(expires_at=NOW), A.CHANGE_KEY, raised).startswith("403")
    assert refused(key(expires_at=NOW), A.CHANGE_KEY, replace(raised, new_role=Role.OPERATOR)) == ""
    assert refused(key(expires_at=NOW), A.CHANGE_KEY, replace(raised, expires_at=NOW)) == ""
