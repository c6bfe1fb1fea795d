"""A rule of an access list from its text: `public`, `anyone`, `email:ADDRESS`, `domain:NAME`."""

from __future__ import annotations

import re
from collections.abc import Callable

from vestibule.config.place import Unfit, nearest
from vestibule.core.policy import Rule

#: rules of later versions: refused, since a rule without effect would let in or keep out the wrong people
_LATER = (
    "group", "org", "team", "project", "repo", "role", "user", "did", "handle",
    "claim", "network", "token", "machine",
)  # fmt: skip
_EMAIL_RE = re.compile(r"[^\s@/,]+@([^\s@/,]+)")
_DOMAIN_RE = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*")


def rule_of(text: str) -> Rule:
    """The rule this text means. Raises Unfit."""
    kind, mark, value = text.partition(":")
    if kind in ("public", "anyone"):
        if mark:
            raise Unfit(f"`{text}`: `{kind}` stands alone")
        return Rule(kind=kind, text=text)
    if kind in _READ and mark:
        return Rule(kind=kind, value=_READ[kind](value.strip(), text), text=text)
    if kind in _READ:
        raise Unfit(
            f"`{text}` names nobody: {kind}:{'ann@example.com' if kind == 'email' else 'example.com'}"
        )
    if kind in _LATER:
        raise Unfit(f"`{text}`: rules on `{kind}` are not in this version yet; there are {_KNOWN}")
    if "@" in text:
        raise Unfit(f"`{text}` is no rule; write email:{text.rpartition(':')[2]}")
    if _DOMAIN_RE.fullmatch(text) and "." in text:
        raise Unfit(f"`{text}` is no rule; write domain:{text}")
    close = nearest(kind, ("public", "anyone", *_READ, *_LATER))
    raise Unfit(f"`{text}` is no rule{close or f'; there are {_KNOWN}'}")


def _email(value: str, text: str) -> str:
    if "/" in value:
        raise Unfit(f"`{text}`: naming the provider in a rule is not in this version yet")
    found = _EMAIL_RE.fullmatch(value)
    if found is None:
        raise Unfit(
            f"`{text}` names no e-mail address: email:ann@example.com; a whole domain is domain:example.com"
        )
    _domain(found[1], text)
    return value.lower()


def _domain(value: str, text: str) -> str:
    if "/" in value:
        raise Unfit(f"`{text}`: naming the provider in a rule is not in this version yet")
    if "@" in value:
        person = "" if value.startswith("@") else f", or email:{value} for one person"
        raise Unfit(f"`{text}`: write domain:{value.rpartition('@')[2]}{person}")
    if "*" in value:
        raise Unfit(f"`{text}`: a domain is meant as it stands, without its subdomains; name each one")
    try:
        name = value.lower() if value.isascii() else value.encode("idna").decode("ascii")
    except UnicodeError:
        name = ""
    name = name.removesuffix(".")
    if not _DOMAIN_RE.fullmatch(name):
        raise Unfit(f"`{text}` names no domain: domain:example.com")
    return name


_READ: dict[str, Callable[[str, str], str]] = {"email": _email, "domain": _domain}
_KNOWN = "`public`, `anyone`, `email:` and `domain:`"
