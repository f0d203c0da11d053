"""Who calls: organisations, users, keys, roles and scopes, as the wire and the routes know them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Self
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, computed_field, model_validator

from towpath.core.bodies import Strict
from towpath.core.names import Email, OrganizationName
from towpath.core.values import NUMBER, Moment, refuse_null
from towpath.core.wire import Wire
from towpath.core.words import Word

DEFAULT_ORGANIZATION = "default"
"""The organization of the first key, and of callers without a key where the settings admit them."""
MAX_DAYS = 36_500


def shown_once(name: str) -> Callable[[dict[str, Any]], None]:
    """Return what a schema needs that tells of an answer with a secret, of which a repeat is answered without it."""

    def change(schema: dict[str, Any]) -> None:
        schema["required"] = [field for field in schema["required"] if field != name]

    return change


class Role(Word):
    """What a key or a user may do; each includes the ones before it."""

    OPERATOR = "operator"
    EDITOR = "editor"
    OWNER = "owner"
    ADMIN = "admin"

    def covers(self, other: Role) -> bool:
        """Return whether this role may do what `other` may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


class Scope(Word):
    """What a key was made for."""

    READ = "read"
    WRITE = "write"


class KeyKind(Word):
    """An organization key acts for the organisation, a personal one as its user."""

    ORGANIZATION = "organization"
    PERSONAL = "personal"


def organization_uuid(organization: str) -> UUID:
    """Return an organization's id where a UUID is wanted: always the same one, made of its slug.

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
    thread_id: UUID | None = Field(default=None, description="The one thread that the bearer of a link may open.")
    expires_at: datetime | None = Field(default=None, description="When the key of this call ends; none: it does not.")
    session_id: UUID | None = Field(default=None, exclude=True)
    """The sign-in that the call belongs to; none: it carries a key."""


Password = Annotated[
    str,
    Field(
        min_length=10,
        max_length=1024,
        description="Refused where it is easy to guess or holds the address or the organization's name.",
        examples=["seven blue lanterns at dawn"],
    ),
]


class RegisterBody(Wire, Strict):
    """The body of `POST /api/auth/register`."""

    email: Annotated[Email, Field(examples=["ada@example.com"])]
    password: Password
    organization: Annotated[OrganizationName, Field(examples=["Lamp Works"])]
    invitation: str | None = Field(default=None, description="Needed where open registration is off.")


class LoginBody(Wire, Strict):
    """The body of `POST /api/auth/login`."""

    email: str
    password: str


class PasswordChange(Wire, Strict):
    """The body of `POST /api/auth/password`."""

    current_password: Annotated[str, Field(max_length=1024)]
    new_password: Password


class PasswordReset(Wire, Strict):
    """The body of `POST /api/auth/password-reset`."""

    token: Annotated[str, Field(min_length=1, max_length=200, description="What an owner was shown.")]
    password: Password


class TokenAnswer(BaseModel):
    """What a login answers; the token is accepted as Bearer."""

    access_token: str
    token_type: str = "bearer"
    expires_in: int


class ApiKeyBody(Wire, Strict):
    """The body of `POST /api/auth/api-keys`."""

    name: Annotated[str, Field(min_length=1, max_length=200, examples=["nightly import"])]
    kind: KeyKind = KeyKind.ORGANIZATION
    role: Role | None = Field(default=None, description="Not above its maker's; left out: its maker's.")
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1)] = (Scope.READ, Scope.WRITE)
    expires_at: Moment | None = Field(default=None, description="Not after the end of the key that makes it.")
    expires_in_days: Annotated[int, Field(ge=1, le=MAX_DAYS), NUMBER] | None = Field(
        default=None,
        description="Instead of `expiresAt`; neither: it ends with the key that makes it, if that ends.",
    )
    user_id: UUID | None = Field(default=None, description="The user an organization key names.")

    @model_validator(mode="after")
    def _one_end(self) -> Self:
        if self.expires_at is not None and self.expires_in_days is not None:
            raise ValueError("expires_in_days and expires_at: only one of them")
        return self


class ApiKeyView(Wire):
    """A key without its secret; names of several words also in the spelling of the enrichment API."""

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
    use_count: int = Field(default=0, description="Calls with this key; written every few seconds.")
    parent_id: UUID | None = Field(default=None, description="The key that made this one, and takes it along.")

    @computed_field(alias="key_prefix")  # type: ignore[prop-decorator]
    @property
    def snake_key_prefix(self) -> str:
        """The same as `keyPrefix`."""
        return self.key_prefix

    @computed_field(alias="user_id")  # type: ignore[prop-decorator]
    @property
    def snake_user_id(self) -> UUID | None:
        """The same as `userId`."""
        return self.user_id

    @computed_field(alias="created_at")  # type: ignore[prop-decorator]
    @property
    def snake_created_at(self) -> datetime:
        """The same as `createdAt`."""
        return self.created_at

    @computed_field(alias="expires_at")  # type: ignore[prop-decorator]
    @property
    def snake_expires_at(self) -> datetime | None:
        """The same as `expiresAt`."""
        return self.expires_at

    @computed_field(alias="last_used_at")  # type: ignore[prop-decorator]
    @property
    def snake_last_used_at(self) -> datetime | None:
        """The same as `lastUsedAt`."""
        return self.last_used_at

    @computed_field(alias="revoked_at")  # type: ignore[prop-decorator]
    @property
    def snake_revoked_at(self) -> datetime | None:
        """The same as `revokedAt`."""
        return self.revoked_at

    @computed_field(alias="use_count")  # type: ignore[prop-decorator]
    @property
    def snake_use_count(self) -> int:
        """The same as `useCount`."""
        return self.use_count

    @computed_field(alias="is_active")  # type: ignore[prop-decorator]
    @property
    def is_active(self) -> bool:
        """Whether the key is neither revoked nor at its end."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > datetime.now(UTC))


class ApiKeyCreated(ApiKeyView):
    """The answer that shows the key, once; a repeat of the request is answered without it."""

    key: str
    model_config = ConfigDict(json_schema_extra=shown_once("key"))


class ApiKeyList(Wire):
    """All keys of the organisation."""

    api_keys: list[ApiKeyView]

    @computed_field(alias="api_keys")  # type: ignore[prop-decorator]
    @property
    def snake_api_keys(self) -> list[ApiKeyView]:
        """The same as `apiKeys`."""
        return self.api_keys


class UserView(Wire):
    """A user of an organisation."""

    id: UUID
    email: str
    organization: str
    role: Role
    active: bool = Field(default=True, description="Whether they may sign in, and their personal keys are taken.")
    created_at: datetime


class UserChange(Wire, Strict):
    """The body of `PATCH /api/auth/users/{user_id}`."""

    active: Annotated[bool | None, AfterValidator(refuse_null)] = Field(
        default=None, strict=True, description="false: no sign-in, sessions end, personal keys are refused."
    )
    role: Annotated[Role | None, AfterValidator(refuse_null)] = Field(
        default=None, description="Not above one's own; left out: it stays."
    )


class ResetCreated(Wire):
    """The answer that shows a reset token, once; a repeat of the request is answered without it."""

    token: str
    email: str
    expires_at: datetime
    path: str = Field(description="The page of this site where the new password is set: `?token=` fills it in.")


class InvitationBody(Wire, Strict):
    """The body of `POST /api/auth/invitations`."""

    email: Email
    role: Role = Role.OPERATOR


class InvitationView(Wire):
    """An invitation that can still be used, without its secret."""

    id: UUID
    email: str
    role: Role
    created_at: datetime
    expires_at: datetime


class InvitationCreated(Wire):
    """The answer that shows the invitation, once; a repeat of the request is answered without it."""

    id: UUID
    invitation: str
    email: str
    role: Role
    expires_at: datetime
    model_config = ConfigDict(json_schema_extra=shown_once("invitation"))
