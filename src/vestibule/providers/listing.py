"""What a provider's API answers: one JSON document, or a list in pages that is read to its end or not at all.

Four ways of saying where the next page is are known: a `Link` header (`by_link`: GitHub, GitLab, Gitea), a member
that holds its URL (`by_member("next")`: Bitbucket; `by_member("@odata.nextLink")`: Microsoft Graph) and a member
that holds a token to ask with (`by_token("nextPageToken", "pageToken")`: Google).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from vestibule.errors import ProviderInvalid, ProviderUnavailable
from vestibule.model import Secret
from vestibule.providers.kit import Flow, Get, Reply

PAGES_MAX: Final = 50
"""Most pages of one list: beyond them it is taken for one without end."""

TOKEN_REFUSED: Final = "token_refused"  # noqa: S105 - the code of an error
"""Code of a ProviderInvalid that says: the API takes this token no more (401)."""

Next: TypeAlias = Callable[[str, Reply, Any], Any]
"""Of a page's URL, its reply and its JSON: the URL of the next page, relative or absolute; None or "" at the end."""

_LINK_RE: Final = re.compile(r"<([^<>]*)>([^<]*)")
_REL_RE: Final = re.compile(r';\s*rel\s*=\s*(?:"([^"]*)"|([^\s";,]+))', re.IGNORECASE)
_PORTS: Final = {"http": 80, "https": 443}


def by_link(url: str, reply: Reply, page: Any) -> Any:
    """The next page by the `Link` header. Spec: RFC 8288 section 3."""
    del url, page
    for target, parameters in _LINK_RE.findall(reply.headers.get("link", "")):
        found = _REL_RE.search(parameters)
        if found and "next" in (found[1] or found[2] or "").lower().split():
            return target
    return None


def by_member(name: str) -> Next:
    """The next page by a member of the page that holds its URL."""

    def following(url: str, reply: Reply, page: Any) -> Any:
        del url, reply
        return page.get(name) if isinstance(page, dict) else None

    return following


def by_token(name: str, parameter: str) -> Next:
    """The next page by a member with a token, which goes into this parameter of the same URL."""

    def following(url: str, reply: Reply, page: Any) -> Any:
        del reply
        token = page.get(name) if isinstance(page, dict) else None
        if not isinstance(token, str) or not token:
            return token
        parts = urlsplit(url)
        query = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] != parameter]
        return urlunsplit(parts._replace(query=urlencode([*query, (parameter, token)])))

    return following


def only_page(url: str, reply: Reply, page: Any) -> Any:
    """There is no next page."""
    del url, reply, page


def value_in(reply: Reply, url: str) -> Any:
    """The JSON of an API's answer. Raises ProviderUnavailable for one that only says "later", else ProviderInvalid.

    Threat: a rate limit taken for "is no member", and the error's own JSON for an answer.
    """
    where = url.partition("?")[0]
    if reply.status == 429 or reply.status >= 500 or _is_rate_limit(reply):
        detail = f"{where}: {reply.status}"
        raise ProviderUnavailable("the provider can't answer now", detail=detail, code="provider_failing")
    if reply.status != 200:
        code = {401: TOKEN_REFUSED, 403: "api_refused"}.get(reply.status, "api_status")
        detail = f"{where}: {reply.status}"
        raise ProviderInvalid("the provider doesn't say who this is", detail=detail, code=code)
    return reply.json


def object_in(reply: Reply, url: str) -> dict[str, Any]:
    """The JSON object of an API's answer. Raises as `value_in` does."""
    if not isinstance(found := value_in(reply, url), dict):
        raise unreadable(f"{url.partition('?')[0]}: no JSON object")
    return found


def unreadable(why: str) -> ProviderInvalid:
    """The error that an API's answer lacks what says who somebody is, or has it in another shape."""
    return ProviderInvalid("the provider doesn't say who this is", detail=why, code="answer_shape")


def object_at(
    url: str, bearer: Secret, *, headers: tuple[tuple[str, str], ...] = (), via: str = ""
) -> Flow[dict[str, Any]]:
    """The JSON object an API gives to the holder of the token. Raises as `value_in` does."""
    reply: Reply = yield Get(url=url, bearer=bearer, headers=headers, via=via)
    return object_in(reply, url)


def listed(
    url: str,
    bearer: Secret,
    *,
    items: str = "",
    following: Next = by_link,
    may_lack: bool = False,
    may_be_gone: bool = False,
    headers: tuple[tuple[str, str], ...] = (),
    via: str = "",
    pages_max: int = PAGES_MAX,
    look: Callable[[Reply], None] | None = None,
) -> Flow[list[dict[str, Any]]]:
    """All objects of a list: the page itself, or its member `items`. Every page is good, or none counts.

    `may_lack`: the API leaves the member out where there is nothing to list (Google). `may_be_gone`: 404 says that
    there is nothing for this account. `look` sees each reply first, and may raise an error of its own.
    Raises ProviderUnavailable, ProviderInvalid. Threat: a page that fails taken for "no more", so that a rule on
    a group passes or fails at random (attacks.md O3); a next page elsewhere that is given the token.
    """
    found: list[dict[str, Any]] = []
    here = url
    seen = {url}
    for _ in range(pages_max):
        reply: Reply = yield Get(url=here, bearer=bearer, headers=headers, via=via)
        if look is not None:
            look(reply)
        if may_be_gone and reply.status == 404 and here == url:
            return []
        page = value_in(reply, here)
        found += _objects(page, items, may_lack=may_lack, where=url)
        target = following(here, reply, page)
        if target is None or target == "":
            return found
        here = _next_url(here, target)
        if here in seen:
            raise _invalid(url, "the next page is one that was read already", "list_endless")
        seen.add(here)
    raise _invalid(url, f"more than {pages_max} pages", "list_endless")


def is_same_origin(url: str, other: str) -> bool:
    """True for two http(s) URLs of one scheme, host and port, without a user."""
    origin = _origin(url)
    return origin is not None and origin == _origin(other)


def _objects(page: Any, items: str, *, may_lack: bool, where: str) -> list[dict[str, Any]]:
    if items and not isinstance(page, dict):
        raise _invalid(where, f"a page is {type(page).__name__}, not an object", "list_shape")
    entries = page.get(items, [] if may_lack else None) if items else page
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise _invalid(where, "a page holds no list of objects", "list_shape")
    return entries


def _next_url(here: str, target: Any) -> str:
    """Where the next page stands, made absolute. Raises ProviderInvalid outside the origin of this one."""
    try:
        url = urljoin(here, target) if isinstance(target, str) else ""
    except ValueError:
        url = ""
    if not is_same_origin(here, url):
        raise _invalid(here, "the next page is elsewhere", "list_elsewhere")
    return url


def _origin(url: str) -> tuple[str, str, int] | None:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return None
    if not host or port is None or "@" in parts.netloc or "\\" in url:
        return None
    return parts.scheme, host, port


def _is_rate_limit(reply: Reply) -> bool:
    """A refusal that is about too many questions, not about this one: GitHub's 403, primary and secondary."""
    if reply.status != 403:
        return False
    return reply.headers.get("x-ratelimit-remaining") == "0" or "retry-after" in reply.headers


def _invalid(url: str, why: str, code: str) -> ProviderInvalid:
    detail = f"{url.partition('?')[0]}: {why}"
    return ProviderInvalid("the provider's list can't be read", detail=detail, code=code)
