"""The effects: every activity idempotent, retryable, heartbeating when long.

Each binds a service to Temporal and decides nothing. `jobs.py` is what every workflow uses; the options that each
activity runs under are in `workflows/options.py`.
"""
