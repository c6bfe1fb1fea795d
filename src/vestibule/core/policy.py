"""Who may do what: the rules of a route compiled to one value, and the one function that decides.

The semantics are INTERFACES.md section 2's: a rule sees only identities that came from the host's own `sign_in`
clients; `deny` wins over `allow`; a deny whose input is unknown denies; `network` rules only narrow; what no rule
allows is denied. What a rule is stands in `core.rule`; the same steps in words, in `core.explain`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from vestibule.core.rule import FRESH, PROGRAMS, Question, Rule, qualified, questions_of
from vestibule.model import Allow, Asker, Caller, Decision, Deny, Identity, Session, SignIn, StepUp

NAMED_MAX: Final = 10
"""How many rules a reason names."""
AHEAD_S: Final = 60.0
"""How far a token's clock may be ahead of this one."""


_NONE: Final[frozenset[str]] = frozenset()
_NO_METHODS: Final[frozenset[bytes]] = frozenset()


class Policy(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The rules of one route, the host's already merged in. Made by `policy_of`, never changed by `replace`."""

    allow: tuple[Rule, ...] | None
    """One of them must hold; None: no such list was written, and `all` is enough."""
    all: tuple[Rule, ...] = ()
    """Every one of them must hold, too."""
    deny: tuple[Rule, ...] = ()
    """The host's and the route's: both always apply."""
    methods: frozenset[bytes] = frozenset()
    """Empty: all."""
    sign_in: frozenset[str] = frozenset()
    """Full names of the clients people sign in with here, whose identities count."""
    issuers: frozenset[str] = frozenset()
    """Names of those whose word on callers counts, too, though nobody signs in with them."""
    max_age_s: float = 0.0
    """How long ago whoever is let in may have signed in at most; 0: it doesn't matter."""

    # What follows from these.
    believed: frozenset[str]
    """`sign_in` and `issuers`."""
    inside: tuple[Question, ...]
    """The networks of `allow`, and each of `all`: the address must be in all of these."""
    refuses: tuple[Question, ...]
    """`deny`."""
    needs: tuple[Question, ...]
    """`all` without its networks, a question for each rule."""
    lets_in: tuple[Question, ...]
    """`allow` without its networks."""
    lets_apps_in: tuple[Question, ...]
    """Of these, what lets in a person's app: its scopes alone, where `allow` looks at any."""
    public: bool
    """Nobody needs to be known: kept apart for the hot path."""
    anyone: bool
    """Everybody who is known gets in, whenever they signed in and by whatever app, and `anyone` says so: apart for the
    same reason."""
    at_once: bool
    """Nothing but `public` or `anyone` decides: for the hot path, too."""
    whole: str
    """Where `all` is enough: its rules, as the reason. Empty: `allow` must hold."""
    takes_people: bool
    """False where only who shows a token can be let in."""

    @property
    def is_fresh(self) -> bool:
        """True where a rule looks at what a provider must be asked for anew now and then."""
        return any(rule.kind in FRESH for rule in (*(self.allow or ()), *self.all, *self.deny))

    def believes(self, who: Session | Caller) -> bool:
        """True where somebody whose word counts vouches for them."""
        return any(identity.client in self.believed for identity in who.identities)


def policy_of(
    *,
    allow: tuple[Rule, ...] | None,
    all: tuple[Rule, ...] = (),  # noqa: A002 - the name it has in the configuration
    deny: tuple[Rule, ...] = (),
    methods: frozenset[bytes] = frozenset(),
    sign_in: frozenset[str] = frozenset(),
    issuers: frozenset[str] = frozenset(),
    max_age_s: float = 0.0,
) -> Policy:
    """A policy with what can be known beforehand worked out.

    Where neither list holds a rule that lets anybody in (networks only narrow), nobody gets in.
    """
    lets_in, needs = _without_networks(allow or ()), _without_networks(all)
    networks = [questions_of(rule for rule in allow or () if rule.kind == "network")]
    networks += [questions_of((rule,)) for rule in all if rule.kind == "network"]
    inside = tuple(question for questions in networks for question in questions)
    is_whole = allow is None and bool(needs)
    enters = needs if is_whole else lets_in
    public = _is_public(enters) and _is_public(needs, every=True)
    asked = questions_of(lets_in)
    scoped = tuple(
        one for one in asked if one.kind == "token" and (not one.provider or one.provider in sign_in)
    )
    anyone = bool(lets_in) and lets_in[0].kind == "anyone" and not (is_whole or needs or max_age_s or scoped)
    # One empty set for all policies: the collector looks at each that there is.
    sign_in, issuers = sign_in or _NONE, issuers or _NONE
    return Policy(
        allow=allow,
        all=all,
        deny=deny,
        methods=methods or _NO_METHODS,
        sign_in=sign_in,
        issuers=issuers,
        max_age_s=max_age_s,
        believed=sign_in | issuers if issuers else sign_in,
        inside=inside,
        refuses=questions_of(deny),
        needs=tuple(question for rule in needs for question in questions_of((rule,))),
        lets_in=asked,
        lets_apps_in=scoped or asked,
        public=public,
        anyone=anyone,
        at_once=(public or anyone) and not (methods or inside or deny),
        whole=named(all) if is_whole else "",
        takes_people=not (_is_token(needs) or (enters and _is_token(enters, every=True))),
    )


def _without_networks(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    return tuple(rule for rule in rules if rule.kind != "network")


def _is_public(rules: Sequence[Rule], *, every: bool = False) -> bool:
    return (all if every else any)(rule.kind == "public" for rule in rules)


def _is_token(rules: Sequence[Rule], *, every: bool = False) -> bool:
    return (all if every else any)(rule.kind in PROGRAMS for rule in rules)


def joined(policy: Policy, clients: Iterable[str], named: Mapping[str, str]) -> Policy:
    """The policy with these clients (full names) signing people in, too; `named`: what its rules may name, by ID."""

    def anew(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
        return tuple(qualified(rule, named) for rule in rules)

    return policy_of(
        allow=None if policy.allow is None else anew(policy.allow),
        all=anew(policy.all),
        deny=anew(policy.deny),
        methods=policy.methods,
        sign_in=policy.sign_in.union(clients),
        issuers=policy.issuers,
        max_age_s=policy.max_age_s,
    )


def asker_of(
    who: Session | Caller | None,
    policy: Policy,
    address: str,
    now: float = math.inf,
    certificate: tuple[str, ...] = (),
    *,
    scopes: frozenset[str] | None = None,
) -> Asker:
    """Who asks at `now`, as these rules look at them; None: nobody.

    `scopes`: of the access token by which a session came; None: it came by its cookie.

    Scopes are the word of whoever gave the token: they count where that one's word does. Threat: what one issuer
    granted, taken for another's word. A machine's are the gateway's own word. An app that came by a session's token is
    bounded by its scopes wherever `allow` looks at any, whoever the person is.
    """
    if who is None:
        return Asker(address=address, certificate=certificate)
    if isinstance(who, Session):
        own = who.affiliated
        if scopes is None:
            return Asker(who.identities, who.user_id, address, None, now, 0.0, certificate, affiliated=own)
        known = [identity for identity in who.identities if identity.client in policy.believed]
        given = scopes if known else frozenset[str]()
        signed_in_at = newest(known)
        return Asker(
            who.identities, who.user_id, address, given, now, signed_in_at, certificate, "", own, is_app=True
        )
    scopes = who.scopes if who.machine or policy.believes(who) else frozenset()
    return Asker(
        who.identities,
        who.user_id,
        address,
        scopes,
        now,
        who.signed_in_at,
        certificate,
        who.machine,
        who.affiliated,
    )


_PUBLIC = Allow("public")
_ANYONE = Allow("anyone")


def decide_on(policy: Policy, method: bytes, session: Session | None, address: str, now: float) -> Decision:
    """What `decide` says of a session, or of nobody; sooner, where `public` or `anyone` alone decides."""
    if policy.at_once:
        if policy.public:
            return _PUBLIC
        if session is not None:
            believed = policy.believed
            for identity in session.identities:
                if identity.client in believed:
                    return _ANYONE
    return decide(policy, method, asker_of(session, policy, address, now))


def decide(policy: Policy, method: bytes, asker: Asker) -> Decision:
    """What happens to a request with this method from this asker.

    The only place where `Allow` is made. Does not look at the session's life: a dead one is no identities.
    """
    # 1. A method the route does not list is refused here; it never falls to another route.
    if policy.methods and method not in policy.methods:
        return Deny(405, "method_not_allowed", f"this address takes {_listing(policy.methods)}")
    # 2. Only identities from the host's own clients count, and with one of these what the gateway itself says.
    known = [identity for identity in asker.identities if identity.client in policy.believed]
    if asker.affiliated is not None and known:
        known.append(asker.affiliated)
    # 3. From outside its networks nobody gets in, and signing in can't help; an unknown address is outside.
    for question in policy.inside:
        if not question.ask(question, known, asker):
            return _outside(question, asker)
    # 4. Deny wins, and what it can't know denies: nobody may sign in to be known, a person may not pass.
    if policy.refuses:
        refusal = _refusal(policy, known, asker)
        if refusal is not None:
            return refusal
    # 5. Public needs nobody.
    if policy.public:
        return _PUBLIC
    # 6. Everything else needs somebody: signed in, or with a token to show.
    is_nobody = not known and asker.scopes is None
    if is_nobody and (not asker.certificate or not _lets_in_by_certificate(policy, asker)):
        return _nobody(policy)
    if policy.anyone and known:
        return _ANYONE
    # 7. Every rule of `all` must hold; what can't be known doesn't.
    for question in policy.needs:
        if not question.ask(question, known, asker):
            return _unmet(policy, known, asker)
    # 8. One matching rule of `allow` is enough; where there is only `all`, that was it. A person's app is let in by
    # its scopes alone where they are asked for. Who signed in too long ago must do so again: asked of those only whom
    # it lets in then.
    if policy.whole:
        return _too_old(policy) if is_too_old(policy.max_age_s, known, asker) else Allow(policy.whole)
    entrances = policy.lets_apps_in if asker.is_app else policy.lets_in
    for question in entrances:
        found = question.ask(question, known, asker)
        if found:
            return _too_old(policy) if is_too_old(policy.max_age_s, known, asker) else Allow(found.text)
    # 9. Somebody whom no rule allows: 403, never a new sign-in, so that there is no loop.
    reason = f"no rule allows it: {named(policy.allow or ())}"
    return Deny(403, "not_allowed", reason, tuple(dict.fromkeys(asked.kind for asked in entrances)))


def _lets_in_by_certificate(policy: Policy, asker: Asker) -> bool:
    """Whether who has not signed in is let in by the certificate that their client has shown.

    Where it isn't enough they are asked to sign in, as anybody.
    """
    if not all(question.ask(question, (), asker) for question in policy.needs):
        return False
    return bool(policy.whole) or any(question.ask(question, (), asker) for question in policy.lets_in)


def is_too_old(max_age_s: float, known: Iterable[Identity], asker: Asker) -> bool:
    """True where they signed in longer ago than that, or nobody knows when; never for 0.

    `known`: those of their identities that count here. What another host's provider says of when doesn't. Of a token it
    is what the token itself says. Threat: one that says a time yet to come (milliseconds, too), and is fresh for years.
    """
    if not max_age_s:
        return False
    if asker.scopes is None:
        return asker.now - newest(known) >= max_age_s
    age_s = asker.now - asker.signed_in_at
    return not -AHEAD_S <= age_s < max_age_s if asker.signed_in_at < math.inf else False


def newest(known: Iterable[Identity]) -> float:
    """When the person signed in last, by these identities; 0: never."""
    return max((identity.signed_in_at for identity in known), default=0.0)


def _too_old(policy: Policy) -> StepUp:
    return StepUp(f"only who signed in within {span(policy.max_age_s)} is let in", policy.max_age_s)


def span(seconds: float) -> str:
    """The time in words, in the largest unit that says it whole: `1 hour`, `90 minutes`."""
    for name, unit in (("day", 86400), ("hour", 3600), ("minute", 60)):
        count, rest = divmod(seconds, unit)
        if count and not rest:
            return f"{int(count)} {name}" + ("s" if count > 1 else "")
    return f"{int(seconds)} seconds"


def _outside(question: Question, asker: Asker) -> Deny:
    where = named(tuple(question.rules.values()))
    return Deny(
        403, "outside_network", f"{asker.address or 'an unknown address'} is outside of {where}", ("network",)
    )


def _refusal(policy: Policy, known: Sequence[Identity], asker: Asker) -> Decision | None:
    """What `deny` says: a rule that holds, before one that nobody can tell."""
    unknown: list[Question] = []
    for question in policy.refuses:
        found = question.ask(question, known, asker)
        if found:
            return Deny(403, "denied", f"a rule denies: {found.text}", (found.kind,))
        if found is None:
            unknown.append(question)
    if not unknown:
        return None
    # Signing in tells who somebody is, not where they are.
    unknown.sort(key=lambda question: question.kind != "network")
    rule = next(iter(unknown[0].rules.values()))
    if not known and asker.scopes is None and policy.sign_in and rule.kind != "network":
        return SignIn(f"a rule must know who asks: {rule.text}")
    return Deny(403, "denied_unknown", f"a rule can't be answered, so it denies: {rule.text}", (rule.kind,))


def _nobody(policy: Policy) -> Decision:
    """Nobody has come: signing in is asked for where it can help."""
    if policy.sign_in and policy.takes_people:
        return SignIn("nobody is signed in")
    if policy.issuers or not policy.takes_people:
        return Deny(401, "token_required", "only who shows a token is let in here")
    return Deny(403, "no_sign_in", "this address has no sign-in and no public rule")


def _unmet(policy: Policy, known: Sequence[Identity], asker: Asker) -> Deny:
    missing = [
        rule
        for question in policy.needs
        if not question.ask(question, known, asker)
        for rule in question.rules.values()
    ]
    kinds = tuple(dict.fromkeys(rule.kind for rule in missing))
    return Deny(403, "not_allowed", f"all must hold, and these don't: {named(missing)}", kinds)


def named(rules: Sequence[Rule]) -> str:
    """The rules as written, at most `NAMED_MAX`; `none` without one."""
    texts = [rule.text for rule in rules[:NAMED_MAX]]
    more = f" and {len(rules) - NAMED_MAX} more" if len(rules) > NAMED_MAX else ""
    return (", ".join(texts) or "none") + more


def _listing(methods: frozenset[bytes]) -> str:
    return ", ".join(sorted(method.decode("latin-1") for method in methods))
