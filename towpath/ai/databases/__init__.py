"""Databases of users: looked at and queried read-only, within limits of rows and time."""

from towpath.ai.databases.base import Database, parse_data_type
from towpath.ai.databases.open import open_database

__all__ = ["Database", "open_database", "parse_data_type"]
