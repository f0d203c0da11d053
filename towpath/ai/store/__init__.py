"""Connections, semantic models, conversations and the iterations of AI jobs."""
