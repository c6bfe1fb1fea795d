"""What backends are told: oauth2-proxy's header options as `identity_headers` and `header` blocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from vestibule.config.importers.note import About, Notes
from vestibule.config.importers.oauth2_proxy.alpha import Header, HeaderValue
from vestibule.config.importers.oauth2_proxy.options import BY_NAME
from vestibule.config.importers.oauth2_proxy.read import Read
from vestibule.config.write import Block, Env, File, Joined, Text

FAMILY: Final = "oauth2-proxy"
_PLACES: Final = {
    "email": "{user.email}",
    "groups": "{user.groups}",
    "preferred_username": "{user.login}",
    "user": "{user.login}",
}
#: headers of the family, and the claim in each
_OWN: Final = {
    **{
        f"x-{front}-{name}": claim
        for front in ("forwarded", "auth-request")
        for name, claim in {
            "user": "user",
            "email": "email",
            "groups": "groups",
            "preferred-username": "preferred_username",
        }.items()
    }
}
_TOKENS: Final = frozenset({"access_token", "id_token", "refresh_token"})
_TIMES: Final = frozenset({"created_at", "expires_on"})


def wants_family(read: Read) -> bool:
    """True where a backend is told in oauth2-proxy's own headers who is there."""
    if read.alpha is not None:
        headers = (*read.alpha.request_headers, *read.alpha.answer_headers)
        return any(map(_is_own, headers))
    # Each is looked at, so that none counts as passed over.
    passed = [read.options.switch(name, usual=True) for name in ("pass_user_headers", "pass_basic_auth")]
    return read.options.switch("set_xauthrequest") or any(passed)


def headers(read: Read, notes: Notes) -> tuple[Block, ...]:
    """The further headers of an alpha file."""
    if read.alpha is None:
        return ()
    return (
        *_blocks("header", read.alpha.request_headers, notes),
        *_blocks("answer_header", read.alpha.answer_headers, notes),
    )


def _is_own(header: Header) -> bool:
    """True for one of the family with just its claim in it."""
    claim = _OWN.get(header.name.lower())
    return (
        claim is not None
        and [value.claim for value in header.values] == [claim]
        and not header.values[0].prefix
    )


def _blocks(type_: str, found: Iterable[Header], notes: Notes) -> Iterator[Block]:
    for header in found:
        if _is_own(header):
            continue
        if header.preserve:
            about = "what a client sends under this name is replaced by what is known here, always"
            notes.add(About.CHANGED, f"{header.written}.preserveRequestValue", about)
        if len(header.values) != 1:
            about = "a header is one value here; left out"
            notes.add(About.NONE, header.written, about)
            continue
        value = _value(header, header.values[0], type_, notes)
        if value is not None:
            yield Block(type_, header.name, {"value": value})


def _value(header: Header, value: HeaderValue, type_: str, notes: Notes) -> Text | None:
    at = header.written
    if value.is_basic:
        notes.add(About.NONE, at, BY_NAME["basic_auth_password"].here)
    elif value.claim in _TOKENS:
        notes.add(About.NONE, at, BY_NAME["pass_access_token"].here)
    elif value.claim in _TIMES:
        notes.add(
            About.NONE,
            at,
            "how long a session lives is the gateway's affair; `/@/session` says it to the page",
        )
    elif value.claim and type_ == "answer_header":
        notes.add(About.NONE, at, "who is signed in is told to the backend, and to pages at `/@/session`")
    elif value.claim:
        if value.claim == "user":
            notes.add(
                About.CHANGED, at, "holds the login; oauth2-proxy's `user` was `sub` with most providers"
            )
        return value.prefix.replace("{", "{{").replace("}", "}}") + _place(value.claim)
    elif isinstance(value.secret, str) and value.is_inline:
        return _inline(header, notes)
    elif value.secret is not None:
        return _joined(value.prefix, value.secret)
    return None


def _place(claim: str) -> str:
    return _PLACES.get(claim) or f"{{claim.{claim.replace('.', '_')}}}"


def _inline(header: Header, notes: Notes) -> Text:
    variable = "HEADER_" + "".join(char if char.isalnum() else "_" for char in header.name.upper())
    notes.add(
        About.SET, variable, f"to what {header.written} was set to: it may be a secret, and is not printed"
    )
    return Env(variable)


def _joined(prefix: str, secret: Text) -> Text:
    if not prefix:
        return secret
    pieces = secret.pieces if isinstance(secret, Joined) else (secret,)
    assert all(isinstance(piece, str | Env | File) for piece in pieces)
    return Joined((prefix, *pieces))
