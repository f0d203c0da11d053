"""The files that an organization may name: those below its own folder, and nothing beside it."""

from __future__ import annotations

from pathlib import Path

from towpath.core.errors import BadInputError, ErrorCode, NotFoundError
from towpath.core.texts import shorten

MAX_SHOWN = 300


def own_file(root: Path, organization: str, path: str, *, must_exist: bool = True) -> Path:
    """A file in `root/organization`.

    Args:
        root: The folder that has one for each organization.
        organization: Whose file.
        path: Where it is in the organization's folder.
        must_exist: Whether it must be there; if not, only where the path leads is looked at.

    Raises:
        BadInputError: The path leads out of the folder, also through a link, or no file can have it.
        NotFoundError: There is no such file.
    """
    folder = (root / organization).resolve()
    try:
        file = (folder / path).resolve()
        absent = must_exist and not file.is_file()
    except (OSError, RuntimeError, ValueError) as error:
        # Too long a name, a NUL in it, a link that leads to itself.
        raise BadInputError("path: no path of a file", code=ErrorCode.INVALID_VALUE, field="path") from error
    if not file.is_relative_to(folder):
        raise BadInputError(
            "path: leads out of the folder of this organization", code=ErrorCode.INVALID_VALUE, field="path"
        )
    if absent:
        raise NotFoundError(f"there is no file {shorten(path, MAX_SHOWN)} in the folder of {organization}")
    return file
