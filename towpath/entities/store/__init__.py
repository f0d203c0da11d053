"""Entities in Postgres: generations of an index, records, the inverted index, pairs, verdicts, groups.

Start with `indexes.py`; `matching.py` is the one place where stored records meet `domain.matching`.
"""
