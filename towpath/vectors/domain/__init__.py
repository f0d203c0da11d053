"""Vectors, as pure functions: what of an item is embedded, ids of parts, filters, ranking."""
