"""Reading and matching entities, as pure functions."""
