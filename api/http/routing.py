"""The route of this API: what a request has and the route does not know is refused or told, on every route alike.

Query parameters, fields of bodies and forms, and types of bodies are looked at here and nowhere else; a route
declares what it takes, by its parameters or, where it reads the body itself, by `openapi_extra`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any, get_origin

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_flat_params
from fastapi.exceptions import RequestValidationError
from fastapi.params import Form, ParamTypes
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError

from towpath.accounts.types import Principal
from towpath.api.http.auth import authenticate, authenticate_embeddings
from towpath.api.http.body_limit import allow
from towpath.api.http.media import FORM, JSON, settle_media
from towpath.api.http.requests import add_header
from towpath.api.http.state import AppState, state_of
from towpath.api.http.wording import UNKNOWN_FIELD, UNKNOWN_PARAMETER
from towpath.core.bodies import Lenient, names_beside, unknown_fields
from towpath.core.errors import UnsupportedMediaTypeError
from towpath.core.suggestions import find_nearest, suggest_name

MULTIPART = "multipart/form-data"
MAX_TOLD = 10
MAX_NAME = 64
MAX_WARNING = 1000
UNREAD = "towpath.unread"
BODY_LIMIT = "x-body-limit"
"""In a route's `openapi_extra`: the setting that bounds its body, where the framework reads it."""


class ApiRoute(APIRoute):
    """A route that refuses what it does not know. The arguments are those of `APIRoute`."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, _careful(endpoint), **options)

    @functools.cached_property
    def parameters(self) -> list[str]:
        """The query parameters that it and its dependencies take."""
        fields = get_flat_params(self.dependant)
        return [field.alias for field in fields if getattr(field.field_info, "in_", None) is ParamTypes.query]

    @functools.cached_property
    def lists(self) -> list[str]:
        """Those of them that may come several times."""
        fields = [field for field in get_flat_params(self.dependant) if field.alias in self.parameters]
        return [field.alias for field in fields if get_origin(field.field_info.annotation) in {list, set, tuple}]

    @functools.cached_property
    def form_fields(self) -> list[str]:
        """The fields of the form that it takes; none: no form, or one that it reads itself."""
        if self.body_field is None or not isinstance(self.body_field.field_info, Form):
            return []
        return [field.alias for field in self.dependant.body_params]

    @functools.cached_property
    def media_types(self) -> list[str]:
        """The types of body that it takes; none: no body."""
        extra = (self.openapi_extra or {}).get("requestBody", {}).get("content", {})
        if self.body_field is None:
            return list(extra)
        return [MULTIPART, FORM] if isinstance(self.body_field.field_info, Form) else [JSON, *extra]

    @property
    def body_model(self) -> type[BaseModel] | None:
        """The body that FastAPI reads for it."""
        if self.body_field is None:
            return None
        kinds = [self.body_field.field_info.annotation, *getattr(self.body_field.field_info.annotation, "__args__", ())]
        return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)

    @property
    def authenticates(self) -> Callable[[Request, AppState], Coroutine[Any, Any, Principal]] | None:
        """Who finds the caller of a route whose body the framework reads; None: anybody may call, or there is none."""
        if self.body_field is None:
            return None
        calls = [dependant.call for dependant in _flat(self.dependant)]
        return next((check for check in (authenticate, authenticate_embeddings) if check in calls), None)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of FastAPI, with the body's type settled before it and its errors worded after it."""
        handle = super().get_route_handler()
        media_types = self.media_types
        authenticates = self.authenticates
        limit: str | None = (self.openapi_extra or {}).get(BODY_LIMIT)

        async def settle(request: Request) -> Response:
            unread = settle_media(request.scope, media_types) if media_types else None
            if not media_types and request.headers.get("content-length", "0") not in {"0", "2"}:  # nothing, or `{}`
                add_header(request.scope, "Warning", '199 towpath "body ignored: nothing is read from one here"')
            request.scope[UNREAD] = unread
            if authenticates is not None:
                # The framework reads a body before it asks who sends it.
                await authenticates(request, await state_of(request))
            if limit is not None:
                allow(request.scope, getattr((await state_of(request)).settings, limit), limit)
            try:
                return await handle(request)
            except RequestValidationError as error:
                errors = _suggest_names(self.body_model, error)
                if all(each["type"] != UNKNOWN_PARAMETER for each in errors):
                    # Told with the others, though the endpoint was not reached.
                    errors = _unknown(request.query_params, self.parameters, "query") + errors
                if unread is not None and any(list(each["loc"]) == ["body"] for each in errors):
                    raise unread from error
                raise RequestValidationError(errors, body=error.body) from error

        return settle


def _flat(dependant: Dependant) -> Iterator[Dependant]:
    """What a route depends on, directly or not."""
    for child in dependant.dependencies:
        yield child
        yield from _flat(child)


def _careful(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """The endpoint, called after everything about the request was looked at: also who asks, which comes first."""
    signature = inspect.signature(endpoint)
    own = next(
        (name for name, parameter in signature.parameters.items() if parameter.annotation in {Request, "Request"}), None
    )
    name = own or "request_at_hand"

    @functools.wraps(endpoint)
    async def careful(**values: Any) -> Any:
        request: Request = values[name] if own else values.pop(name)
        await _refuse_unknown(request)
        for value in values.values():
            if isinstance(value, Lenient):
                warn_of_unknown_fields(request, value)
        return await endpoint(**values)

    if own is None:
        added = inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=Request)
        signature = signature.replace(parameters=[*signature.parameters.values(), added])
    careful.__signature__ = signature  # type: ignore[attr-defined]
    return careful


async def _refuse_unknown(request: Request) -> None:
    route = request.scope["route"]
    refuse_unknown(request.query_params, route.parameters, source="query")
    single = [name for name in route.parameters if name not in route.lists]
    if twice := [name for name in single if len(request.query_params.getlist(name)) > 1]:
        template = {"type": "repeated_parameter", "msg": "is there twice", "input": None}
        raise RequestValidationError([{**template, "loc": ("query", name)} for name in twice])
    unread: UnsupportedMediaTypeError | None = request.scope.get(UNREAD)
    if unread is not None:
        raise unread
    if route.form_fields:
        refuse_unknown(await request.form(), route.form_fields)


def refuse_unknown(
    names: Iterable[str], known: Iterable[str], *, source: str = "body", within: str | None = None
) -> None:
    """Refuse names that are not known.

    Args:
        names: The names of a request's parameters or fields.
        known: Those that there are.
        source: Where they are: `query` or `body`.
        within: The field that they are members of.

    Raises:
        RequestValidationError: With the nearest known name for each that is unknown.
    """
    if errors := _unknown(names, known, *([source] if within is None else [source, within])):
        raise RequestValidationError(errors)


def _unknown(names: Iterable[str], known: Iterable[str], *path: str) -> list[Any]:
    candidates = list(known)
    kind, word = (UNKNOWN_PARAMETER, "query parameter") if path == ("query",) else (UNKNOWN_FIELD, "field")
    return [
        {"type": kind, "loc": (*path, name), "msg": f"unknown {word}; {suggest_name(name, candidates)}", "input": None}
        for name in names
        if name not in candidates
    ]


def make_validation_error(model: type[BaseModel], error: ValidationError, *path: str | int) -> RequestValidationError:
    """Return what is wrong with a body that a route reads itself, as if FastAPI had read it.

    Args:
        model: The whole body.
        error: What validation says.
        path: Where within the body that is; nothing: the whole of it.
    """
    errors = [{**each, "loc": ("body", *path, *each["loc"])} for each in error.errors(include_url=False)]
    return RequestValidationError(_suggest_names(model, RequestValidationError(errors)))


def _suggest_names(model: type[BaseModel] | None, error: RequestValidationError) -> list[Any]:
    """Return what is wrong, with the nearest known name beside each field that is unknown."""
    return [
        _with_suggestion(model, each) if model is not None and each["type"] == "extra_forbidden" else each
        for each in error.errors()
    ]


def _with_suggestion(model: type[BaseModel], error: Any) -> Any:
    path = list(error["loc"][1:])
    names = names_beside(model, path)
    message = f"unknown field; {suggest_name(str(path[-1]), names)}" if names else "unknown field"
    return {**error, "type": UNKNOWN_FIELD, "msg": message}


def warn_of_unknown_fields(request: Request, body: BaseModel) -> None:
    """Name the fields that were ignored in the answer's `Warning` header."""
    if not isinstance(body, Lenient):
        return
    messages = []
    unknown = list(unknown_fields(body))
    for path, names in unknown[:MAX_TOLD]:
        near = find_nearest(path.rpartition(".")[2], names)
        messages.append(_safe(path) + (f" (did you mean {near}?)" if near else ""))
    if messages:
        rest = f" and {len(unknown) - len(messages)} more" if len(unknown) > len(messages) else ""
        add_header(request.scope, "Warning", f'199 towpath "unknown field(s) ignored: {", ".join(messages)}{rest}"')


def add_warning(request: Request, message: str) -> None:
    """Tell in the answer's `Warning` header what was done worse than asked."""
    safe = "".join(char if " " <= char <= "~" and char not in '"\\' else "?" for char in message)
    add_header(request.scope, "Warning", f'199 towpath "{safe[:MAX_WARNING]}"')


def _safe(name: str) -> str:
    """Return a client's name as it may stand in a header."""
    safe = "".join(char if char.isascii() and (char.isalnum() or char in "_.-[]") else "?" for char in name)
    return safe if len(safe) <= MAX_NAME else f"{safe[:MAX_NAME]}..."
