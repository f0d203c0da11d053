"""`towpath worker` and `towpath api`: one part of the system in the foreground."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

from towpath.cli.terminal import fail, read_settings
from towpath.core.queues import read_queues
from towpath.runtime.codec import make_codec
from towpath.runtime.embedded import StackError
from towpath.runtime.embedded.home import check_port
from towpath.runtime.exposure import list_exposures
from towpath.runtime.logs import configure_logging

SHUTDOWN_SECONDS = 10


def worker(
    queues: Annotated[str | None, typer.Option(help="Comma-separated task queues (TOWPATH_QUEUES).")] = None,
) -> None:
    """Run a worker process in the foreground. Start as many as you like, on any machine."""
    import towpath.worker as worker_module

    settings = read_settings()
    configure_logging(settings.log_level)
    try:
        worker_module.run(settings, read_queues(settings.queues if queues is None else queues))
    except (ValueError, RuntimeError) as error:
        fail(str(error))


def api() -> None:
    """Run the façade in the foreground."""
    import uvicorn

    settings = read_settings()
    configure_logging(settings.log_level)
    try:
        settings.require_database_url()
        make_codec(settings)
        if settings.port:
            check_port("port", settings.port, settings.host)
    except (ValueError, StackError) as error:
        fail(str(error))
    for line in list_exposures(settings):
        logging.getLogger("towpath.api").warning("%s", line)
    uvicorn.run(
        "towpath.api.app:create_app",
        factory=True, host=settings.host, port=settings.port, timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        # Its lines take the form of ours, and the line for each request is ours.
        log_config=None, log_level="warning", access_log=False,
        proxy_headers=bool(settings.trusted_proxies), forwarded_allow_ips=settings.trusted_proxies or None,
    )  # fmt: skip
