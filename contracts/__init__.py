"""The wire and workflow types of every system: pydantic models, enums, ids, queues, error codes.

Imports nothing of ours. Start with `jobs.py` (what every system shares), then a feature's own module.
"""
