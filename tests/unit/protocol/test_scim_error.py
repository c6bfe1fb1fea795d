"""What a directory is told of what can't be done (RFC 7644 section 3.12)."""

from __future__ import annotations

from scim2_models import Error

from vestibule.protocol.scim_error import ScimError


def test_an_error_is_told_as_the_book_has_it():
    told = ScimError(400, "the filter can't be read", "invalidFilter").document()
    read = Error.model_validate(told)
    assert (read.status, read.scim_type, read.detail) == (400, "invalidFilter", "the filter can't be read")
    assert told["status"] == "400"


def test_without_a_type_there_is_none():
    assert "scimType" not in ScimError(404, "there is no such resource").document()
