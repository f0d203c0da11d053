"""Sessions that can be ended, users that can be locked or removed, keys that know their maker; one spelling of names.

Addresses and names that cannot be brought into their normal form, because another one has it, stay as they are.

Revision ID: 0015
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from towpath.core.names import name_key, normal_email

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

DDL = """
ALTER TABLE organizations ADD COLUMN name_key text UNIQUE;

ALTER TABLE users ADD COLUMN active boolean NOT NULL DEFAULT true, ADD COLUMN removed_at timestamptz;
ALTER TABLE users DROP CONSTRAINT users_email_key;
CREATE UNIQUE INDEX users_email ON users (email) WHERE removed_at IS NULL;

ALTER TABLE api_keys ADD COLUMN parent_id uuid REFERENCES api_keys ON DELETE SET NULL,
    ADD COLUMN use_count bigint NOT NULL DEFAULT 0;
CREATE INDEX api_keys_parent ON api_keys (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX api_keys_user ON api_keys (user_id) WHERE user_id IS NOT NULL;

CREATE TABLE sessions (
    id uuid PRIMARY KEY,
    user_id uuid REFERENCES users ON DELETE CASCADE,
    key_id uuid REFERENCES api_keys ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    CHECK ((user_id IS NULL) <> (key_id IS NULL))
);
CREATE INDEX sessions_user ON sessions (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX sessions_key ON sessions (key_id) WHERE key_id IS NOT NULL;
CREATE INDEX sessions_end ON sessions (expires_at);

CREATE TABLE password_resets (
    user_id uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    token_hash bytea NOT NULL UNIQUE,
    created_by uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
ALTER TABLE invitations ADD COLUMN created_by uuid;

CREATE TABLE sign_in_places (
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    place bytea NOT NULL,
    last_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, place)
);
CREATE INDEX sign_in_places_last ON sign_in_places (last_at);
"""

DROP = """
DROP TABLE sign_in_places, password_resets, sessions;
ALTER TABLE invitations DROP COLUMN created_by;
ALTER TABLE api_keys DROP COLUMN parent_id, DROP COLUMN use_count;
DROP INDEX api_keys_user;
DELETE FROM users WHERE removed_at IS NOT NULL;
DROP INDEX users_email;
ALTER TABLE users ADD CONSTRAINT users_email_key UNIQUE (email);
ALTER TABLE users DROP COLUMN active, DROP COLUMN removed_at;
ALTER TABLE organizations DROP COLUMN name_key;
"""


def upgrade() -> None:
    op.execute(DDL)
    _normalise_emails()
    _fold_names()


def _normalise_emails() -> None:
    bind = op.get_bind()
    rows = bind.execute(sa.text("SELECT id, email FROM users ORDER BY created_at, id")).all()
    taken = {email for _, email in rows}
    for user_id, email in rows:
        try:
            normal = normal_email(email)
        except ValueError:
            continue
        if normal not in taken:
            taken.add(normal)
            bind.execute(sa.text("UPDATE users SET email = :email WHERE id = :id"), {"email": normal, "id": user_id})


def _fold_names() -> None:
    bind = op.get_bind()
    taken: set[str] = set()
    for organization, name in bind.execute(sa.text("SELECT id, name FROM organizations ORDER BY created_at, id")).all():
        try:
            key = name_key(name)
        except ValueError:
            continue
        if key not in taken and organization != "default":
            taken.add(key)
            bind.execute(
                sa.text("UPDATE organizations SET name_key = :key WHERE id = :id"), {"key": key, "id": organization}
            )


def downgrade() -> None:
    op.execute(DROP)
