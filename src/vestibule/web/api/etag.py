"""Versions of what the API shows: the `ETag` of an answer, and what of it a change must still have."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import Header

from vestibule.web.api.shape import IF_MATCH

IfMatch = Annotated[str, Header(pattern=IF_MATCH, description="The ETag that it must still have.")]
ETAG: Final[dict[str, Any]] = {
    "ETag": {"description": "Its version, for `If-Match`.", "schema": {"type": "string"}}
}


def etag_of(version: int) -> str:
    """The ETag of a version."""
    return f'"{version}"'


def version_of(if_match: str) -> int | None:
    """The version that it must have; None: any."""
    return None if if_match in {"", "*"} else int(if_match.strip('"'))
