"""Pages for people: sign-in, a thread of questions; what they share in looks and rules.

A page is a template filled with a view; `rendering.py` holds what every template may use. May import what `api` may.
Start reading in `chat.py`.
"""
