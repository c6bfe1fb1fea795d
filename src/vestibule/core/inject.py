"""What a backend is told of the person: INTERFACES.md section 4, and the names other products' backends know.

One table says it all: name, what of the person, how it is written. Our own values are UTF-8 with every byte
percent-encoded that is not visible ASCII, `%` too, and `,` inside list items.

A family's values are written as that family writes them, UTF-8 as it is, lists with plain commas, for backends
that decode nothing. What would make a header line, a list item or a value that was never said is percent-encoded
there: control characters, spaces at an end, a comma inside an item, and a `%` that looks like such an encoding.
So decoding gives back what was said, and who doesn't decode is fooled by nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias
from urllib.parse import quote

import msgspec

from vestibule.core.known import NOBODY, Known, known_of, person_of
from vestibule.core.passage import set_pairs
from vestibule.core.route import Host, Route
from vestibule.model import Caller, Session
from vestibule.protocol.headers import VALUE_LIMIT_BYTES, class_of, encoded

Pairs: TypeAlias = tuple[tuple[str, str], ...]


class Proofs(msgspec.Struct, frozen=True):
    """What only the gateway's keys can make; empty: not made."""

    handle: str = ""
    """Of a session, sealed, for calls."""
    assertion: str = ""
    """Signed, of our own shape."""
    pomerium: str = ""
    """Signed, of Pomerium's shape."""


NO_PROOFS: Final = Proofs()


class _Header(NamedTuple):
    name: str
    value: Callable[[Known, Proofs], str]


class _Family(NamedTuple):
    headers: tuple[_Header, ...]
    claim_prefix: str = ""
    """In front of the names of further claims; empty: they aren't told."""
    claim: Callable[[Any], str] = str


# -- how it is written ------------------------------------------------------------------------

#: what ends a line, a value or an item for some reader, or looks as if it had been encoded here
_UNPLAIN: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]|%(?=[0-9A-Fa-f]{2})|^\s|\s\Z")
_UNPLAIN_ITEM: Final = re.compile(f"{_UNPLAIN.pattern}|,")
#: what ends a JSON string, or does so for who looks for commas and quotes only
_UNQUOTED: Final = re.compile(r'[",\\\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]')


def _encoded_list(values: Sequence[str]) -> str:
    return ",".join(encoded(value, kept="") for value in values)


def _plain(value: str) -> str:
    return _UNPLAIN.sub(_percent, value)


def _plain_list(values: Sequence[str]) -> str:
    return ",".join(_UNPLAIN_ITEM.sub(_percent, value) for value in values if value)


def _percent(found: re.Match[str]) -> str:
    return quote(found[0], safe="", errors="replace")


def _quoted_list(values: Sequence[str]) -> str:
    """JSON strings with commas between them, as Vouch writes lists."""
    return ",".join(f'"{_UNQUOTED.sub(_escape, value)}"' for value in values if value)


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def _claim_with(listed: Callable[[Sequence[str]], str]) -> Callable[[Any], str]:
    """Writes any value of a claim; a list by *listed*."""

    def written(value: Any) -> str:
        if isinstance(value, list | tuple):
            return listed([_text_of(item) for item in value])
        return _plain(_text_of(value))

    return written


def _text_of(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


# -- the table --------------------------------------------------------------------------------

_CALLED_BY_LOGIN: Final = frozenset({"github", "gitea", "forgejo", "gitlab", "nextcloud"})
"""Kinds whose people oauth2-proxy calls by login; all others by subject."""
_LOGIN_FIRST: Final = frozenset(
    {
        *("github", "gitea", "forgejo", "nextcloud", "openstax", "indieauth", "homeassistant"),
        *("alibaba", "discord", "adfs", "entra"),
    }
)
"""Kinds whose people Vouch calls by login; all others by address."""


def _account(known: Known) -> str:
    """As oauth2-proxy calls people."""
    return (known.login if known.kind in _CALLED_BY_LOGIN else "") or known.subject


def _username(known: Known) -> str:
    """A login, or else the address.

    Threat: a login written like an address, which somebody chose where logins are free, read as whose address it is.
    """
    if known.login and ("@" not in known.login or known.login == known.email):
        return known.login
    return known.email


def _vouched(known: Known) -> str:
    """As Vouch calls people."""
    if known.kind in _LOGIN_FIRST and known.login:
        return known.login
    return known.email or _username(known)


def _names_of(prefix: str) -> tuple[_Header, ...]:
    """oauth2-proxy's four, in front of a backend (`X-Forwarded-`) and as an edge is told (`X-Auth-Request-`)."""
    return (
        _Header(f"{prefix}User", lambda known, _: _plain(_account(known))),
        _Header(f"{prefix}Email", lambda known, _: _plain(known.email)),
        _Header(f"{prefix}Groups", lambda known, _: _plain_list(known.groups)),
        _Header(f"{prefix}Preferred-Username", lambda known, _: _plain(known.login)),
    )


OWN: Final = "own"
FAMILIES: Final[Mapping[str, _Family]] = {
    OWN: _Family(
        (
            _Header("Proxy-Session", lambda _, proofs: proofs.handle),
            _Header("Proxy-Provider", lambda known, _: _encoded_list(known.providers)),
            _Header("Proxy-Machine", lambda known, _: encoded(known.machine)),
            _Header("Proxy-Machine-Subject", lambda known, _: encoded(known.machine_subject)),
            _Header("User-Id", lambda known, _: encoded(known.user_id)),
            _Header("User-Login", lambda known, _: encoded(known.login)),
            _Header("User-Name", lambda known, _: encoded(known.name)),
            _Header("User-Email", lambda known, _: encoded(known.email)),
            _Header("User-Groups", lambda known, _: _encoded_list(known.groups)),
            _Header("User-Orgs", lambda known, _: _encoded_list(known.orgs)),
            _Header("Proxy-Assertion", lambda _, proofs: proofs.assertion),
        )
    ),
    "oauth2-proxy": _Family((*_names_of("X-Forwarded-"), *_names_of("X-Auth-Request-"))),
    "vouch": _Family(
        (
            _Header("X-Vouch-User", lambda known, _: _plain(_vouched(known))),
            _Header("X-Vouch-Success", lambda known, _: "true" if known else ""),
            _Header("X-Vouch-IdP-Claims-Sub", lambda known, _: _plain(known.subject)),
            _Header("X-Vouch-IdP-Claims-Preferred-Username", lambda known, _: _plain(known.login)),
            _Header("X-Vouch-IdP-Claims-Name", lambda known, _: _plain(known.name)),
            _Header("X-Vouch-IdP-Claims-Email", lambda known, _: _plain(known.email)),
            _Header("X-Vouch-IdP-Claims-Groups", lambda known, _: _quoted_list(known.groups)),
        ),
        "X-Vouch-IdP-Claims-",
        _claim_with(_quoted_list),
    ),
    "authelia": _Family(
        (
            _Header("Remote-User", lambda known, _: _plain(_username(known))),
            _Header("Remote-Groups", lambda known, _: _plain_list(known.groups)),
            _Header("Remote-Name", lambda known, _: _plain(known.name)),
            _Header("Remote-Email", lambda known, _: _plain(known.email)),
        )
    ),
    "pomerium": _Family(
        (
            _Header("X-Pomerium-Jwt-Assertion", lambda _, proofs: proofs.pomerium),
            _Header("X-Pomerium-Claim-User", lambda known, _: _plain(known.user_id)),
            _Header("X-Pomerium-Claim-Name", lambda known, _: _plain(known.name)),
            _Header("X-Pomerium-Claim-Email", lambda known, _: _plain(known.email)),
            _Header("X-Pomerium-Claim-Groups", lambda known, _: _plain_list(known.groups)),
        ),
        "X-Pomerium-Claim-",
        _claim_with(_plain_list),
    ),
    "nuon": _Family(
        (
            _Header("X-Nuon-Auth-Success", lambda known, _: "true" if known else ""),
            _Header("X-Nuon-Auth-User", lambda known, _: _plain(known.user_id)),
            _Header("X-Nuon-Auth-Email", lambda known, _: _plain(known.email)),
        )
    ),
}


# -- what is told -----------------------------------------------------------------------------


def told(who: Session | Caller | None, host: Host, route: Route, proofs: Proofs = NO_PROOFS) -> Pairs:
    """Every name that this host's backends may be told anything by, with its value; empty: there is nothing to tell.

    Always whole, so that an edge which sets them all lets none pass that a client sent (attacks.md H3): also the
    names of families that are switched on for other routes of the host only, and those of nobody.
    Threat: H7, a claim that becomes a header line, or an item of a list, of its own.
    """
    known = known_of(who, host)
    on = (OWN, *route.telling.families)
    pairs = (
        pair
        for family in (OWN, *host.families)
        for pair in (
            _written(FAMILIES[family], known, proofs, host)
            if family in on
            else _written(FAMILIES[family], NOBODY, NO_PROOFS, host)
        )
    )
    headings = route.passage.headers if route.passage is not None else ()
    if not headings and not host.header_names:
        return tuple(pairs)
    own = {class_of(name): value for name, value in set_pairs(headings, person_of(who, host))}
    said = [(name, own.pop(class_of(name), value)) for name, value in pairs]
    taken = {class_of(name) for name, _ in said}
    said += [(name, own.get(class_of(name), "")) for name in host.header_names if class_of(name) not in taken]
    return tuple(said)


def names(host: Host) -> tuple[str, ...]:
    """The names that `told` gives for this host, whoever asks: what an edge in front of it must overwrite."""
    found = [
        name
        for family in (OWN, *host.families)
        for name, _ in _written(FAMILIES[family], NOBODY, NO_PROOFS, host)
    ]
    taken = {class_of(name) for name in found}
    return (*found, *(name for name in host.header_names if class_of(name) not in taken))


def lines_of(pairs: Pairs) -> list[bytes]:
    """What there is to tell as header lines for a backend: without the empty ones."""
    return [f"{name}: {value}".encode() for name, value in pairs if value]


def _written(family: _Family, known: Known, proofs: Proofs, host: Host) -> Iterator[tuple[str, str]]:
    found: dict[str, str] = {}
    for name, value in family.headers:
        found[name] = value(known, proofs)
    for claim in host.kept_claims if family.claim_prefix else ():
        name = _claim_name(family.claim_prefix, claim)
        if name and name not in found:
            found[name] = family.claim(known.claims.get(claim))
    for name, text in found.items():
        yield name, text if len(text.encode()) <= VALUE_LIMIT_BYTES else ""


def _claim_name(prefix: str, claim: str) -> str:
    """`given_name` → `X-Vouch-IdP-Claims-Given-Name`; empty where nothing of the claim's name can stand there."""
    words = re.findall(r"[0-9a-z]+", claim.lower().removeprefix("https://").removeprefix("http://"))
    return prefix + "-".join(word.capitalize() for word in words) if words else ""
