"""Who calls: organisations, users, keys, roles and scopes, as the wire and the routes know them."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import BaseModel, Field

from contracts.jobs import Wire


class Role(StrEnum):
    """What a key or a user may do; each includes the ones before it."""

    OPERATOR = "operator"
    EDITOR = "editor"
    OWNER = "owner"
    ADMIN = "admin"

    def covers(self, other: Role) -> bool:
        """Whether this role may do what `other` may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


class Scope(StrEnum):
    """What a key was made for."""

    READ = "read"
    WRITE = "write"


class KeyKind(StrEnum):
    """An organization key acts for the organisation, a personal one as its user."""

    ORGANIZATION = "organization"
    PERSONAL = "personal"


def organization_uuid(organization: str) -> UUID:
    """An organization's id where a UUID is wanted: always the same one, made of its slug.

    It also stands for the organization itself in the place of a user, where a key asks that is nobody's.
    """
    return uuid5(NAMESPACE_URL, f"towpath:organization:{organization}")


class Principal(BaseModel):
    """The caller of one request: which organisation, which user, with what rights."""

    organization: str = Field(description="The organisation's id: a short slug, part of every workflow id.")
    user_id: UUID | None = None
    key_id: UUID | None = None
    kind: KeyKind
    role: Role
    scopes: frozenset[Scope]


class RegisterBody(Wire):
    """The body of `POST /api/auth/register`."""

    email: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$", max_length=320, examples=["ada@example.com"])]
    password: Annotated[str, Field(min_length=10, max_length=1024)]
    organization: Annotated[str, Field(min_length=1, max_length=100, examples=["Lamp Works"])]
    invitation: str | None = Field(default=None, description="Needed where open registration is off.")


class LoginBody(Wire):
    """The body of `POST /api/auth/login`."""

    email: str
    password: str


class TokenAnswer(BaseModel):
    """What a login answers; the token is accepted as Bearer."""

    access_token: str
    token_type: str = "bearer"
    expires_in: int


class ApiKeyBody(Wire):
    """The body of `POST /api/auth/api-keys`."""

    name: Annotated[str, Field(min_length=1, max_length=200, examples=["nightly import"])]
    kind: KeyKind = KeyKind.ORGANIZATION
    role: Role = Role.EDITOR
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1)] = (Scope.READ, Scope.WRITE)
    expires_at: datetime | None = None
    user_id: UUID | None = Field(default=None, description="The user an organization key names.")


class ApiKeyView(Wire):
    """A key without its secret."""

    id: UUID
    name: str
    kind: KeyKind
    role: Role
    scopes: list[Scope]
    key_prefix: str
    user_id: UUID | None = None
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None


class ApiKeyCreated(ApiKeyView):
    """The answer that shows the key, once."""

    key: str


class ApiKeyList(Wire):
    """All keys of the organisation."""

    api_keys: list[ApiKeyView]


class UserView(Wire):
    """A user of an organisation."""

    id: UUID
    email: str
    organization: str
    role: Role
    created_at: datetime


class InvitationBody(Wire):
    """The body of `POST /api/auth/invitations`."""

    email: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$", max_length=320)]
    role: Role = Role.OPERATOR


class InvitationCreated(Wire):
    """The answer that shows the invitation, once."""

    invitation: str
    email: str
    role: Role
    expires_at: datetime
