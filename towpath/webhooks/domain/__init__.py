"""Webhooks as pure functions: signatures, bodies, the schedule."""
