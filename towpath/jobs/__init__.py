"""The kernel: jobs of every kind, their events, staged input, and their life."""
