"""Embeddings: upsertion and deletion tasks, search."""
