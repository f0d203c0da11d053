"""Enrichment as pure functions: schemas, prompts, fusion, estimates, drafts of schemas."""
