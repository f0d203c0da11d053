"""Organizations, users, keys, sessions, and what each may do."""
