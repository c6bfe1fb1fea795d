"""Who may do what: rules compiled to values, one function that decides, one that explains.

The semantics are INTERFACES.md section 2's: a rule sees only identities that came from the host's own `sign_in`
clients; `deny` wins over `allow`; a deny whose input is unknown denies; what no rule allows is denied.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from vestibule.core.claim import at
from vestibule.model import Allow, Asker, Decision, Deny, Identity, SignIn

LISTED: Final[Mapping[str, str]] = {
    "group": "groups",
    "org": "orgs",
    "team": "teams",
    "project": "projects",
    "repo": "repos",
    "role": "roles",
}
"""Rules on one of the person's lists, and the list."""
FRESH: Final = frozenset((*LISTED, "claim"))
"""Rules on what changes without the person: it is asked for anew now and then (`service.recheck`)."""
#: names that are the same in any case wherever they are given out
_FOLDED: Final = frozenset({"org", "team", "project", "repo"})


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule; `value` is canonical: lower case for addresses and domains, and case-folded where `_FOLDED`."""

    kind: str
    """`public`, `anyone`, `email`, `domain`, `user`, `claim`, or one of `LISTED`."""
    value: str = ""
    name: str = ""
    """Of a `claim` rule: the claim."""
    provider: str = ""
    """Full name of the one client whose identities it looks at; empty: all of the host's."""
    text: str = ""
    """As the operator wrote it."""


def rule(kind: str, value: str = "", *, text: str = "") -> Rule:
    """The rule of this kind with its value as written; a provider in front of it is found by `qualified`."""
    name = ""
    if kind == "claim":
        name, _, value = value.partition("=")
    return Rule(kind=kind, value=value.casefold() if kind in _FOLDED else value, name=name, text=text or kind)


def qualified(rule: Rule, clients: Mapping[str, str]) -> Rule:
    """The rule with its provider, where its value begins with `ID/` of one of these clients (ID to full name).

    A value that begins so by itself is meant by writing the ID before it: `team:github/github/core`.
    """
    part = rule.name if rule.kind == "claim" else rule.value
    head, slash, rest = part.partition("/")
    if rule.provider or not slash or not rest:
        return rule
    full = {name.casefold(): name for name in clients} if rule.kind in _FOLDED else {n: n for n in clients}
    if head not in full:
        return rule
    client = clients[full[head]]
    if rule.kind == "claim":
        return msgspec.structs.replace(rule, provider=client, name=rest)
    return msgspec.structs.replace(rule, provider=client, value=rest)


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """The rules of one route, the host's already merged in."""

    allow: tuple[Rule, ...]
    deny: tuple[Rule, ...] = ()
    """The host's and the route's: both always apply."""
    methods: frozenset[bytes] = frozenset()
    """Empty: all."""
    sign_in: frozenset[str] = frozenset()
    """Full names of the clients whose identities count here."""
    public: bool = False
    """True when `allow` holds `public`: kept apart for the hot path."""

    @property
    def is_fresh(self) -> bool:
        """True where a rule looks at what a provider must be asked for anew now and then."""
        return any(rule.kind in FRESH for rule in (*self.allow, *self.deny))


def policy_of(
    *,
    allow: tuple[Rule, ...],
    deny: tuple[Rule, ...] = (),
    methods: frozenset[bytes] = frozenset(),
    sign_in: frozenset[str] = frozenset(),
) -> Policy:
    """A policy with what can be known beforehand worked out."""
    public = any(rule.kind == "public" for rule in allow)
    return Policy(allow=allow, deny=deny, methods=methods, sign_in=sign_in, public=public)


_PUBLIC = Allow("public")


def decide(policy: Policy, method: bytes, asker: Asker) -> Decision:
    """What happens to a request with this method from this asker.

    The only place where `Allow` is made. Does not look at the session's life: a dead one is no identities.
    """
    # 1. A method the route does not list is refused here; it never falls to another route.
    if policy.methods and method not in policy.methods:
        return Deny(405, "method_not_allowed", f"this address takes {_listing(policy.methods)}")
    # 2. Only identities from the host's own clients count.
    known = [identity for identity in asker.identities if identity.client in policy.sign_in]
    # 3. Deny wins, and what it can't know denies: nobody may sign in to be known, a person may not pass.
    for rule in policy.deny:
        verdict = _matches(rule, known, asker.user_id)
        if verdict is True:
            return Deny(403, "denied", f"a rule denies: {rule.text}", (rule.kind,))
        if verdict is None:
            if not known and policy.sign_in:
                return SignIn(f"a rule must know who asks: {rule.text}")
            reason = f"a rule can't be answered, so it denies: {rule.text}"
            return Deny(403, "denied_unknown", reason, (rule.kind,))
    # 4. Public needs nobody.
    if policy.public:
        return _PUBLIC
    # 5. Everything else needs somebody, where signing in can make one.
    if not known:
        if policy.sign_in:
            return SignIn("nobody is signed in")
        return Deny(403, "no_sign_in", "this address has no sign-in and no public rule")
    # 6. One matching rule is enough.
    for rule in policy.allow:
        if _matches(rule, known, asker.user_id) is True:
            return Allow(rule.text)
    # 7. Somebody whom no rule allows: 403, never a new sign-in, so that there is no loop.
    texts = ", ".join(rule.text for rule in policy.allow) or "none"
    kinds = tuple(dict.fromkeys(rule.kind for rule in policy.allow))
    return Deny(403, "not_allowed", f"no rule allows it: {texts}", kinds)


def _matches(rule: Rule, known: list[Identity], user_id: str) -> bool | None:
    """Whether the rule holds for these identities; None when what it asks for is not known of any of them.

    A rule on one provider says nothing of a person who came by another: it doesn't hold then.
    """
    if rule.kind == "public":
        return True
    if rule.kind == "anyone":
        return bool(known)
    if rule.provider and known:
        known = [identity for identity in known if identity.client == rule.provider]
        if not known:
            return False
    if rule.kind in LISTED:
        return _is_listed(rule, known)
    if rule.kind == "claim":
        return _is_claimed(rule, known)
    if rule.kind == "user":
        return _is_user(rule, known, user_id)
    emails = [identity.email for identity in known if identity.email]
    if rule.kind == "email":
        return any(email.lower() == rule.value for email in emails) if emails else None
    if rule.kind == "domain":
        return any(email.rpartition("@")[2].lower() == rule.value for email in emails) if emails else None
    return None  # an unknown kind never allows, and denies as a deny


def _is_listed(rule: Rule, known: list[Identity]) -> bool | None:
    """None where some provider said nothing of that list and no other has it: not the same as an empty one."""
    field = LISTED[rule.kind]
    for identity in known:
        names = getattr(identity, field)
        if rule.value in names or (
            rule.kind in _FOLDED and any(name.casefold() == rule.value for name in names)
        ):
            return True
    if not known or any(field in identity.unknown for identity in known):
        return None
    return False


def _is_claimed(rule: Rule, known: list[Identity]) -> bool | None:
    """A claim is equal as text, or holds the text in a list; numbers and booleans are as JSON writes them."""
    found = [value for identity in known if (value := at(identity.claims, rule.name)) is not None]
    if not found:
        return None
    return any(rule.value in _texts(value) for value in found)


def _texts(value: Any) -> tuple[str, ...]:
    items = value if isinstance(value, list) else [value]
    return tuple(
        item if isinstance(item, str) else msgspec.json.encode(item).decode()
        for item in items
        if isinstance(item, str | int | float)
    )


def _is_user(rule: Rule, known: list[Identity], user_id: str) -> bool | None:
    """The person's id here; with a provider named, the login there.

    Threat: a login is chosen by whoever comes, so it counts only at the one provider the operator named.
    """
    if rule.provider:
        logins = [identity.login for identity in known if identity.login]
        return rule.value in logins if logins else None
    return user_id == rule.value if known else None


def _listing(methods: frozenset[bytes]) -> str:
    return ", ".join(sorted(method.decode("latin-1") for method in methods))
