"""Who looks at a page: a signed-in caller, or the bearer of a link; and whether a form is really theirs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, urlsplit
from uuid import UUID

from fastapi import Request, Response

from towpath.accounts.domain.policy import is_person
from towpath.accounts.types import KeyKind, Principal, Role, Scope
from towpath.ai.service.conversations import get_conversation, get_linked_conversation
from towpath.ai.types import Conversation
from towpath.api.console.rendering import Reader
from towpath.api.http.auth import (
    CHAT_COOKIE,
    CSRF_HEADER,
    ChatPass,
    assert_allowed,
    authenticate,
    is_same_csrf,
    read_chat_pass,
    read_credential,
    read_session,
)
from towpath.api.http.limits import count_request
from towpath.api.http.requests import note_caller
from towpath.api.http.state import AppState
from towpath.core.errors import BadInputError, ForbiddenError, NotFoundError, TooLargeError, UnauthorizedError
from towpath.core.json_values import assert_text
from towpath.jobs.policy import seer_of

MAX_FORM_BYTES = 1 << 20
MAX_FORM_FIELDS = 20
SAME_SITE = frozenset({"same-origin", "none"})
OTHER_SITE = "this form came from another site"


class SignInNeededError(Exception):
    """A page is for those who are signed in; the caller is led to the sign-in and from there to `next`."""

    def __init__(self, next_path: str) -> None:
        super().__init__(next_path)
        self.url = f"/sign-in?next={quote(next_path, safe='')}"


@dataclass(frozen=True, slots=True)
class Visitor:
    """The caller of a page.

    Attributes:
        csrf: What must come with a form; None: the key came in a header, which no other site can send.
        linked: Whether a link to this one thread is all that the caller has.
    """

    caller: Principal
    csrf: str | None
    linked: bool = False

    @property
    def writes(self) -> bool:
        """Whether the visitor may ask and cancel."""
        return Scope.WRITE in self.caller.scopes

    @property
    def user_id(self) -> UUID | None:
        """Whose threads alone the visitor sees; None: all of the organization."""
        return seer_of(self.caller)

    @property
    def reader(self) -> Reader:
        """The same for a template."""
        return Reader(
            writes=self.writes,
            csrf=self.csrf or "",
            signed_in=self.csrf is not None and not self.linked,
            edits=self.writes and self.caller.role.covers(Role.EDITOR),
            owns=self.writes and self.caller.role.covers(Role.OWNER),
            person=not self.linked and is_person(self.caller),
        )

    def check(self, request: Request, form: Mapping[str, str]) -> None:
        """See that a write is allowed, and comes from a page of ours.

        Raises:
            ForbiddenError: The visitor may only read, or the CSRF token is not the session's.
        """
        if not self.writes:
            raise ForbiddenError("this link or key is for reading only")
        self.check_origin(request, form)

    def check_origin(self, request: Request, form: Mapping[str, str]) -> None:
        """Check the second half of `check`: that a write comes from a page of ours.

        Raises:
            ForbiddenError: The CSRF token is not the session's.
        """
        token = request.headers.get(CSRF_HEADER) or form.get("csrf")
        if self.csrf is not None and not is_same_csrf(token, self.csrf):
            raise ForbiddenError("this form is too old; open the page again and repeat it")


async def read_visitor(request: Request, state: AppState) -> Visitor:
    """Return the visitor by session, or by a key in a header.

    Raises:
        UnauthorizedError: Neither is there, or it is not valid.
        ForbiddenError: The key may not read.
    """
    if read_credential(request) is not None:
        return Visitor(assert_allowed(await authenticate(request, state), Role.OPERATOR, Scope.READ), csrf=None)
    session = await read_session(request, state)
    return Visitor(assert_allowed(session.caller, Role.OPERATOR, Scope.READ), csrf=session.csrf)


async def read_thread_visitor(request: Request, state: AppState, conversation_id: UUID) -> tuple[Visitor, Conversation]:
    """Return who looks at a thread: by session where that may see it, else by the cookie of a link.

    Raises:
        UnauthorizedError: There is neither.
        NotFoundError: The session may not see the thread, or there is none.
    """
    try:
        visitor = await read_visitor(request, state)
        conversation = await get_conversation(state.ai, visitor.caller, conversation_id)
    except (UnauthorizedError, ForbiddenError, NotFoundError):
        link = await _link_of(request, state, conversation_id)
        if link is None:
            raise
        note_caller(request.scope, organization=link.organization)
        await count_request(request, state, link.organization)
        return await _linked(state, link, conversation_id)
    return visitor, conversation


async def _link_of(request: Request, state: AppState, conversation_id: UUID) -> ChatPass | None:
    cookie = request.cookies.get(CHAT_COOKIE)
    try:
        return await read_chat_pass(state, cookie, conversation_id) if cookie else None
    except UnauthorizedError:
        return None


async def _linked(state: AppState, link: ChatPass, conversation_id: UUID) -> tuple[Visitor, Conversation]:
    conversation = await get_linked_conversation(state.ai, link.organization, conversation_id)
    # What is asked through a link is asked for the one whose thread it is.
    caller = Principal(
        organization=link.organization,
        user_id=conversation.user_id,
        kind=KeyKind.ORGANIZATION,
        role=Role.OPERATOR,
        scopes=frozenset(Scope) if link.write else frozenset({Scope.READ}),
        thread_id=conversation_id,
    )
    return Visitor(caller, csrf=link.csrf, linked=True), conversation


def refuse_other_sites(request: Request, state: AppState) -> None:
    """For forms that have no session yet: a browser tells where they come from.

    Raises:
        ForbiddenError: From another site.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        if site not in SAME_SITE:
            raise ForbiddenError(OTHER_SITE)
        return
    # An older browser tells it by the origin alone; what is no browser tells nothing.
    origin = request.headers.get("origin")
    if origin is None:
        return
    own = {request.headers.get("host", "").lower(), urlsplit(state.settings.public_url or "").netloc.lower()} - {""}
    if urlsplit(origin).netloc.lower() not in own:
        raise ForbiddenError(OTHER_SITE)


def send_origin_with_forms(response: Response) -> None:
    """Let a browser name the origin of this page's forms, which it hides by the policy of the other pages."""
    response.headers["Referrer-Policy"] = "same-origin"


async def read_form(
    request: Request, *, most_fields: int = MAX_FORM_FIELDS, own_checks: Collection[str] = ()
) -> dict[str, str]:
    """Return the fields of a form, the last of each name.

    Args:
        request: The request.
        most_fields: How many fields there may be.
        own_checks: Fields whose text the page looks at itself, to tell beside them what is wrong.

    Raises:
        TooLargeError: Beyond 1 MiB.
        BadInputError: Not a form, or one with more fields.
    """
    return dict(await read_pairs(request, most_fields=most_fields, own_checks=own_checks))


async def read_pairs(
    request: Request, *, most_fields: int = MAX_FORM_FIELDS, own_checks: Collection[str] = ()
) -> list[tuple[str, str]]:
    """Return the fields of a form in order: a name comes as often as the form says it. Arguments as for `read_form`.

    Raises:
        TooLargeError: Beyond 1 MiB.
        BadInputError: Not a form, or one with more fields.
    """
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_FORM_BYTES:
            raise TooLargeError("the form is larger than 1 MiB")
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=most_fields)
    except ValueError as error:
        raise BadInputError("the form cannot be read") from error
    for name, value in pairs:
        assert_text(name, "a field's name")
        if name not in own_checks:
            assert_text(value, name)
    return pairs
