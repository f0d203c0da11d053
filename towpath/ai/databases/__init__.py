"""Databases of users: looked at and queried read-only, within limits of rows and time."""

from towpath.ai.databases.base import Database, data_type
from towpath.ai.databases.open import open_database

__all__ = ["Database", "data_type", "open_database"]
