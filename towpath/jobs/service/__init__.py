"""The use cases of jobs: the one way to them for APIs, pages, commands, streams and activities.

`control` finds and moves a job, `reading` lists jobs and what they say, `runs` is what a workflow does to its row, and
`housekeeping` looks after all jobs.
"""

from towpath.jobs.service.control import JobService

__all__ = ["JobService"]
