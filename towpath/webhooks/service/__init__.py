"""The use cases of webhooks: `endpoints` registers and changes, `deliveries` shows and repeats, `sending` sends."""
