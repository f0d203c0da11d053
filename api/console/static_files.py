"""Style sheet, scripts and icon, under addresses that change with their content."""

from __future__ import annotations

import hashlib
import mimetypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

FOLDER = Path(__file__).parent / "static"
PREFIX = "/static"
DIGEST_CHARACTERS = 12
FOR_A_YEAR = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file, held in memory: there are few and they are small."""

    name: str
    body: bytes
    media_type: str

    @property
    def digest(self) -> str:
        """A mark of the content."""
        return hashlib.sha256(self.body).hexdigest()[:DIGEST_CHARACTERS]

    @property
    def url(self) -> str:
        """Where pages find it."""
        return f"{PREFIX}/{self.digest}/{self.name}"


@cache
def static_files() -> dict[str, StaticFile]:
    """Return every file by name, read once a process."""
    return {path.name: _read(path) for path in sorted(FOLDER.iterdir()) if path.is_file()}


def _read(path: Path) -> StaticFile:
    guessed = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return StaticFile(path.name, path.read_bytes(), guessed)


def asset_url(name: str) -> str:
    """Return the address of a file for a template.

    Raises:
        KeyError: There is no such file.
    """
    return static_files()[name].url


async def serve(request: Request) -> Response:
    """Return a file; one that is asked for by an old address is the present one, and is not kept.

    Raises:
        HTTPException: 404, there is no such file.
    """
    file = static_files().get(request.path_params["name"])
    if file is None:
        raise HTTPException(404, "no such file")
    fresh = request.path_params["digest"] == file.digest
    headers = {"Cache-Control": FOR_A_YEAR if fresh else "no-cache", "X-Content-Type-Options": "nosniff"}
    return Response(file.body, media_type=file.media_type, headers=headers)


def mount_static(app: FastAPI) -> None:
    """Serve the files of the pages."""
    app.add_route(f"{PREFIX}/{{digest}}/{{name}}", serve, methods=["GET", "HEAD"], include_in_schema=False)
