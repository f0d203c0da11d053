"""Settings for all, the Temporal client and its plugin, telemetry, the embedded stack.

May import contracts only: it knows processes, not features. Start with `settings.py`.
"""
