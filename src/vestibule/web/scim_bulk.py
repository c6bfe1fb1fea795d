"""Many SCIM requests in one (RFC 7644 section 3.7): each is done as if it had come alone, and its answer told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec

from vestibule.protocol.scim_error import ScimError
from vestibule.protocol.scim_message import BULK_RESPONSE, BulkOperation, bulk

_METHODS: Final = frozenset(("POST", "PUT", "PATCH", "DELETE"))


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a request is answered."""

    status: int = 200
    body: dict[str, Any] | None = None
    location: str = ""
    headers: Mapping[str, str] = {}


One = Callable[[str, str, str, Any], Awaitable[Told]]
"""Does one: by method, path, version and data."""


async def carried_out(body: Any, one: One) -> Told:
    """What all of them came to, in the order they were done: one that names another's `bulkId` waits for it.

    Raises ScimError `invalidSyntax`, 413. Spec: RFC 7644 section 3.7.1 (circular references: 409).
    """
    waiting, stop = bulk(body)
    made: dict[str, str] = {}
    answers: list[dict[str, Any]] = []
    faults = 0
    left = {number: (other, other.needs()) for number, other in enumerate(waiting)}
    while left and not (stop and faults >= stop):
        known = {other.bulk_id for other, _ in left.values() if other.bulk_id} - made.keys()
        number = next((number for number, (_, needs) in left.items() if not needs & known), None)
        if number is None:
            answers += [
                _failed(other, ScimError(409, "the operations wait for each other"))
                for other, _ in left.values()
            ]
            break
        ready, _ = left.pop(number)
        answer = await _done(ready, made, one)
        await asyncio.sleep(0)  # others have their turn
        faults += int(answer["status"]) >= 400
        answers.append(answer)
    return Told(body={"schemas": [BULK_RESPONSE], "Operations": answers})


async def _done(operation: BulkOperation, made: dict[str, str], one: One) -> dict[str, Any]:
    try:
        if operation.needs() - made.keys():
            raise ScimError(409, "the bulkId of another operation was not made", "invalidValue")  # noqa: TRY301
        if operation.method not in _METHODS:
            raise ScimError(405, "POST, PUT, PATCH and DELETE are done in bulk")  # noqa: TRY301
        operation = operation.resolved(made)
        told = await one(operation.method, operation.path, operation.version, operation.data)
        if told.status >= 400:
            return _failed(operation, ScimError(told.status, str((told.body or {}).get("detail", ""))))
    except ScimError as error:
        return _failed(operation, error)
    answer = _named(operation, told.status)
    if told.location:
        answer["location"] = told.location
    if version := told.headers.get("etag", ""):
        answer["version"] = version
    if told.body is not None and operation.bulk_id and operation.method == "POST":
        made[operation.bulk_id] = told.body["id"]
    return answer


def _failed(operation: BulkOperation, error: ScimError) -> dict[str, Any]:
    return {**_named(operation, error.status), "response": error.document()}


def _named(operation: BulkOperation, status: int) -> dict[str, Any]:
    told: dict[str, Any] = {"method": operation.method, "status": str(status)}
    if operation.bulk_id:
        told["bulkId"] = operation.bulk_id
    return told
