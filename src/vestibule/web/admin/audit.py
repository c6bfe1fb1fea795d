"""The trail: what has happened, one event of it, whether it is what was written, and a copy to take away."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from starlette.responses import Response

from vestibule.admin_model import Proof
from vestibule.core.event import NAMES
from vestibule.core.scope import check
from vestibule.errors import Invalid
from vestibule.service.asgi import Message, Receive, Send
from vestibule.web.admin.allowed import may, scopes_of
from vestibule.web.admin.answers import HEADERS, Desk, page
from vestibule.web.admin.api import query_of, segment
from vestibule.web.admin.asking import Ask
from vestibule.web.admin.fields import fault_lines

FILTERS: Final = ("action", "outcome", "actor", "target", "user_id", "session_id", "since", "until")
_LIMIT: Final = "50"
_AS_FILE: Final = [
    (name.encode(), value.encode())
    for name, value in {
        **HEADERS,
        "content-type": "application/x-ndjson",
        "content-disposition": 'attachment; filename="vestibule-audit.jsonl"',
    }.items()
]
_TIME_FORMS: Final = ("%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d")


async def listed(desk: Desk, ask: Ask) -> Response:
    """What has happened, the latest first, all filters applied."""
    filled = {name: ask.params.get(name, "").strip() for name in FILTERS}
    cursor = ask.params.get("cursor", "")
    found: Mapping[str, Any] = {"items": [], "next": None}
    faults: dict[str, str] = {}
    try:
        found = await ask.api.get("/audit", cursor=cursor, limit=_LIMIT, **_asked(filled))
    except Invalid as error:
        faults = fault_lines(error.faults)
    older = query_of({**filled, "cursor": found["next"]}) if found["next"] else ""
    return page(
        desk,
        ask,
        "audit.html",
        title="Audit",
        status=422 if faults else 200,
        items=[_line(one) for one in found["items"]],
        older=older,
        export=query_of(filled),
        newest=query_of(filled) if cursor else "",
        filled=filled,
        faults=faults,
        names=NAMES,
        is_filtered=any(filled.values()),
        may=may(ask),
    )


async def shown(desk: Desk, ask: Ask) -> Response:
    """One event, with what was before and after side by side."""
    one = await ask.api.get(f"/audit/{segment(ask.places['id'])}")
    detail = dict(one["detail"])
    before, after = detail.pop("before", None), detail.pop("after", None)
    return page(
        desk,
        ask,
        "audit_event.html",
        title=one["action"],
        one=one,
        changes=changes_of(before, after),
        is_made=before is None and after is not None,
        is_gone=after is None and before is not None,
        detail=[{"name": name, "value": written(value)} for name, value in detail.items()],
    )


async def verified(desk: Desk, ask: Ask) -> Response:
    """What looking through the whole trail has found."""
    proof = await ask.api.get("/audit/verify", Proof)
    return page(desk, ask, "audit_verified.html", title="Is the trail whole?", proof=proof)


async def exported(desk: Desk, ask: Ask) -> Response:  # noqa: ARG001 - as all handlers
    """All that passes the filters, as a file: a line of JSON each. Raises ScopeMissing, Invalid."""
    check(scopes_of(ask) or (), "exportAudit")
    filled = {name: ask.params.get(name, "").strip() for name in FILTERS}
    return Copy(ask, "/audit/export" + query_of(_asked(filled)))


class Copy(Response):
    """What the API streams, as a file to keep."""

    def __init__(self, ask: Ask, path: str) -> None:
        super().__init__()
        self._ask = ask
        self._path = path

    async def __call__(self, _scope: Message, receive: Receive, send: Send) -> None:
        """Pass on what comes."""

        async def passed(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                message = {**message, "headers": _AS_FILE}
            await send(message)

        await self._ask.api.stream(self._path, receive, passed)


def changes_of(before: Any, after: Any) -> list[dict[str, Any]]:
    """The members that a change made different, each as it was and is; None where it wasn't there."""
    old = before if isinstance(before, Mapping) else {}
    new = after if isinstance(after, Mapping) else {}
    return [
        {
            "name": name,
            "before": written(old[name]) if name in old else None,
            "after": written(new[name]) if name in new else None,
        }
        for name in {**old, **new}
    ]


def written(value: Any) -> str:
    """A value of JSON, for people."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return "\n".join(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "nothing"
    return json.dumps(value, indent=2, ensure_ascii=False) if isinstance(value, dict | list) else str(value)


def _asked(filled: Mapping[str, str]) -> dict[str, str]:
    """What the API is asked. Raises Invalid for a time that is none."""
    asked = dict(filled)
    for name in ("since", "until"):
        if asked[name]:
            asked[name] = _time(name, asked[name])
    return asked


def _time(name: str, text: str) -> str:
    for form in _TIME_FORMS:
        try:
            found = datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
        return found.isoformat()
    if text.endswith("Z"):
        return text
    raise Invalid(((name, "is a time in UTC: 2026-11-22T05:14"),))


def _line(one: Mapping[str, Any]) -> dict[str, Any]:
    """An event with its address, and its detail in a few words."""
    detail = {name: value for name, value in one["detail"].items() if name not in {"before", "after"}}
    members = changes_of(one["detail"].get("before"), one["detail"].get("after"))
    brief = [f"{name}: {' '.join(written(value).split())}" for name, value in detail.items()]
    return {
        **one,
        "href": f"/audit/{one['id']}" + query_of({"at": one["at"]}),
        "brief": ", ".join(brief)[:160],
        "members": ", ".join(member["name"] for member in members)[:160],
    }
