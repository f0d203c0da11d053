"""Benchmarks and the demo: they see Towpath from outside, or its pure functions, never its inside state."""
