"""Who may do what: rules compiled to values, one function that decides, one that explains.

The semantics are INTERFACES.md section 2's: a rule sees only identities that came from the host's own `sign_in`
clients; `deny` wins over `allow`; a deny whose input is unknown denies; what no rule allows is denied.
"""

from __future__ import annotations

import msgspec

from vestibule.model import Allow, Decision, Deny, Identity, SignIn


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule: `kind` is `public`, `anyone`, `email` or `domain`; `value` is canonical (lower case for both)."""

    kind: str
    value: str = ""
    text: str = ""
    """As the operator wrote it."""


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


def decide(policy: Policy, method: bytes, identities: tuple[Identity, ...]) -> Decision:
    """What happens to a request with this method from somebody with these identities (none: nobody signed in).

    The only place where `Allow` is made. Does not look at the session's life: a dead one is no identities.
    """
    # 1. A method the route does not list is refused here; it never falls to another route.
    if policy.methods and method not in policy.methods:
        return Deny(405, "method_not_allowed", f"this address takes {_listing(policy.methods)}")
    # 2. Only identities from the host's own clients count.
    known = [identity for identity in identities if identity.client in policy.sign_in]
    # 3. Deny wins, and what it can't know denies: nobody may sign in to be known, a person may not pass.
    for rule in policy.deny:
        verdict = _matches(rule, known)
        if verdict is True:
            return Deny(403, "denied", f"a rule denies: {rule.text}")
        if verdict is None:
            if not known and policy.sign_in:
                return SignIn(f"a rule must know who asks: {rule.text}")
            return Deny(403, "denied_unknown", f"a rule can't be answered, so it denies: {rule.text}")
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
        if _matches(rule, known) is True:
            return Allow(rule.text)
    # 7. Somebody whom no rule allows: 403, never a new sign-in, so that there is no loop.
    return Deny(403, "not_allowed", f"no rule allows it: {', '.join(r.text for r in policy.allow) or 'none'}")


def _matches(rule: Rule, known: list[Identity]) -> bool | None:
    """Whether the rule holds for these identities; None when what it asks for is not known of any of them."""
    if rule.kind == "public":
        return True
    if rule.kind == "anyone":
        return bool(known)
    emails = [identity.email for identity in known if identity.email]
    if rule.kind == "email":
        return any(email.lower() == rule.value for email in emails) if emails else None
    if rule.kind == "domain":
        return any(email.rpartition("@")[2].lower() == rule.value for email in emails) if emails else None
    return None  # an unknown kind never allows, and denies as a deny


def _listing(methods: frozenset[bytes]) -> str:
    return ", ".join(sorted(method.decode("latin-1") for method in methods))
