"""Brings the schema up to date, once, however many processes start together."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text

from towpath.db.engine import sqlalchemy_url

MIGRATIONS = Path(__file__).parent / "migrations"
# Any constant will do, so long as every version of Towpath uses the same one.
MIGRATION_LOCK = 0x746F7770617468


def migrate(database_url: str) -> None:
    """Run all migrations under an advisory lock; a second caller waits and then finds nothing to do.

    Args:
        database_url: A libpq URL, such as `postgresql://user@host/towpath`.
    """
    engine = create_engine(sqlalchemy_url(database_url))
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": MIGRATION_LOCK})
            connection.commit()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()
            connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": MIGRATION_LOCK})
            connection.commit()
    finally:
        engine.dispose()
