"""What a process needs around the features: settings, the Temporal client and its plugin, logs, the embedded stack.

It stands above the features, whose configuration types the settings are made of; they are handed what they need and
never read a setting. Start with `settings.py`.
"""
