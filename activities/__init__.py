"""The effects: every activity idempotent, retryable, heartbeating when long.

May import stores, clients, domain and contracts. `jobs.py` is what every workflow uses; the options
that each activity runs under are in `workflows/_options.py`.
"""
