"""Registering, by invitation or with an organization of one's own, and setting one's password."""

from __future__ import annotations

from towpath.accounts.domain.policy import AccountAction, assert_may
from towpath.accounts.rate_limiter import Rate
from towpath.accounts.service import Accounts
from towpath.accounts.service.passwords import hash_new_password
from towpath.accounts.service.sign_ins import hash_address, verify_present_password
from towpath.accounts.store import accounts as store
from towpath.accounts.store import auth, sessions
from towpath.accounts.store.tables import UserRow
from towpath.accounts.types import PasswordChange, PasswordReset, Principal, RegisterBody
from towpath.core.errors import BadInputError, ForbiddenError
from towpath.net.addresses import is_loopback

REGISTRATIONS = Rate("registrations_from_an_address", 60, 3600)


async def register_user(accounts: Accounts, body: RegisterBody, *, address: str) -> UserRow:
    """Make a user, by invitation or with an organization of their own.

    Args:
        accounts: The parts.
        body: What was sent.
        address: The caller's network address.

    Raises:
        ForbiddenError: Registration is by invitation.
        BadInputError: The password is refused, or the invitation is not valid.
        ConflictError: The organization or the address is taken.
    """
    invalid = BadInputError("this invitation is not valid for this address", field="invitation")
    if body.invitation is None and not accounts.open_registration:
        raise ForbiddenError("registration is by invitation of an owner")
    if not is_loopback(address):
        # Each costs a hash and a row; whoever is on this machine has cheaper ways.
        await accounts.limiter.hit(REGISTRATIONS, address, strict=True)
    if body.invitation is None:
        password_hash = await hash_new_password(body.password, email=body.email, organization=body.organization)
        user: UserRow | None = await auth.register_owner(accounts.db, body.email, password_hash, body.organization)
    else:
        # Looked for before the password is hashed, which costs.
        organization = await auth.invitation_organization(accounts.db, body.invitation)
        if organization is None:
            raise invalid
        password_hash = await hash_new_password(body.password, email=body.email, organization=organization)
        user = await auth.register_invited(accounts.db, body.email, password_hash, body.invitation)
    if user is None:
        raise invalid
    # Who chose the password here knows it: others' wrong ones do not keep them out.
    await sessions.note_place(accounts.db, user.id, hash_address(address))
    return user


async def change_own_password(accounts: Accounts, caller: Principal, body: PasswordChange, *, address: str) -> None:
    """Give the caller another password; all their other sessions end.

    Raises:
        ForbiddenError: The caller is not signed in with a password.
        BadInputError: The present one is wrong, or the new one is refused.
        LimitReachedError: Too many wrong ones.
    """
    assert_may(caller, AccountAction.CHANGE_OWN_PASSWORD)
    assert caller.user_id is not None
    user = await store.get_member(accounts.db, caller.organization, caller.user_id)
    await verify_present_password(accounts, user, body.current_password, address=address)
    password_hash = await hash_new_password(
        body.new_password,
        email=user.email,
        organization=await auth.organization_name(accounts.db, user.organization),
        field="newPassword",
    )
    await store.set_password(accounts.db, user.id, password_hash, but=caller.session_id)


async def reset_password(accounts: Accounts, body: PasswordReset, *, address: str) -> None:
    """Set the password that a reset was made for.

    Raises:
        BadInputError: The token is not valid, or the password is refused.
    """
    invalid = BadInputError("token: this reset is unknown, used or over; ask an owner for another", field="token")
    # Looked for before the password is hashed, which costs; a token is too long to be guessed.
    user = await store.reset_user(accounts.db, body.token)
    if user is None:
        raise invalid
    organization = await auth.organization_name(accounts.db, user.organization)
    password_hash = await hash_new_password(body.password, email=user.email, organization=organization)
    if not await store.use_reset(accounts.db, body.token, password_hash):
        raise invalid
    # Who has set it knows it: others' wrong ones do not keep them out.
    await sessions.note_place(accounts.db, user.id, hash_address(address))
