"""The two cookies of a session: its token, and the CSRF token that goes with its writes."""

from __future__ import annotations

from fastapi import Response

from towpath.accounts.service.callers import SESSION_SECONDS
from towpath.accounts.service.sign_ins import SignIn
from towpath.api.http.auth import COOKIE
from towpath.api.http.state import AppState

CSRF_COOKIE = "towpath_csrf"


def set_session_cookies(state: AppState, response: Response, sign_in: SignIn) -> None:
    """Give a browser the session that was just opened."""
    secure = state.settings.cookie_secure
    response.set_cookie(COOKIE, sign_in.token, max_age=SESSION_SECONDS, httponly=True, samesite="lax", secure=secure)
    response.set_cookie(CSRF_COOKIE, sign_in.csrf, max_age=SESSION_SECONDS, samesite="lax", secure=secure)


def clear_session_cookies(response: Response) -> None:
    """Take the session's cookies back."""
    response.delete_cookie(COOKIE)
    response.delete_cookie(CSRF_COOKIE)
