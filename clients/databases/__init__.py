"""Databases of users: looked at and queried read-only, within limits of rows and time."""

from clients.databases.base import Database, data_type
from clients.databases.open import open_database

__all__ = ["Database", "data_type", "open_database"]
