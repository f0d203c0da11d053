"""Durable orchestration only: no I/O, no SQL, no HTTP, no clock but the workflow's.

Activities and services are named, never called. `job.py` is what every job workflow is made of: control, window, end;
`options.py` says how each activity is run, and why.
"""
