"""Endpoints: those that an organization registers for the events of all its jobs, and those that a start names."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from towpath.accounts.types import Principal, Role, Scope
from towpath.core.errors import BadInputError, TooLargeError
from towpath.core.json_values import write_json
from towpath.db.engine import Connection, Database
from towpath.net.http import GuardedClient
from towpath.net.urls import show_endpoint
from towpath.secrets.urls import seal_endpoint, seen_url
from towpath.secrets.vault import Vault
from towpath.webhooks.domain.signing import new_secret, signing_key, standard_form
from towpath.webhooks.store import endpoints as store
from towpath.webhooks.types import MAX_METADATA_BYTES, EndpointBody, EndpointView, JobEndpoint, WebhookFields


@dataclass(frozen=True, slots=True)
class EndpointDraft:
    """An endpoint whose address and secret have passed all checks and that is not stored yet."""

    body: EndpointBody
    secret: str


@dataclass(frozen=True, slots=True)
class NewEndpoint:
    """An endpoint that has just been registered.

    Attributes:
        view: With its secret, which is shown this once.
        repeat_view: What a repeat of the request is shown: without the secret, and without what may be one in the URL.
    """

    view: EndpointView
    repeat_view: EndpointView


class EndpointService:
    """The use cases of endpoints.

    Args:
        database: Where they are.
        client: Knows which addresses may be reached.
        vault: Encrypts URLs and secrets.
    """

    def __init__(self, database: Database, client: GuardedClient, vault: Vault) -> None:
        self._database = database
        self._client = client
        self._vault = vault

    async def read_job_endpoint(self, fields: WebhookFields) -> JobEndpoint | None:
        """Check the endpoint that a start names for the events of its own job.

        Returns:
            The endpoint, to be stored with the job; None: the start names none.

        Raises:
            BadInputError: A URL that leads to a private address, a broken secret, or companions without a URL.
            TooLargeError: The metadata are.
        """
        url, secret, metadata = fields.webhook_url, fields.webhook_signing_secret, fields.webhook_metadata
        if url is None:
            if secret is not None or metadata is not None:
                raise BadInputError("webhookUrl is required with the other webhook fields", field="webhookUrl")
            return None
        await self._check_url(url, "webhookUrl")
        if secret is not None:
            signing_key(secret, field="webhookSigningSecret")
        if metadata is not None and len(write_json(metadata)) > MAX_METADATA_BYTES:
            raise TooLargeError(f"webhookMetadata is larger than {MAX_METADATA_BYTES} bytes")
        return JobEndpoint(
            seal_endpoint(self._vault, url), None if secret is None else self._vault.seal(secret), metadata
        )

    async def draft(self, body: EndpointBody) -> EndpointDraft:
        """Check an endpoint before it is registered; one that brings no secret gets one.

        Raises:
            BadInputError: The URL leads to a private address, or the secret is broken.
        """
        await self._check_url(body.url, "url")
        secret = body.secret or new_secret()
        signing_key(secret)
        return EndpointDraft(body, secret)

    async def register(self, connection: Connection, caller: Principal, draft: EndpointDraft) -> NewEndpoint:
        """Register a checked endpoint: every job of the organization is reported to it from then on."""
        row = await store.add_endpoint(
            connection,
            caller.organization,
            seal_endpoint(self._vault, draft.body.url),
            self._vault.seal(draft.secret),
            list(dict.fromkeys(draft.body.events)),
        )
        view = self._view(caller, row, standard_form(draft.secret))
        hidden = {"secret": None, "url": show_endpoint(draft.body.url)}
        return NewEndpoint(view, view.model_copy(update=hidden))

    async def add(self, caller: Principal, body: EndpointBody) -> EndpointView:
        """Check and register an endpoint in a transaction of its own.

        Returns:
            The endpoint with its secret, which is shown this once.

        Raises:
            BadInputError: The URL leads to a private address, or the secret is broken.
        """
        draft = await self.draft(body)
        async with self._database.transaction() as connection:
            return (await self.register(connection, caller, draft)).view

    async def list_all(self, caller: Principal) -> list[EndpointView]:
        """List the organization's endpoints in the order in which they were registered, without their secrets."""
        return [self._view(caller, row) for row in await store.list_endpoints(self._database, caller.organization)]

    async def read(self, caller: Principal, webhook_id: UUID) -> EndpointView:
        """Return one endpoint without its secret.

        Raises:
            NotFoundError: It is not there, or another organization's.
        """
        return self._view(caller, await store.get_endpoint(self._database, caller.organization, webhook_id))

    async def delete(self, caller: Principal, webhook_id: UUID) -> None:
        """Delete an endpoint; what is on its way to it ends as DISABLED.

        Raises:
            NotFoundError: It is not there.
        """
        await store.delete_endpoint(self._database, caller.organization, webhook_id)

    async def rotate_secret(self, caller: Principal, webhook_id: UUID) -> EndpointView:
        """Give an endpoint a new secret; for a day the previous one signs as well.

        Returns:
            The endpoint with its new secret, and without what may be a secret in its URL: the answer may be kept.

        Raises:
            NotFoundError: It is not there.
        """
        secret = new_secret()
        row = await store.rotate_secret(self._database, caller.organization, webhook_id, self._vault.seal(secret))
        return self._view(None, row, secret)

    async def set_standing_secret(self, caller: Principal, secret: str | None) -> str:
        """Set the secret that signs for the endpoints of single jobs that bring none; None: a new one is made.

        Returns:
            The secret in the form of the official packages.

        Raises:
            BadInputError: It is broken.
        """
        chosen = secret or new_secret()
        signing_key(chosen)
        await store.set_standing_secret(self._database, caller.organization, self._vault.seal(chosen))
        return standard_form(chosen)

    async def has_standing_secret(self, caller: Principal) -> bool:
        """Return whether the organization has a standing secret."""
        return await store.has_standing_secret(self._database, caller.organization)

    async def delete_standing_secret(self, caller: Principal) -> None:
        """Delete the standing secret: endpoints without a secret of their own go unsigned from then on."""
        await store.set_standing_secret(self._database, caller.organization, None)

    async def _check_url(self, url: str, field: str) -> None:
        try:
            await self._client.check(url)
        except BadInputError as error:
            raise BadInputError(f"{field}: {error.detail}", code=error.code, field=field) from error

    def _view(self, caller: Principal | None, row: store.Endpoint, secret: str | None = None) -> EndpointView:
        return EndpointView(
            webhook_id=row.id,
            url=address_for(self._vault, caller, row.url),
            events=row.events,
            secret=secret,
            created_at=row.created_at,
            disabled_at=row.disabled_at,
            previous_secret_until=row.previous_until,
        )


def address_for(vault: Vault, caller: Principal | None, stored: str) -> str:
    """Return an endpoint's URL: the whole of it for who may change endpoints, for anybody else its host.

    Args:
        vault: Opens it.
        caller: Who looks; None: nobody who may see the whole, as where the answer is kept for a repeat of the request.
        stored: As the store has it.
    """
    whole = caller is not None and caller.role.covers(Role.EDITOR) and Scope.WRITE in caller.scopes
    return seen_url(vault, stored, show_endpoint, whole=whole)
