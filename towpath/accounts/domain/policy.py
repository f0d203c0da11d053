"""What a caller may do to people and keys of their organization: one answer for API, console and command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from towpath.accounts.types import KeyKind, Principal, Role, Scope
from towpath.core.errors import ConflictError, ForbiddenError


class AccountAction(StrEnum):
    """What can be done to people and keys."""

    SEE_PEOPLE = "see people"
    INVITE = "invite someone"
    CHANGE_USER = "change a user"
    REMOVE_USER = "remove a user"
    RESET_PASSWORD = "reset a user's password"
    END_SESSIONS = "end a user's sessions"
    CHANGE_OWN_PASSWORD = "change one's own password"
    END_OWN_SESSIONS = "end one's own sessions"
    SEE_KEYS = "see keys"
    MAKE_KEY = "make a key"
    CHANGE_KEY = "change a key"
    ROTATE_KEY = "rotate a key"
    REVOKE_KEY = "revoke a key"


@dataclass(frozen=True, slots=True)
class UserTarget:
    """A user of the caller's organization to whom something is done.

    Attributes:
        id: Who.
        role: What they have now.
        new_role: What they would have afterwards; None: the same.
    """

    id: UUID
    role: Role
    new_role: Role | None = None


@dataclass(frozen=True, slots=True)
class KeyTarget:
    """A key of the caller's organization, as it is or as it would be made.

    Attributes:
        id: None: it is still to be made.
        user_id: Whose personal key it is, or the user whom an organization key names.
        new_role: The role it would have afterwards; None: the same.
        new_expires_at: The end it would have afterwards, None: none. Only looked at with `moves_end`.
        moves_end: Whether its end is changed.
        live: Whether it opens anything now.
    """

    kind: KeyKind
    role: Role
    scopes: frozenset[Scope]
    expires_at: datetime | None
    id: UUID | None = None
    user_id: UUID | None = None
    new_role: Role | None = None
    new_expires_at: datetime | None = None
    moves_end: bool = False
    live: bool = True


Target = UserTarget | KeyTarget | Role | None
_BY_OWNERS = frozenset(AccountAction) - {
    AccountAction.CHANGE_OWN_PASSWORD,
    AccountAction.END_OWN_SESSIONS,
    AccountAction.MAKE_KEY,
    AccountAction.ROTATE_KEY,
    AccountAction.REVOKE_KEY,
}


def assert_may(caller: Principal, action: AccountAction, target: Target = None) -> None:
    """See that a caller may do something to a person or a key of their own organization.

    That the target belongs to the caller's organization is known by then: a stranger's is not found.

    Args:
        caller: Who does it.
        action: What is done.
        target: To whom or what; of an invitation the role that it gives.

    Raises:
        ForbiddenError: The caller may not; the sentence says what is lacking.
        ConflictError: The key is revoked or expired, and must not come alive again.
    """
    if Scope.WRITE not in caller.scopes:
        raise ForbiddenError(f"this key lacks the scope {Scope.WRITE}")
    if action in _BY_OWNERS:
        _owner(caller)
    if action in {AccountAction.INVITE, AccountAction.RESET_PASSWORD}:
        # Who comes in by them stays: a key that ends must not outlive itself so.
        _not_longer(caller, None)
    if action in {AccountAction.CHANGE_OWN_PASSWORD, AccountAction.END_OWN_SESSIONS}:
        _person(caller, action)
    if isinstance(target, Role):
        _not_above(caller, target)
    elif isinstance(target, UserTarget):
        _to_user(caller, target)
    elif isinstance(target, KeyTarget):
        _to_key(caller, action, target)


def is_person(caller: Principal) -> bool:
    """Whether a caller is a user, by a session or a personal key, and not an organization's key."""
    return caller.kind is KeyKind.PERSONAL and caller.user_id is not None


def _owner(caller: Principal) -> None:
    if not caller.role.covers(Role.OWNER):
        raise ForbiddenError(f"this needs the role {Role.OWNER}; the key has {caller.role}")


def _person(caller: Principal, action: AccountAction) -> None:
    if not is_person(caller):
        raise ForbiddenError("an organization's key has no password and no sessions of its own")
    if action is AccountAction.CHANGE_OWN_PASSWORD and caller.key_id is not None:
        raise ForbiddenError("a password is changed by who is signed in with it, not by a key")


def _not_above(caller: Principal, role: Role) -> None:
    if not caller.role.covers(role):
        raise ForbiddenError(f"the role {role} is above your own")


def _to_user(caller: Principal, target: UserTarget) -> None:
    if not caller.role.covers(target.role):
        raise ForbiddenError(f"this user has the role {target.role}, which is above your own")
    if target.new_role is not None:
        _not_above(caller, target.new_role)


def _to_key(caller: Principal, action: AccountAction, target: KeyTarget) -> None:
    _KEY_RULES[action](caller, target)


def _make(caller: Principal, target: KeyTarget) -> None:
    if target.kind is KeyKind.ORGANIZATION:
        _owner(caller)
    elif not is_person(caller) or target.user_id != caller.user_id:
        raise ForbiddenError("a personal key acts as its maker")
    _within(caller, target)


def _change(caller: Principal, target: KeyTarget) -> None:
    _not_above(caller, target.role)
    if target.new_role is not None:
        _not_above(caller, target.new_role)
        if not target.role.covers(target.new_role):
            _not_longer(caller, target.new_expires_at if target.moves_end else target.expires_at)
    if target.moves_end:
        if not target.live:
            raise ConflictError("this key is revoked or expired; its end cannot be moved: make another one")
        _not_longer(caller, target.new_expires_at)


def _rotate(caller: Principal, target: KeyTarget) -> None:
    if target.kind is KeyKind.ORGANIZATION:
        _owner(caller)
    elif not _own(caller, target):
        raise ForbiddenError("a personal key is rotated by its own user; an owner may revoke it")
    if not target.live:
        raise ConflictError("this key is revoked or expired; make another one instead of rotating it")
    _within(caller, target)


def _revoke(caller: Principal, target: KeyTarget) -> None:
    if not _own(caller, target):
        _owner(caller)
        _not_above(caller, target.role)


_KEY_RULES: dict[AccountAction, Callable[[Principal, KeyTarget], None]] = {
    AccountAction.MAKE_KEY: _make,
    AccountAction.CHANGE_KEY: _change,
    AccountAction.ROTATE_KEY: _rotate,
    AccountAction.REVOKE_KEY: _revoke,
}


def _own(caller: Principal, target: KeyTarget) -> bool:
    """Whether a key is the caller's personal one, or the very key of the call."""
    if target.id is not None and target.id == caller.key_id:
        return True
    return target.kind is KeyKind.PERSONAL and is_person(caller) and target.user_id == caller.user_id


def _within(caller: Principal, target: KeyTarget) -> None:
    """See that who learns the secret of a key can do no more with it, and no longer, than already."""
    _not_above(caller, target.role)
    if missing := target.scopes - caller.scopes:
        raise ForbiddenError(f"a key cannot have a scope that its maker lacks: {', '.join(sorted(missing))}")
    _not_longer(caller, target.expires_at)


def _not_longer(caller: Principal, expires_at: datetime | None) -> None:
    own = caller.expires_at
    if own is not None and (expires_at is None or expires_at > own):
        raise ForbiddenError(f"a key cannot outlive the one that makes or changes it, which ends at {own.isoformat()}")
