"""One limiter for all workers: what a provider, its key and an organization may use, whoever asks.

`shares` decides, as a pure function of what all processes have stated; `ledger` keeps that in Postgres; `pool` is a
process's part: it queues requests, asks the ledger for several at once, and spends what it got. `headers` reads what
providers tell of their limits.
"""
