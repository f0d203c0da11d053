"""Durable orchestration only: no I/O, no SQL, no HTTP, no clock but the workflow's.

May import contracts, domain and activities (as references). `_job.py` is what every job workflow is
made of: control, window, end; `_options.py` says how each activity is run, and why.
"""
