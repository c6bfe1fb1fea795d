"""A rule of an access list from its text: `public`, `anyone`, `email:ADDRESS`, `group:NAME` and so on.

A value may name a provider first (`group:okta/admins`); which IDs are providers of the host is known later only, so
that is taken apart by `core.rule.qualified`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import ip_network

from vestibule.config.place import Unfit, nearest
from vestibule.core import rule as rules
from vestibule.core.rule import LISTED, Rule
from vestibule.protocol.address import parse_network

#: rules of later versions: refused, since a rule without effect would let in or keep out the wrong people
_LATER = ("did", "handle")
_EMAIL_RE = re.compile(r"[^\s@/,]+@([^\s@/,]+)")
#: RFC 6749 section 3.3: what a scope is made of
_SCOPE_RE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
_DOMAIN_RE = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*")


def rule_of(text: str) -> Rule:
    """The rule this text means. Raises Unfit."""
    kind, mark, value = text.partition(":")
    if kind in ("public", "anyone"):
        if mark:
            raise Unfit(f"`{text}`: `{kind}` stands alone")
        return Rule(kind=kind, text=text)
    if kind in _READ and mark:
        return rules.rule(kind, _READ[kind](value.strip(), text), text=text)
    if kind in _READ:
        raise Unfit(f"`{text}` names nobody: {kind}:{_EXAMPLES[kind]}")
    if kind in _LATER:
        raise Unfit(f"`{text}`: rules on `{kind}` are not in this version yet; there are {_KNOWN}")
    if "@" in text:
        raise Unfit(f"`{text}` is no rule; write email:{text.rpartition(':')[2]}")
    if _DOMAIN_RE.fullmatch(text) and "." in text:
        raise Unfit(f"`{text}` is no rule; write domain:{text}")
    close = nearest(kind, ("public", "anyone", *_READ, *_LATER))
    raise Unfit(f"`{text}` is no rule{close or f'; there are {_KNOWN}'}")


def _email(value: str, text: str) -> str:
    found = _EMAIL_RE.fullmatch(value.rpartition("/")[2])
    if found is None:
        raise Unfit(
            f"`{text}` names no e-mail address: email:ann@example.com; a whole domain is domain:example.com"
        )
    if "*" in value:
        raise Unfit(f"`{text}`: addresses are meant as they stand; a whole domain is domain:{found[1]}")
    _name(found[1], text)
    return _after_provider(value, str.lower)


def _domain(value: str, text: str) -> str:
    name = value.rpartition("/")[2]
    if "@" in name:
        person = "" if name.startswith("@") else f", or email:{name} for one person"
        raise Unfit(f"`{text}`: write domain:{name.rpartition('@')[2]}{person}")
    if "*" in name:
        raise Unfit(f"`{text}`: a domain is meant as it stands, without its subdomains; name each one")
    return _after_provider(value, lambda name: _name(name, text))


def _name(value: str, text: str) -> str:
    """The domain in its one form. Raises Unfit."""
    try:
        name = value.lower() if value.isascii() else value.encode("idna").decode("ascii")
    except UnicodeError:
        name = ""
    name = name.removesuffix(".")
    if not _DOMAIN_RE.fullmatch(name):
        raise Unfit(f"`{text}` names no domain: domain:example.com")
    return name


def _claim(value: str, text: str) -> str:
    name, mark, wanted = value.partition("=")
    if not name.strip("/") or not mark or not wanted:
        raise Unfit(f"`{text}` is no rule on a claim: claim:team=blue")
    return f"{name.strip()}={wanted.strip()}"


def _plain(value: str, text: str) -> str:
    if not value.strip("/") or not value.isprintable():
        raise Unfit(f"`{text}` names nobody: {text.partition(':')[0]}:{_EXAMPLES[text.partition(':')[0]]}")
    if "*" in value:
        raise Unfit(f"`{text}`: names are meant as they stand, there are no patterns")
    return value


def _network(value: str, text: str) -> str:
    """The network in its one spelling."""
    try:
        return str(parse_network(value))
    except ValueError as exc:
        if "host bits" in str(exc):
            raise Unfit(f"`{text}` has bits behind its mask: {_whole(value)}") from None
        raise Unfit(f"`{text}` names no network: network:{_EXAMPLES['network']}") from None


def _whole(value: str) -> str:
    """Both that may be meant: the network an address is in, and the address alone."""
    return f"write network:{ip_network(value, strict=False)}, or network:{value.partition('/')[0]} for one address"


def _scope(value: str, text: str) -> str:
    if not _SCOPE_RE.fullmatch(value) or "*" in value:
        raise Unfit(f"`{text}` names no scope of a token: token:{_EXAMPLES['token']}")
    return value


def _after_provider(value: str, canonical: Callable[[str], str]) -> str:
    """The value with what stands behind the provider, if one is named, in its one form."""
    provider, slash, rest = value.rpartition("/")
    return f"{provider}{slash}{canonical(rest)}"


_READ: dict[str, Callable[[str, str], str]] = {
    "email": _email,
    "domain": _domain,
    "user": _plain,
    "claim": _claim,
    **dict.fromkeys(LISTED, _plain),
    "network": _network,
    "token": _scope,
    "machine": _plain,
    "certificate": _plain,
}
_EXAMPLES = {
    "email": "ann@example.com",
    "domain": "example.com",
    "user": "ID, or user:github/octocat",
    "claim": "team=blue",
    "group": "admins",
    "org": "example",
    "team": "example/core",
    "project": "example/app",
    "repo": "example/app",
    "role": "admin",
    "network": "10.0.0.0/8",
    "token": "read",
    "machine": "deploy",
    "certificate": "CN=builder,O=Example",
}
_KNOWN = "`public`, `anyone`, " + ", ".join(f"`{kind}:`" for kind in _READ)
