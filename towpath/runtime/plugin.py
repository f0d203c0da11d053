"""What client, worker and replayer must agree on: converter, sandbox, failure types."""

from __future__ import annotations

import dataclasses

from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DataConverter, DefaultFailureConverterWithEncodedAttributes
from temporalio.plugin import SimplePlugin
from temporalio.worker import WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from towpath.runtime.codec import make_codec
from towpath.runtime.settings import Settings

# Each is deterministic and holds no state that a workflow could change; loading them anew for every
# workflow run costs a hundred times more than the run itself.
PASSED_THROUGH = (
    # Types and pure functions, used by every workflow.
    "towpath.core",
    "towpath.accounts",
    "towpath.jobs",
    "towpath.webhooks",
    "towpath.entities",
    "towpath.vectors",
    "towpath.enrichment",
    "towpath.ai",
    "towpath.extraction",
    "towpath.serving",
    # Only referenced, for the names and types of activities; never called by a workflow.
    "towpath.activities",
    "towpath.db",
    "towpath.documents",
    "towpath.llm",
    "towpath.net",
    "towpath.secrets",
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


def towpath_plugin(settings: Settings | None = None) -> SimplePlugin:
    """Return the plugin for `Client.connect`, `Worker` and `Replayer`.

    Args:
        settings: Their encryption keys encrypt what Temporal stores; None: nothing is encrypted or decrypted.

    Raises:
        ValueError: Payloads are to be encrypted, and there is no key.
    """
    return SimplePlugin(
        "towpath",
        data_converter=pydantic_data_converter if settings is None else _converter(settings),
        workflow_runner=_runner,
        # A defect in a workflow ends the job with a clear failure; the default retries its task for ever.
        workflow_failure_exception_types=[Exception],
    )


def _converter(settings: Settings) -> DataConverter:
    codec = make_codec(settings)
    converter = dataclasses.replace(pydantic_data_converter, payload_codec=codec)
    if not codec.encrypts:
        return converter
    # Messages of errors and stack traces tell as much as payloads do; the type of an error, our code, stays readable.
    return dataclasses.replace(converter, failure_converter_class=DefaultFailureConverterWithEncodedAttributes)
