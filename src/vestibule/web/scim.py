"""SCIM 2.0 at `/scim/v2` (RFC 7644): an organisation's directory provisions people and groups.

Whose directory it is says the token, in every request; there is no cookie and no page here, and no other way in.
"""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Send

from vestibule.errors import StoreError, VestibuleError
from vestibule.model import RETRY_AFTER_S
from vestibule.observe.log import Log
from vestibule.protocol.scim_error import ScimError
from vestibule.protocol.scim_message import (
    SEARCH,
    Asked,
    asked,
    listed,
    service_document,
    tags_in,
    version_in,
)
from vestibule.protocol.scim_patch import Operation, operations
from vestibule.protocol.scim_resource import places, shown
from vestibule.protocol.scim_schema import (
    GROUPS,
    KINDS,
    PATH,
    SCHEMAS,
    USERS,
    Kind,
    kind_document,
    schema_document,
)
from vestibule.service.directory import Directory, etag, resource_of
from vestibule.service.directory_search import Query, Search
from vestibule.service.directory_tokens import DirectoryTokens
from vestibule.service.events import acting
from vestibule.service.visit import Visit
from vestibule.store.base_directory import Entry
from vestibule.web.scim_bulk import Told, carried_out

MEDIA_TYPE: Final = "application/scim+json"
_TAKEN: Final = frozenset((MEDIA_TYPE, "application/json"))
_HEADERS: Final = (
    ("cache-control", "no-store"),
    ("x-content-type-options", "nosniff"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
)


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One request, once it is known whose."""

    org_id: str
    method: str
    path: str
    """Below the base: `/Users/ID`."""
    parameters: Mapping[str, Any]
    headers: Mapping[str, str]
    body: Any
    base_url: str
    now: float


class Beside:
    """What visits lead to: SCIM on hosts that take it, and else `own`."""

    def __init__(self, own: ASGIApp, scim: Scim) -> None:
        self._own = own
        self._scim = scim

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one visit."""
        host, path = scope["state"]["visit"].host, scope["path"]
        is_scim = (path == PATH or path.startswith(f"{PATH}/")) and PATH.encode() in host.own_paths
        await (self._scim if is_scim else self._own)(scope, receive, send)


class Scim:
    """The ASGI application. `log` gets what nobody meant."""

    def __init__(self, directory: Directory, search: Search, tokens: DirectoryTokens, *, log: Log) -> None:
        self._directory = directory
        self._search = search
        self._tokens = tokens
        self._log = log

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request; whatever is raised becomes an error as the book has it."""
        request = Request(scope, receive)
        try:
            told = await self._told(request)
        except ScimError as error:
            told = refused(error)
        except StoreError as error:
            self._log.error("directory_unanswered", detail=error.detail or error.message)
            told = refused(ScimError(503, "the store can't be reached"))
        except VestibuleError as error:
            told = refused(ScimError(error.status, error.message))
        except Exception as error:  # noqa: BLE001 - the last line of defence
            self._fault(request, error)
            told = refused(ScimError(500, "that is our fault, and it is logged"))
        await _response(told, is_head=request.method == "HEAD")(scope, receive, send)

    def _fault(self, request: Request, error: Exception) -> None:
        trace = "".join(traceback.format_exception(error)[-4:])
        visit: Visit = request.scope["state"]["visit"]
        self._log.error("fault", id=visit.request_id, error=repr(error), path=request.url.path, trace=trace)

    async def _told(self, request: Request) -> Told:
        visit: Visit = request.scope["state"]["visit"]
        shown_to_us = request.headers.getlist("authorization")
        authorization = shown_to_us[0] if len(shown_to_us) == 1 else ""
        token = await self._tokens.prove(authorization, visit.address, visit.now)
        call = Call(
            org_id=token.org_id,
            method="GET" if request.method == "HEAD" else request.method,
            path=request.scope["path"].removeprefix(PATH),
            parameters=_parameters(request.scope["query_string"]),
            headers=request.headers,
            body=_body(await request.body(), request.headers.get("content-type", "")),
            base_url=visit.site.base_url + PATH,
            now=visit.now,
        )
        with acting(f"directory {token.id}", address=visit.address, request_id=visit.request_id):
            return await self.answer(call)

    async def answer(self, call: Call) -> Told:
        """What a request comes to. Raises ScimError, StoreError."""
        parts = call.path.strip("/").split("/") if call.path.strip("/") else []
        match parts:
            case [] | [".search"]:
                return await self._by_method(call, self._at_root(call, parts))
            case ["Bulk"]:
                return await self._by_method(call, {"POST": self._bulk})
            case ["Me"]:
                raise ScimError(501, "a directory's token is nobody's")
            case ["ServiceProviderConfig"]:
                return await self._by_method(call, {"GET": self._service})
            case ["Schemas" | "ResourceTypes", *rest] if len(rest) <= 1:
                return await self._by_method(call, {"GET": self._published})
        kind = next((one for one in KINDS if parts and one.path == f"/{parts[0]}"), None)
        if kind is None or len(parts) > 2:
            raise ScimError(404, "there is nothing at this path")
        return await self._by_method(call, self._of_kind(kind, parts[1] if len(parts) > 1 else None))

    @staticmethod
    async def _by_method(call: Call, ways: Mapping[str, Callable[[Call], Awaitable[Told]]]) -> Told:
        if call.method not in ways:
            told = refused(ScimError(405, f"{call.method} can't be done here"))
            return msgspec.structs.replace(told, headers={"allow": ", ".join(sorted(ways))})
        return await ways[call.method](call)

    # -- resources ----------------------------------------------------------------------------

    def _of_kind(self, kind: Kind, entry_id: str | None) -> Mapping[str, Callable[[Call], Awaitable[Told]]]:
        """What can be done with all of a kind, or with one of them."""
        directory = self._directory

        async def listing(call: Call) -> Told:
            return await self._listed(call, (kind,), asked(call.parameters))

        async def searching(call: Call) -> Told:
            return await self._listed(call, (kind,), _search_of(call.body))

        async def create(call: Call) -> Told:
            entry = await directory.create(call.org_id, kind, _whole(call.body), call.now)
            told = await self._shown(call, kind, entry, 201)
            return msgspec.structs.replace(told, headers={**told.headers, "location": told.location})

        if entry_id is None:
            return {"GET": listing, "POST": create}
        if entry_id == ".search":
            return {"POST": searching}

        async def get(call: Call) -> Told:
            entry = await directory.get(call.org_id, kind, entry_id)
            if entry.version in tags_in(call.headers.get("if-none-match", "")):
                return Told(status=304, headers={"etag": etag(entry)})
            return await self._shown(call, kind, entry)

        async def put(call: Call) -> Told:
            entry = await directory.replace(
                call.org_id, kind, entry_id, _whole(call.body), call.now, version=_version(call)
            )
            return await self._shown(call, kind, entry)

        async def patch(call: Call) -> Told:
            changes = operations(_whole(call.body))
            entry = await directory.patch(
                call.org_id, kind, entry_id, changes, call.now, version=_version(call)
            )
            if kind is GROUPS and _is_of_members(changes) and not _selects(call):
                # A group of thousands is changed one by one, and nobody reads them all each time.
                location = f"{call.base_url}{kind.path}/{entry.id}"
                return Told(status=204, location=location, headers={"etag": etag(entry)})
            return await self._shown(call, kind, entry)

        async def delete(call: Call) -> Told:
            await directory.delete(call.org_id, kind, entry_id, call.now, version=_version(call))
            return Told(status=204)

        return {"GET": get, "PUT": put, "PATCH": patch, "DELETE": delete}

    async def _shown(self, call: Call, kind: Kind, entry: Entry, status: int = 200) -> Told:
        given = {name.lower(): value for name, value in call.parameters.items()}
        wanted = Asked(attributes=given.get("attributes", ""), excluded=given.get("excludedattributes", ""))
        [document] = await self._documents(call, kind, (entry,), wanted)
        location = f"{call.base_url}{kind.path}/{entry.id}"
        return Told(status=status, body=document, location=location, headers={"etag": etag(entry)})

    async def _documents(
        self, call: Call, kind: Kind, entries: tuple[Entry, ...], wish: Asked
    ) -> list[dict[str, Any]]:
        """The resources with the attributes that are asked for; who is in a group is looked up where it is shown."""
        wanted, unwanted = places(wish.attributes, kind), places(wish.excluded, kind)
        if wanted and unwanted:
            raise ScimError(400, "attributes and excludedAttributes exclude each other", "invalidValue")
        name = "groups" if kind is USERS else "members"
        is_left_out = any(place.name.lower() == name and not place.sub for place in unwanted)
        is_named = any(place.name.lower() == name for place in wanted)
        around: Mapping[str, Any] = {}
        if is_named if wanted else not is_left_out:
            around = await self._directory.references(kind, entries)
        return [
            shown(
                resource_of(entry, call.base_url, around.get(entry.id, ())),
                kind,
                wanted=wanted,
                unwanted=unwanted,
            )
            for entry in entries
        ]

    async def _listed(self, call: Call, kinds: tuple[Kind, ...], wish: Asked) -> Told:
        """One page of one kind, or of all of them: then those of the first come first."""
        if len(kinds) > 1 and wish.cursor is not None:
            raise ScimError(400, "pages of everything go by startIndex", "invalidCursor")
        resources: list[dict[str, Any]] = []
        faults: list[ScimError] = []
        total, following = 0, ""
        for kind in kinds:
            query = Query(
                filter=wish.filter,
                sort_by=wish.sort_by,
                is_descending=wish.is_descending,
                start=max(1, wish.start - total),
                count=wish.count - len(resources),
                cursor=wish.cursor,
            )
            try:
                found = await self._search.find(call.org_id, kind, query, call.base_url)
            except ScimError as error:
                faults.append(error)  # what one kind has no such attribute for, another may have
                continue
            resources += await self._documents(call, kind, found.entries, wish)
            total, following = total + found.total, found.next_cursor
        if len(faults) == len(kinds):
            raise faults[0]
        shows_start = None if wish.cursor is not None else wish.start
        return Told(body=listed(resources, total=total, start=shows_start, next_cursor=following))

    def _at_root(self, call: Call, parts: list[str]) -> Mapping[str, Callable[[Call], Awaitable[Told]]]:
        async def everything(_call: Call) -> Told:
            wish = _search_of(call.body) if parts else asked(call.parameters)
            return await self._listed(call, KINDS, wish)

        return {"POST" if parts else "GET": everything}

    async def _bulk(self, call: Call) -> Told:
        async def one(method: str, path: str, version: str, data: Any) -> Told:
            headers = {"if-match": version} if version else {}
            part = msgspec.structs.replace(
                call, method=method, path=path, parameters={}, headers=headers, body=data
            )
            if path.strip("/").split("/")[0] not in ("Users", "Groups"):
                raise ScimError(400, "people and groups alone are changed in bulk", "invalidPath")
            return await self.answer(part)

        return await carried_out(_whole(call.body), one)

    # -- what is published --------------------------------------------------------------------

    @staticmethod
    async def _service(call: Call) -> Told:
        return Told(body=service_document(call.base_url))

    @staticmethod
    async def _published(call: Call) -> Told:
        """Schemas and kinds of resources. A filter is forbidden: RFC 7644 section 4."""
        name, _, wanted = call.path.strip("/").partition("/")
        if any(one.lower() == "filter" for one in call.parameters):
            raise ScimError(403, "this can't be filtered")
        if name == "Schemas":
            documents = [schema_document(one, call.base_url) for one in SCHEMAS]
        else:
            documents = [kind_document(one, call.base_url) for one in (USERS, GROUPS)]
        if not wanted:
            return Told(body=listed(documents, total=len(documents), start=1))
        found = next((one for one in documents if one["id"] == wanted), None)
        if found is None:
            raise ScimError(404, "there is no such thing")
        return Told(body=found)


def refused(error: ScimError) -> Told:
    """The error as it is answered."""
    headers = {}
    if error.status == 401:
        headers["www-authenticate"] = 'Bearer realm="scim"'
    if error.status in (429, 503):
        headers["retry-after"] = str(60 if error.status == 429 else RETRY_AFTER_S)
    return Told(status=error.status, body=error.document(), headers=headers)


def _response(told: Told, *, is_head: bool) -> Response:
    body = b"" if told.body is None or is_head else msgspec.json.encode(told.body)
    media = f"{MEDIA_TYPE}; charset=utf-8" if told.body is not None else None
    headers = {**dict(_HEADERS), **told.headers}
    return Response(body, told.status, headers=headers, media_type=media)


def _parameters(query: bytes) -> dict[str, str]:
    """The query's parameters. Raises ScimError for one that is sent twice, or can't be read."""
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, max_num_fields=50, errors="strict")
    except ValueError:
        raise ScimError(400, "the query can't be read", "invalidValue") from None
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ScimError(400, "a parameter was sent twice", "invalidValue")
    return found


def _body(data: bytes, content_type: str) -> Any:
    """The body, None for none. Raises ScimError 415, `invalidSyntax`."""
    if not data:
        return None
    if content_type.partition(";")[0].strip().lower() not in _TAKEN:
        raise ScimError(415, f"a body is {MEDIA_TYPE}")
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise ScimError(400, "the body is no JSON", "invalidSyntax") from None


def _whole(body: Any) -> Any:
    if body is None:
        raise ScimError(400, "a body is needed", "invalidSyntax")
    return body


def _is_of_members(changes: tuple[Operation, ...]) -> bool:
    """Whether nothing else of a group is changed."""
    return all(one.path is not None and one.path.place.name.lower() == "members" for one in changes)


def _selects(call: Call) -> bool:
    """Whether it says what it wants to be shown. Spec: RFC 7644 section 3.5.2: then it is 200, else it may be 204."""
    return any(name.lower() in ("attributes", "excludedattributes") for name in call.parameters)


def _search_of(body: Any) -> Asked:
    if not isinstance(body, dict) or SEARCH not in (body.get("schemas") or ()):
        raise ScimError(400, "the body is no SearchRequest", "invalidSyntax")
    return asked({name: value for name, value in body.items() if name != "schemas"})


def _version(call: Call) -> int | None:
    return version_in(call.headers.get("if-match", ""))
