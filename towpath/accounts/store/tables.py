"""The tables of accounts: organizations and their limits, users, keys, sign-ins."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid4

from sqlalchemy import BigInteger, Boolean, CheckConstraint, ForeignKey, Index, Integer, LargeBinary, Text, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, SQLModel

from towpath.accounts.types import KeyKind, Role
from towpath.db.columns import column, enum_text, timestamptz


def references_organization(*, cascade: bool = False) -> ForeignKey:
    """Declare whose a row is; `cascade`: it goes with its organization."""
    return ForeignKey("organizations.id", ondelete="CASCADE" if cascade else None)


class OrganizationRow(SQLModel, table=True):
    """A tenant; `id` is a short slug, because it is part of workflow ids that people read."""

    __tablename__ = "organizations"

    id: str = Field(sa_column=column(Text, primary_key=True))
    name: str = Field(sa_column=column(Text))
    name_key: str | None = Field(
        default=None,
        description="the name with its case folded",
        sa_column=column(Text, nullable=True, unique=True),
    )
    webhook_secret: bytes | None = Field(
        default=None,
        description="signs notices of progress to URLs that bring no secret; sealed",
        sa_column=column(LargeBinary, nullable=True),
    )
    created_at: datetime = Field(default=None, sa_column=timestamptz(now=True))


class OrganizationLimitRow(SQLModel, table=True):
    """A limit that an organization has instead of the general one."""

    __tablename__ = "organization_limits"
    __table_args__ = (CheckConstraint("most >= 0"),)

    organization: str = Field(sa_column=column(Text, references_organization(cascade=True), primary_key=True))
    name: str = Field(sa_column=column(Text, primary_key=True))
    most: int = Field(sa_column=column(BigInteger))


class OrganizationUseRow(SQLModel, table=True):
    """How many bytes an organization had when they were measured last."""

    __tablename__ = "organization_use"

    organization: str = Field(sa_column=column(Text, primary_key=True))
    bytes: int = Field(sa_column=column(BigInteger))
    measured_at: datetime = Field(sa_column=timestamptz())


class RateCounterRow(SQLModel, table=True):
    """How often something happened in the present window and the one before it.

    Not logged, as leases: it lasts a minute, and to lose it with a crash of Postgres is no loss.
    """

    __tablename__ = "rate_counters"
    __table_args__ = (Index("rate_counters_old", "expires_at"), {"prefixes": ["UNLOGGED"]})

    key: str = Field(sa_column=column(Text, primary_key=True))
    slot: int = Field(sa_column=column(BigInteger))
    count: int = Field(sa_column=column(BigInteger))
    previous: int = Field(default=0, sa_column=column(BigInteger, default="0"))
    expires_at: datetime = Field(sa_column=timestamptz())


class LeaseRow(SQLModel, table=True):
    """What a process holds of something that an organization may have so much of at a time."""

    __tablename__ = "leases"
    __table_args__ = ({"prefixes": ["UNLOGGED"]},)

    kind: str = Field(sa_column=column(Text, primary_key=True))
    organization: str = Field(sa_column=column(Text, primary_key=True))
    holder: UUID = Field(sa_column=column(Uuid, primary_key=True))
    held: int = Field(sa_column=column(Integer))
    expires_at: datetime = Field(sa_column=timestamptz())


class UserRow(SQLModel, table=True):
    """A person of one organisation; `email` is stored in its normal form.

    One who was removed stays, so that what they did can be told, and leaves their address free for another.
    """

    __tablename__ = "users"
    __table_args__ = (
        Index("users_organization", "organization"),
        Index("users_email", "email", unique=True, postgresql_where=text("removed_at IS NULL")),
    )

    id: UUID = Field(default_factory=uuid4, sa_column=column(Uuid, primary_key=True))
    organization: str = Field(sa_column=column(Text, references_organization(cascade=True)))
    email: str = Field(sa_column=column(Text))
    password_hash: str = Field(sa_column=column(Text))
    role: Role = Field(sa_column=enum_text(Role))
    active: bool = Field(default=True, sa_column=column(Boolean, default="true"))
    created_at: datetime = Field(default=None, sa_column=timestamptz(now=True))
    removed_at: datetime | None = Field(default=None, sa_column=timestamptz(nullable=True))

    @property
    def may_enter(self) -> bool:
        """Whether they can sign in, and their personal keys are taken."""
        return self.active and self.removed_at is None


class SessionRow(SQLModel, table=True):
    """A sign-in of a user or with a key; without its row no token or cookie of it is taken."""

    __tablename__ = "sessions"
    __table_args__ = (
        CheckConstraint("(user_id IS NULL) <> (key_id IS NULL)"),
        Index("sessions_user", "user_id", postgresql_where=text("user_id IS NOT NULL")),
        Index("sessions_key", "key_id", postgresql_where=text("key_id IS NOT NULL")),
        Index("sessions_end", "expires_at"),
    )

    id: UUID = Field(default_factory=uuid4, sa_column=column(Uuid, primary_key=True))
    user_id: UUID | None = Field(
        default=None, sa_column=column(Uuid, ForeignKey("users.id", ondelete="CASCADE"), nullable=True)
    )
    key_id: UUID | None = Field(
        default=None, sa_column=column(Uuid, ForeignKey("api_keys.id", ondelete="CASCADE"), nullable=True)
    )
    created_at: datetime = Field(default=None, sa_column=timestamptz(now=True))
    expires_at: datetime = Field(sa_column=timestamptz())


class PasswordResetRow(SQLModel, table=True):
    """A user's one open reset; only its SHA-256 is kept."""

    __tablename__ = "password_resets"

    user_id: UUID = Field(sa_column=column(Uuid, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True))
    token_hash: bytes = Field(sa_column=column(LargeBinary, unique=True))
    created_by: UUID | None = Field(
        default=None, description="the user or key that makes it", sa_column=column(Uuid, nullable=True)
    )
    created_at: datetime = Field(default=None, sa_column=timestamptz(now=True))
    expires_at: datetime = Field(sa_column=timestamptz())


class SignInPlaceRow(SQLModel, table=True):
    """An address from which a user has signed in, as a digest."""

    __tablename__ = "sign_in_places"
    __table_args__ = (Index("sign_in_places_last", "last_at"),)

    user_id: UUID = Field(sa_column=column(Uuid, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True))
    place: bytes = Field(sa_column=column(LargeBinary, primary_key=True))
    last_at: datetime = Field(default=None, sa_column=timestamptz(now=True))


class ApiKeyRow(SQLModel, table=True):
    """A key; only its SHA-256 is kept."""

    __tablename__ = "api_keys"
    __table_args__ = (
        Index("api_keys_organization", "organization"),
        Index("api_keys_parent", "parent_id", postgresql_where=text("parent_id IS NOT NULL")),
        Index("api_keys_user", "user_id", postgresql_where=text("user_id IS NOT NULL")),
    )

    id: UUID = Field(default_factory=uuid4, sa_column=column(Uuid, primary_key=True))
    organization: str = Field(sa_column=column(Text, references_organization(cascade=True)))
    user_id: UUID | None = Field(
        default=None, sa_column=column(Uuid, ForeignKey("users.id", ondelete="CASCADE"), nullable=True)
    )
    kind: KeyKind = Field(sa_column=enum_text(KeyKind))
    name: str = Field(sa_column=column(Text))
    key_prefix: str = Field(sa_column=column(Text))
    key_hash: bytes = Field(sa_column=column(LargeBinary, unique=True))
    role: Role = Field(sa_column=enum_text(Role))
    scopes: list[str] = Field(sa_column=column(ARRAY(Text)))
    created_at: datetime = Field(default=None, sa_column=timestamptz(now=True))
    expires_at: datetime | None = Field(default=None, sa_column=timestamptz(nullable=True))
    last_used_at: datetime | None = Field(default=None, sa_column=timestamptz(nullable=True))
    revoked_at: datetime | None = Field(default=None, sa_column=timestamptz(nullable=True))
    parent_id: UUID | None = Field(
        default=None,
        description="the key that made it; is revoked with it",
        sa_column=column(Uuid, ForeignKey("api_keys.id", ondelete="SET NULL"), nullable=True),
    )
    use_count: int = Field(default=0, sa_column=column(BigInteger, default="0"))

    @property
    def live(self) -> bool:
        """Whether it is neither revoked nor at its end."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > datetime.now(UTC))


class InvitationRow(SQLModel, table=True):
    """An owner's invitation of one address, used once; only its SHA-256 is kept."""

    __tablename__ = "invitations"

    id: UUID = Field(default_factory=uuid4, sa_column=column(Uuid, primary_key=True))
    organization: str = Field(sa_column=column(Text, references_organization(cascade=True)))
    email: str = Field(sa_column=column(Text))
    role: Role = Field(sa_column=enum_text(Role))
    token_hash: bytes = Field(sa_column=column(LargeBinary, unique=True))
    created_at: datetime = Field(default=None, sa_column=timestamptz(now=True))
    expires_at: datetime = Field(sa_column=timestamptz())
    used_at: datetime | None = Field(default=None, sa_column=timestamptz(nullable=True))
    created_by: UUID | None = Field(
        default=None, description="the user or key that invites", sa_column=column(Uuid, nullable=True)
    )
