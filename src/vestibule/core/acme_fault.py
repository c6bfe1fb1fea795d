"""What an authority said no to, in plain words: whose fault it is, and what to do about it."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from vestibule.core.acme import Proof
from vestibule.protocol.acme import Problem

_SAID_MAX_CHARS: Final = 400


class Blame(enum.Enum):
    """Whose fault it is, which says who is tried next."""

    NAME = "name"
    """The name's: DNS, ports, CAA. It waits, and the next proof is tried; other names go on."""
    ACCOUNT = "account"
    """The account isn't what it was: another is made."""
    AUTHORITY = "authority"
    """The authority's: it can't do it now. It rests, and the next one is asked."""
    OPERATOR = "operator"
    """What the configuration says of it: no authority can help before it is changed."""
    REQUEST = "request"
    """Ours: it is begun anew."""


class Fault(msgspec.Struct, frozen=True):
    """What went wrong."""

    code: str
    blame: Blame
    advice: str


_OF: Final[Mapping[str, tuple[Blame, str]]] = MappingProxyType(
    {
        "accountDoesNotExist": (Blame.ACCOUNT, "the account is unknown there; another is made"),
        "badCSR": (Blame.OPERATOR, "the authority issues no certificate for this name; look at what it says"),
        "badPublicKey": (Blame.REQUEST, "the authority doesn't take the key; another is made"),
        "badNonce": (Blame.AUTHORITY, "the authority takes none of its own nonces"),
        "caa": (
            Blame.NAME,
            "a CAA record of the name forbids this authority: add it to the CAA records, or name another `directory`",
        ),
        "connection": (Blame.NAME, ""),  # by how it was tried: _CONNECTION
        "dns": (Blame.NAME, ""),  # by what it says of it: _lookup
        "externalAccountRequired": (
            Blame.OPERATOR,
            "the authority wants an account of its own: write its `external_account` into `acme`",
        ),
        "incorrectResponse": (Blame.NAME, ""),
        "invalidContact": (Blame.OPERATOR, "the authority doesn't take the `email` of `acme`"),
        "unsupportedContact": (Blame.OPERATOR, "the authority doesn't take the `email` of `acme`"),
        "malformed": (Blame.REQUEST, ""),  # of whom, and what it says: _malformed
        "orderNotReady": (Blame.REQUEST, "the order was not ready; it is begun anew"),
        "rateLimited": (
            Blame.AUTHORITY,
            "the authority limits how many certificates it issues: wait, or name a `fallback`",
        ),
        "rejectedIdentifier": (
            Blame.NAME,
            'the authority issues no certificates for this name: give it `tls = "local"` or files of its own',
        ),
        "serverInternal": (Blame.AUTHORITY, "the authority has a fault of its own; it is asked again later"),
        "tls": (Blame.NAME, ""),
        "unauthorized": (Blame.NAME, ""),
        "unsupportedIdentifier": (
            Blame.NAME,
            "the authority issues no certificates for this kind of name: give it files of its own",
        ),
        "userActionRequired": (
            Blame.OPERATOR,
            "the authority wants something of you first (other terms, perhaps): what it says has the address",
        ),
    }
)
_HERE: Final = "is there another server, or a firewall, in front?"
_CONNECTION: Final[Mapping[Proof, str]] = MappingProxyType(
    {
        Proof.HTTP_01: f"the authority can't reach port 80 of this name: does the name point here; {_HERE}",
        Proof.TLS_ALPN_01: f"the authority can't reach port 443 of this name: does the name point here; {_HERE}",
        Proof.DNS_01: "the authority can't ask the name servers of this name",
    }
)
_ANSWER: Final[Mapping[Proof, str]] = MappingProxyType(
    {
        Proof.HTTP_01: f"somebody else answers on port 80 of this name: does it point here alone (AAAA, too); {_HERE}",
        Proof.TLS_ALPN_01: f"somebody else ends TLS on port 443 of this name: does it point here alone; {_HERE}",
        Proof.DNS_01: "the authority found another record, or none: do all name servers of the zone have it",
    }
)

_NO_RECORD: Final[Mapping[Proof, str]] = MappingProxyType(
    {
        Proof.HTTP_01: "the name can't be looked up from the Internet: point an A or AAAA record of it here",
        Proof.TLS_ALPN_01: "the name can't be looked up from the Internet: point an A or AAAA record of it here",
        Proof.DNS_01: "the TXT record of the proof can't be looked up from the Internet: is the zone the one that its "
        "registrar points to, and is `server` of `dns` its name server",
    }
)
_NO_PUBLIC: Final = (
    "the name has no address that the authority can come to: point an A or AAAA record to one of the Internet; a name "
    'inside your network is proven by a `dns` block, or has `tls = "local"`'
)
_NAME_SERVERS: Final = (
    "the name servers of the domain don't answer the authority as they should (CAA, DNSSEC, TXT): try `dig CAA` and "
    "`dig +dnssec` for the name at each of them; those it was delegated from count, too"
)
_CAA_UNSEEN: Final = (
    "the authority has to look up CAA, and gets an error in place of an empty answer: the name servers of the domain, "
    "or of one above, have to answer `dig CAA` for it with NOERROR"
)
_PLAIN_443: Final = (
    "port 443 of this name answers without TLS: let it lead to an address of `https`, not of `http`"
)
_NOT_TAKEN: Final = (
    "the authority doesn't take this name: is it spelled right, below a public domain and without `_`; else give it "
    '`tls = "local"` or files of its own'
)
_GONE: Final = (
    "the authority doesn't know the order any more, and it is begun anew; if this stays so, is `directory` the URL of "
    "an ACME directory (RFC 8555)"
)
_NOT_UNDERSTOOD: Final = (
    "the authority didn't take what it was sent, and it is begun anew; if this stays so, act on what it says, see that "
    "`directory` is its ACME directory, or name a `fallback`"
)
#: words that authorities say beside `dns`, and beside `malformed` where that means it, each with what to do about it
_LOOKUP: Final = (
    (("looking up caa", "processing caa"), _CAA_UNSEEN),
    (("servfail", "dnssec", "bogus", "refused looking up", "timed out", "networking error"), _NAME_SERVERS),
    (("no valid ip", "no valid a", "private address", "reserved address"), _NO_PUBLIC),
)
_IS_LOOKUP: Final = (
    "dns",
    "resolv",
    "lookup",
    "looking up",
    "nxdomain",
    "no such host",
    "servfail",
    "no valid ip",
)
_UNKNOWN: Final = ("no such host", "could not resolve", "resolving", "dns lookup", "nxdomain")
_IS_NAME: Final = (
    "domain name",
    "cannot issue",
    "public suffix",
    "identifier",
    "invalid character",
    "wildcard",
)


def fault_of(problem: Problem, status: int, proof: Proof | None = None) -> Fault:
    """What it means; `status` is that of the answer (0: it stood in an order), `proof` how the name was tried."""
    kind = problem.first.kind
    if not kind:
        return _of_status(status)
    if kind == "unauthorized" and status:
        # Of a request, it is the account that may not (RFC 8555 section 7.3.6); of an order, what the name shows.
        return Fault(kind, Blame.ACCOUNT, "the account is good no more; another is made")
    blame, advice = _OF.get(kind, (Blame.AUTHORITY if status >= 500 else Blame.NAME, "look at what it says"))
    if kind in ("connection", "tls"):
        is_unknown = any(word in problem.first.detail.lower() for word in _UNKNOWN)
        advice = _NO_RECORD[proof or Proof.HTTP_01] if is_unknown else _CONNECTION[proof or Proof.HTTP_01]
    elif kind in ("unauthorized", "incorrectResponse"):
        advice = _ANSWER[proof or Proof.HTTP_01]
    elif kind == "dns":
        advice = _lookup(problem.first.detail.lower(), proof)
    elif kind == "malformed":
        blame, advice = _malformed(problem.first.detail.lower(), status, proof)
    return Fault(kind, blame, advice)


def _lookup(text: str, proof: Proof | None) -> str:
    """What to do about a name that can't be looked up; `text` is what the authority says, in lower case."""
    for words, advice in _LOOKUP:
        if any(word in text for word in words):
            return advice
    return _NO_RECORD[proof or Proof.HTTP_01]


def _malformed(text: str, status: int, proof: Proof | None) -> tuple[Blame, str]:
    """Of an order, it is about what the authority saw when it looked, which some call so; of a request, about that.

    Pebble says it of a name that it can't look up, Let's Encrypt of plain http on port 443 and of names that nobody may
    have, all of what has expired.
    """
    if not status:
        if "speaks http" in text:
            return Blame.NAME, _PLAIN_443
        if any(word in text for word in _IS_LOOKUP):
            return Blame.NAME, _lookup(text, proof)
        return Blame.NAME, _ANSWER[proof or Proof.HTTP_01]
    if any(word in text for word in _IS_NAME):
        return Blame.NAME, _NOT_TAKEN
    return Blame.REQUEST, _GONE if status in (404, 405, 410) else _NOT_UNDERSTOOD


def _of_status(status: int) -> Fault:
    if status in (429, 503):
        return Fault("rateLimited", *_OF["rateLimited"])
    if status >= 500:
        return Fault("serverInternal", *_OF["serverInternal"])
    return Fault("refused", Blame.AUTHORITY, "the authority refuses, and doesn't say why")


def said(problem: Problem) -> str:
    """What the authority says of it, short enough for a log; empty where it says nothing."""
    text = problem.first.detail or problem.detail
    plain = "".join(char if char.isprintable() else " " for char in text)
    return plain[:_SAID_MAX_CHARS]
