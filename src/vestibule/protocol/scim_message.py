"""What goes to and fro beside resources: requests for lists, lists, bulk, and what the service says of itself.

Spec: RFC 7644 sections 3.4 and 3.7, RFC 7643 section 5, RFC 9865.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NoReturn

import msgspec

from vestibule.protocol.scim_error import ScimError
from vestibule.protocol.scim_filter import Filter, Place, read_filter, read_place

LIST: Final = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
SEARCH: Final = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"
BULK_REQUEST: Final = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
BULK_RESPONSE: Final = "urn:ietf:params:scim:api:messages:2.0:BulkResponse"
SERVICE: Final = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"
PAGE: Final = 100
PAGE_MAX: Final = 1000
OPERATIONS_MAX: Final = 1000
PAYLOAD_MAX_BYTES: Final = 1 << 20
_INTEGER: Final = re.compile(r"-?[0-9]{1,9}")
_NUMBER_MAX: Final = 10**9
_TAG: Final = re.compile(r'(?:W/)?"([0-9]{1,15})"')
DEPTH_MAX: Final = 32
"""Of one operation's data: a PATCH of a person's manager is seven deep."""
_BULK_ID: Final = "bulkId:"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a list is asked for by, in a query or in the body of `/.search`."""

    filter: Filter | None = None
    sort_by: Place | None = None
    is_descending: bool = False
    start: int = 1
    count: int = PAGE
    cursor: str | None = None
    attributes: str = ""
    excluded: str = ""


class BulkOperation(msgspec.Struct, frozen=True, kw_only=True):
    """One request of many."""

    method: str
    path: str
    bulk_id: str = ""
    version: str = ""
    data: Any = None

    def needs(self) -> frozenset[str]:
        """The `bulkId`s of others that must have been made before. Raises ScimError for data nested too deep."""
        return _named_in([self.data, self.path.split("/")])

    def resolved(self, made: Mapping[str, str]) -> BulkOperation:
        """The same with ids in place of `bulkId:…`."""
        path = "/".join(_resolved(part, made) for part in self.path.split("/"))
        return msgspec.structs.replace(self, path=path, data=_resolved(self.data, made))


def asked(parameters: Mapping[str, Any]) -> Asked:
    """What is asked for. Raises ScimError `invalidFilter`, `invalidPath`, `invalidValue`, `invalidCount`."""
    given = {name.lower(): value for name, value in parameters.items() if value is not None}
    text, order = _text(given, "filter"), _text(given, "sortorder").lower()
    if order not in ("", "ascending", "descending"):
        raise ScimError(400, "sortOrder is ascending or descending", "invalidValue")
    sort_by = _text(given, "sortby")
    cursor = _text(given, "cursor") if "cursor" in given else None
    count = _number(given, "count", PAGE, is_by_cursor=cursor is not None)
    return Asked(
        filter=read_filter(text) if text else None,
        sort_by=read_place(sort_by) if sort_by else None,
        is_descending=order == "descending",
        start=max(1, _number(given, "startindex", 1)),
        count=min(max(0, count), PAGE_MAX),
        cursor=cursor,
        attributes=_text(given, "attributes"),
        excluded=_text(given, "excludedattributes"),
    )


def _text(given: Mapping[str, Any], name: str) -> str:
    value = given.get(name, "")
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return ",".join(value)
    if not isinstance(value, str):
        raise ScimError(400, f"{name} is a string", "invalidValue")
    return value


def _number(given: Mapping[str, Any], name: str, otherwise: int, *, is_by_cursor: bool = False) -> int:
    value = given.get(name, otherwise)
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= _NUMBER_MAX:
        raise ScimError(400, f"{name} is a number", "invalidCount" if is_by_cursor else "invalidValue")
    return value


def listed(
    resources: list[dict[str, Any]], *, total: int, start: int | None = None, next_cursor: str = ""
) -> dict[str, Any]:
    """A list as it is answered. Spec: RFC 7644 section 3.4.2; RFC 9865 section 2 for `next_cursor`."""
    told: dict[str, Any] = {"schemas": [LIST], "totalResults": total, "itemsPerPage": len(resources)}
    if start is not None:
        told["startIndex"] = start
    if next_cursor:
        told["nextCursor"] = next_cursor
    return {**told, "Resources": resources}


def version_in(header: str) -> int | None:
    """The version that an If-Match names; None: any. Raises ScimError 412 for one that can't be ours."""
    if header.strip() in ("", "*"):
        return None
    tag = _TAG.fullmatch(header.strip())
    if tag is None:
        raise ScimError(412, "it was changed by somebody else since")
    return int(tag[1])


def tags_in(header: str) -> frozenset[int]:
    """The versions that an If-None-Match names."""
    return frozenset(int(tag) for tag in _TAG.findall(header))


def bulk(body: Any) -> tuple[tuple[BulkOperation, ...], int]:
    """The operations, and after how many faults to stop (0: never). Raises ScimError `invalidSyntax`, 413 `tooMany`."""
    if not isinstance(body, dict):
        _refuse("the body is no BulkRequest")
    lower = {str(name).lower(): value for name, value in body.items()}
    schemas, found, stop = lower.get("schemas"), lower.get("operations"), lower.get("failonerrors", 0)
    if not isinstance(schemas, list) or BULK_REQUEST not in schemas:
        _refuse("schemas must name BulkRequest")
    if not isinstance(found, list):
        _refuse("Operations must be a list")
    if isinstance(stop, bool) or not isinstance(stop, int) or stop < 0:
        _refuse("failOnErrors is a number")
    if len(found) > OPERATIONS_MAX:
        raise ScimError(413, f"more than {OPERATIONS_MAX} operations", "tooMany")
    operations = tuple(_operation(one) for one in found)
    ids = [one.bulk_id for one in operations if one.bulk_id]
    if len(ids) != len(set(ids)):
        _refuse("a bulkId is used twice")
    return operations, stop


def _operation(body: Any) -> BulkOperation:
    if not isinstance(body, dict):
        _refuse("an operation is an object")
    lower = {str(name).lower(): value for name, value in body.items()}
    method, path = lower.get("method"), lower.get("path")
    bulk_id, version = lower.get("bulkid", ""), lower.get("version", "")
    if not isinstance(method, str) or not isinstance(path, str):
        _refuse("an operation has method and path")
    if not isinstance(bulk_id, str) or not isinstance(version, str):
        _refuse("bulkId and version are strings")
    if method.upper() == "POST" and not bulk_id:
        _refuse("a POST has a bulkId")
    return BulkOperation(
        method=method.upper(), path=path, bulk_id=bulk_id, version=version, data=lower.get("data")
    )


def _refuse(detail: str) -> NoReturn:
    raise ScimError(400, detail, "invalidSyntax")


def _named_in(data: Any) -> frozenset[str]:
    """Level by level, so that none is too deep for us to look at. Raises ScimError `invalidSyntax`."""
    found: set[str] = set()
    level = [data]
    for _ in range(DEPTH_MAX):
        found.update(
            one.removeprefix(_BULK_ID) for one in level if isinstance(one, str) and one.startswith(_BULK_ID)
        )
        inner = (
            one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list)
        )
        level = [one for several in inner for one in several]
        if not level:
            return frozenset(found)
    _refuse("the data are nested too deep")


def _resolved(data: Any, made: Mapping[str, str]) -> Any:
    if isinstance(data, str) and data.startswith(_BULK_ID):
        return made.get(data.removeprefix(_BULK_ID), data)
    if isinstance(data, dict):
        return {name: _resolved(one, made) for name, one in data.items()}
    return [_resolved(one, made) for one in data] if isinstance(data, list) else data


def service_document(base_url: str) -> dict[str, Any]:
    """What the service can do, as it is published. Spec: RFC 7643 section 5, RFC 9865 section 4."""
    return {
        "schemas": [SERVICE],
        "patch": {"supported": True},
        "bulk": {
            "supported": True,
            "maxOperations": OPERATIONS_MAX,
            "maxPayloadSize": PAYLOAD_MAX_BYTES,
        },
        "filter": {"supported": True, "maxResults": PAGE_MAX},
        "changePassword": {"supported": False},
        "sort": {"supported": True},
        "etag": {"supported": True},
        "pagination": {
            "cursor": True,
            "index": True,
            "defaultPaginationMethod": "index",
            "defaultPageSize": PAGE,
            "maxPageSize": PAGE_MAX,
        },
        "authenticationSchemes": [
            {
                "type": "oauthbearertoken",
                "name": "Bearer token",
                "description": "A token of the organisation's directory, in Authorization.",
                "specUri": "https://www.rfc-editor.org/rfc/rfc6750",
                "primary": True,
            }
        ],
        "meta": {
            "resourceType": "ServiceProviderConfig",
            "location": f"{base_url}/ServiceProviderConfig",
        },
    }
