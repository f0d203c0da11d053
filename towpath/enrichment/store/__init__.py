"""Schemas, records, paid answers and attachments."""
