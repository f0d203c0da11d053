"""Accounts in Postgres."""
