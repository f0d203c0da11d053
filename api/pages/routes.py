"""All pages as one router."""

from __future__ import annotations

from fastapi import APIRouter

from api.pages import chat, sign_in
from api.pages.static_files import mount_static

__all__ = ["mount_static", "router"]

router = APIRouter(include_in_schema=False)
router.include_router(sign_in.router)
router.include_router(chat.router)
