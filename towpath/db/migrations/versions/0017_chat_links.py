"""Links to threads as rows, so that they can be listed and revoked.

Revision ID: 0017
"""

from __future__ import annotations

from alembic import op

revision = "0017"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE chat_links (
            id uuid PRIMARY KEY,
            organization text NOT NULL REFERENCES organizations (id),
            conversation_id uuid NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
            write boolean NOT NULL,
            created_by uuid,
            created_at timestamptz NOT NULL DEFAULT now(),
            expires_at timestamptz NOT NULL,
            revoked_at timestamptz
        );
        CREATE INDEX chat_links_of ON chat_links (conversation_id, created_at);
        CREATE INDEX chat_links_end ON chat_links (expires_at);
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE chat_links")
