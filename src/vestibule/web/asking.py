"""What a handler is given: the visit as the gateway saw it, the query's parameters, and who sent the request.

The handlers never look at Host, cookies or the raw target: those were read once, by the gateway.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request

from vestibule.errors import BadRequest, ClientError
from vestibule.service.visit import Visit
from vestibule.web.page import with_query
from vestibule.web.pages import Scene, person_of, prefers_json

_MAX_PARAMETERS = 50


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One request for a path of the gateway."""

    visit: Visit
    method: str
    path: str
    client: str
    """ID of the client in the path; empty for `/@/…`."""
    params: Mapping[str, str]
    """The query's parameters; one sent twice is left out, as are the cookies and the body."""
    query: str = ""
    """The query as it came, for who reads it in a way of their own."""
    origin: str
    """The one Origin sent; empty where there is none, or more than one."""
    fetch_site: str
    """Sec-Fetch-Site, with which browsers (and no page in them) say where a request comes from."""
    fetch_dest: str
    is_prefetch: bool
    wants_json: bool
    languages: str = ""
    """Accept-Language, with which a person's browser says what they read."""
    body: bytes = b""
    """Of a POST."""
    content_type: str = ""
    authorization: str = ""
    """The one value of Authorization sent; empty where there is none, or more than one."""

    @property
    def rd(self) -> str:
        """Where to go afterwards, as it was sent: unchecked."""
        return self.params.get("rd", "")

    def scene(self, *, rd: str = "", again: str = "", other_ways: bool = False) -> Scene:
        """Where a page for this request is shown, and to whom. `rd` is a checked one."""
        visit = self.visit
        return Scene(
            request_id=visit.request_id,
            host=visit.host.title or visit.host.name.decode(),
            branding=visit.host.branding,
            languages=self.languages,
            who=person_of(visit.session),
            rd=rd,
            again=again,
            other_ways=other_ways,
        )

    def scene_of_nobody(self) -> Scene:
        """The same for a page that is not about who is signed in."""
        return msgspec.structs.replace(self.scene(), who="")


def ask_of(request: Request) -> Ask:
    """The request in the form the handlers take. Raises BadRequest for a query that can't be read."""
    headers = request.headers
    origins, credentials = headers.getlist("origin"), headers.getlist("authorization")
    return Ask(
        visit=request.scope["state"]["visit"],
        method=request.method,
        path=request.scope["path"],
        client=request.path_params.get("client", ""),
        params=parameters_of(request.scope["query_string"]),
        query=request.scope["query_string"].decode("latin-1"),
        origin=origins[0] if len(origins) == 1 else "",
        fetch_site=headers.get("sec-fetch-site", ""),
        fetch_dest=headers.get("sec-fetch-dest", ""),
        is_prefetch="prefetch" in headers.get("sec-purpose", headers.get("purpose", "")),
        wants_json=prefers_json(
            headers.get("accept", ""), headers.get("sec-fetch-dest", ""), headers.get("x-requested-with", "")
        ),
        languages=headers.get("accept-language", ""),
        content_type=headers.get("content-type", ""),
        authorization=credentials[0] if len(credentials) == 1 else "",
    )


def parameters_of(query: bytes) -> dict[str, str]:
    """The parameters by name, percent-decoded as forms are; one that was sent twice is left out.

    Raises: BadRequest for more than fifty, or text that is not UTF-8. Spec: RFC 6749 section 3.1 ("MUST NOT
    be included more than once"). Threat: two readers, one taking the first value and one the last.
    """
    try:
        pairs = parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            max_num_fields=_MAX_PARAMETERS,
            errors="strict",
        )
    except ValueError as error:
        raise BadRequest("the query of the address can't be read", detail=type(error).__name__) from None
    counts = Counter(name for name, _ in pairs)
    return {name: value for name, value in pairs if counts[name] == 1}


def check_post(ask: Ask) -> None:
    """Let a POST pass only if a page of this very host sent it. Raises ClientError `cross_origin`.

    Spec: RFC 6454; Fetch Metadata. Threat: another site's form that acts with this person's cookie.
    `Origin: null` is what a page with a strict referrer policy sends; then only the browser's own
    Sec-Fetch-Site can vouch.
    """
    if ask.origin == ask.visit.site.base_url:
        return
    if ask.origin == "null" and ask.fetch_site == "same-origin":
        return
    raise ClientError(
        "the request did not come from this site",
        code="cross_origin",
        status=403,
        detail=f"Origin {ask.origin[:100]!r}, expected {ask.visit.site.base_url!r}",
    )


def may_act(ask: Ask) -> bool:
    """True where a GET may do what a click on our own button does: sent by this site or typed by the person.

    An image, script or prefetch is nobody's click, whatever site it stands on. HEAD never acts.
    """
    return (
        ask.method == "GET"
        and ask.fetch_site in {"same-origin", "none"}
        and ask.fetch_dest in {"", "document", "empty"}
        and not ask.is_prefetch
    )


def own_address(ask: Ask, **more: str) -> str:
    """This request's path with its `rd` kept and `more` parameters set."""
    return with_query(ask.path, rd=ask.rd, **more)
