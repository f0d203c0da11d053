"""Pages for people: sign-in, a thread of questions, the console of all jobs, the review of a document.

A page is a template filled with a view; `rendering.py` holds what every template may use, `console.py` what the pages
of the console share. May import what `api` may. Start reading in `chat.py`, then in `console_jobs.py`.
"""
