"""Entities: batches, indexes, duplicates."""
