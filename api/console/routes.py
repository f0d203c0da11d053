"""All pages as one router."""

from __future__ import annotations

from fastapi import APIRouter

from towpath.api.console import (
    account,
    chat,
    console,
    console_job,
    console_jobs,
    deliveries,
    endpoints,
    entities_page,
    group_page,
    keys_page,
    quality_page,
    review,
    sign_in,
    users_page,
)
from towpath.api.console.static_files import mount_static

__all__ = ["mount_static", "router"]

PAGES = (
    sign_in,
    chat,
    console,
    console_jobs,
    review,
    console_job,
    deliveries,
    endpoints,
    entities_page,
    group_page,
    keys_page,
    quality_page,
    users_page,
    account,
)
router = APIRouter(include_in_schema=False)
for pages in PAGES:
    router.include_router(pages.router)
router.include_router(console.others)
