"""What client, worker and replayer must agree on: converter, sandbox, failure types."""

from __future__ import annotations

import dataclasses

from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.plugin import SimplePlugin
from temporalio.worker import WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

# Each is deterministic and holds no state that a workflow could change; loading them anew for every
# workflow run costs a hundred times more than the run itself.
PASSED_THROUGH = (
    # Types and pure functions, used by every workflow.
    "contracts",
    "domain",
    # Only referenced, for the names and types of activities; never called by a workflow.
    "activities",
    "stores",
    "clients",
    # What those import.
    "pydantic",
    "pydantic_core",
    "annotated_types",
    "sqlmodel",
    "sqlalchemy",
    "psycopg",
    "numpy",
    "scipy",
    "rapidfuzz",
    "sparse_dot_topn",
    "orjson",
    "httpx",
    "httpcore",
    "anyio",
    "sniffio",
    "greenlet",
    "cryptography",
    "cffi",
    "_cffi_backend",
)


def _runner(runner: WorkflowRunner | None) -> WorkflowRunner:
    if not isinstance(runner, SandboxedWorkflowRunner):
        raise TypeError("Towpath's workflows run in the sandbox; the plugin found another runner")
    restrictions = runner.restrictions.with_passthrough_modules(*PASSED_THROUGH)
    return dataclasses.replace(runner, restrictions=restrictions)


def towpath_plugin() -> SimplePlugin:
    """The plugin for `Client.connect`, `Worker` and `Replayer`."""
    return SimplePlugin(
        "towpath",
        data_converter=pydantic_data_converter,
        workflow_runner=_runner,
        # A defect in a workflow ends the job with a clear failure; the default retries its task for ever.
        workflow_failure_exception_types=[Exception],
    )
