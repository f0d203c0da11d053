"""The use cases of enrichment: routes and activities call these and decide nothing themselves.

Before a job there are `starts` and `fetching`, within it `runs` and `tasks`, and `messages`, `results`, `status` and
`waiting` show what became of it.
"""
