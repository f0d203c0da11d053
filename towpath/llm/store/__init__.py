"""Paid answers and attachments in Postgres."""
