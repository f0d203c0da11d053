"""Who may see a job, and who may move it.

A job belongs to its organization: whoever has the role may see and move it. A question (a job of the AI API) belongs
to the person who asked it: no other person sees it, and beside them only an owner's key moves it. One that no person
has asked is for keys of the organization. The bearer of a link to a thread has that thread's jobs and no others.
"""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from towpath.accounts.types import KeyKind, Principal, Role, Scope
from towpath.core.errors import ForbiddenError, NotFoundError
from towpath.core.words import Word
from towpath.jobs.registry import personal_kinds


class JobAction(Word):
    """What can be done with a job, by whichever door."""

    SEE = "see"
    PAUSE = "pause"
    CONTINUE = "continue"
    CANCEL = "cancel"
    RESTART = "restart"
    REVIEW = "review"
    CORRECT = "correct"


MOVES = frozenset({JobAction.PAUSE, JobAction.CONTINUE, JobAction.CANCEL, JobAction.RESTART})


class Owned(Protocol):
    """What of a job is asked for."""

    @property
    def id(self) -> UUID: ...
    @property
    def organization(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def user_id(self) -> UUID | None: ...
    @property
    def created_by(self) -> UUID | None: ...
    @property
    def conversation_id(self) -> UUID | None: ...


def assert_may(caller: Principal, action: JobAction, job: Owned) -> None:
    """Refuse what the caller may not do.

    Raises:
        NotFoundError: The caller may not even see the job.
        ForbiddenError: It is seen, and not the caller's to move.
    """
    scope = Scope.READ if action is JobAction.SEE else Scope.WRITE
    if scope not in caller.scopes:
        raise ForbiddenError(f"this key lacks the scope {scope}")
    if not _sees(caller, job):
        raise NotFoundError(f"no job {job.id}")
    if action in MOVES and job.kind in personal_kinds() and not _owns(caller, job):
        raise ForbiddenError(f"only who asked, or an owner, may {action} this job")


def may(caller: Principal, action: JobAction, job: Owned) -> bool:
    """Return whether the caller may do something: for what is only offered where it can be done."""
    try:
        assert_may(caller, action, job)
    except (NotFoundError, ForbiddenError):
        return False
    return True


def seer_of(caller: Principal) -> UUID | None:
    """For lists: the person whose jobs and threads alone a caller sees beside the organization's; None: all."""
    return caller.user_id if caller.kind is KeyKind.PERSONAL else None


def _sees(caller: Principal, job: Owned) -> bool:
    if job.organization != caller.organization:
        return False
    if caller.thread_id is not None:
        return job.conversation_id == caller.thread_id
    seer = seer_of(caller)
    if seer is None or job.user_id == seer:
        return True
    return job.user_id is None and job.kind not in personal_kinds()


def _owns(caller: Principal, job: Owned) -> bool:
    if caller.thread_id is not None:
        # Whoever was given a link that writes may stop what is asked there, whoever has asked it.
        return True
    own = {job.created_by, job.user_id} & {caller.key_id, caller.user_id} - {None}
    return bool(own) or caller.role.covers(Role.OWNER)
