"""A job's parameters as their model: nothing reads them by the names of their members."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel

from towpath.db.engine import Connection
from towpath.jobs.store import jobs as store
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import JobRef

Params = TypeVar("Params", bound=BaseModel)


def params_of(job: JobRow, model: type[Params]) -> Params:
    """Return the parameters of a job's row as the model of its kind."""
    return model.model_validate(job.params)


async def load_params(connection: Connection, ref: JobRef, model: type[Params]) -> Params:
    """Load the parameters of a job as the model of its kind.

    Raises:
        JobNotActiveError: The job is gone.
    """
    return model.model_validate(await store.load_params(connection, ref))
