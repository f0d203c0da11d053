"""The façade: a thin HTTP face; only `gateway.py` talks to Temporal.

May import workflows (method references), stores, clients, runtime, domain and contracts. Start with `app.py`.
"""
