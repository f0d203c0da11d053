"""HTTP to the world outside, guarded, and URLs."""
