"""Pure functions: normalise, block, compare, score, chunk, sign. No I/O, no clock, no randomness unseeded.

May import contracts only. Start with `matching/__init__.py` for entities, `jobs.py` for what jobs share.
"""
