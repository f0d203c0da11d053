"""Our own state: Postgres (SQLModel and psycopg), Chroma, blobs; all SQL and all vector calls live here.

May import domain and contracts. Every function that touches an organisation's rows takes the
organisation, or a reference that carries it, first. Start with `tables.py`, then `jobs.py`.
"""
