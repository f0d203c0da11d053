"""Semantic models as pure functions: reading them, and compiling structured queries to SQL."""
