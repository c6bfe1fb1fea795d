"""What a directory is told of a request that can't be done (RFC 7644 section 3.12)."""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias

ScimType: TypeAlias = Literal[
    "",
    "invalidFilter",
    "tooMany",
    "uniqueness",
    "mutability",
    "invalidSyntax",
    "invalidPath",
    "noTarget",
    "invalidValue",
    "invalidVers",
    "invalidCursor",
    "invalidCount",
]
"""The last two: RFC 9865 section 2.1."""
ERROR: Final = "urn:ietf:params:scim:api:messages:2.0:Error"


class ScimError(Exception):
    """What is wrong with a request, as the client is told it; the detail names attributes, never their values."""

    def __init__(self, status: int, detail: str, scim_type: ScimType = "") -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.scim_type: ScimType = scim_type

    def document(self) -> dict[str, Any]:
        """The body of the answer: `status` is a string there. Spec: RFC 7644 section 3.12."""
        told: dict[str, Any] = {"schemas": [ERROR], "status": str(self.status), "detail": self.detail}
        return {**told, "scimType": self.scim_type} if self.scim_type else told
