"""Durable jobs over data and AI: Temporal workflows behind a thin FastAPI façade."""
