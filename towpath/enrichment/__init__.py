"""Enrichment of records by language models."""
