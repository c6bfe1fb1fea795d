"""Rules: what one says, whose word it takes, and whether it holds for somebody.

The semantics are INTERFACES.md section 2's. What isn't known is not the same as what isn't so: an `Answer` has a third
outcome for it, and `core.policy` lets nobody in by it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final, Literal, TypeAlias

import msgspec

from vestibule.core.claim import at, entries_of
from vestibule.core.organisation import OWN
from vestibule.model import Asker, Identity
from vestibule.protocol.address import NO_NETWORKS, Address, Networks, parse

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
#: a network is nobody's word, and `public` and `anyone` name nobody
_NOBODYS: Final = frozenset({"network", "public", "anyone", "certificate", "machine"})
OWN_KINDS: Final = frozenset({"group", "org", "role"})
"""Rules on what the gateway itself may say of people (`core.organisation`)."""
PROGRAMS: Final = frozenset({"token", "machine"})
"""Rules that hold for nobody who just signs in."""


class Rule(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One rule; `value` is canonical: lower case for addresses and domains, and case-folded where `_FOLDED`."""

    kind: str
    """`public`, `anyone`, `email`, `domain`, `user`, `claim`, `network`, `token`, `machine`, `certificate`, or one of
    `LISTED`."""
    value: str = ""
    name: str = ""
    """Of a `claim` rule: the claim."""
    provider: str = ""
    """Full name of the one client whose identities it looks at; empty: all of the host's."""
    text: str = ""
    """As the operator wrote it."""
    place: str = ""
    """`file:line` it was written at, for explanations."""


def rule(kind: str, value: str = "", *, text: str = "") -> Rule:
    """The rule of this kind with its value as written; a provider in front of it is found by `qualified`."""
    name = ""
    if kind == "claim":
        name, _, value = value.partition("=")
    return Rule(kind=kind, value=value.casefold() if kind in _FOLDED else value, name=name, text=text or kind)


def qualified(rule: Rule, clients: Mapping[str, str]) -> Rule:
    """The rule with its provider, where its value begins with `ID/` of one of these clients (ID to full name).

    A value that begins so by itself is meant by writing the ID before it: `team:github/github/core`. What the gateway
    itself says of people is meant by `@`: `org:@/acme`, which no provider's word makes hold.
    """
    part = rule.name if rule.kind == "claim" else rule.value
    head, slash, rest = part.partition("/")
    if rule.provider or not slash or not rest or rule.kind in _NOBODYS:
        return rule
    if head == OWN and rule.kind in OWN_KINDS:
        return msgspec.structs.replace(rule, provider=OWN, value=rest)
    full = {name.casefold(): name for name in clients} if rule.kind in _FOLDED else {n: n for n in clients}
    if head not in full:
        return rule
    client = clients[full[head]]
    if rule.kind == "claim":
        return msgspec.structs.replace(rule, provider=client, name=rest)
    return msgspec.structs.replace(rule, provider=client, value=rest)


class Question(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What all rules of a list ask that are of one kind and take one provider's word: a thousand cost what one costs.

    `question.ask(question, known, asker)` answers it; `known` are those of the asker's identities that count.
    """

    kind: str
    provider: str = ""
    name: str = ""
    """Of `claim` rules the claim; of those on a list its name in `Identity`."""
    rules: Mapping[str, Rule]
    """By value, in the order written."""
    networks: Networks = NO_NETWORKS
    """Of `network` rules, all of them."""
    each_network: tuple[Networks, ...] = ()
    """Those of each rule, in the order of `rules`."""
    ask: Ask


Answer: TypeAlias = Rule | Literal[False] | None
"""The rule that holds; False: none does; None: nobody can tell."""
Ask: TypeAlias = Callable[[Question, Sequence[Identity], Asker], Answer]


def questions_of(rules: Iterable[Rule]) -> tuple[Question, ...]:
    """The questions these rules ask, in the order in which they first come up."""
    asked: dict[tuple[str, str, str], dict[str, Rule]] = {}
    for rule in rules:
        asked.setdefault((rule.kind, rule.provider, rule.name), {}).setdefault(rule.value, rule)
    return tuple(
        Question(
            kind=kind,
            provider=provider,
            name=LISTED.get(kind, name),
            rules=of,
            networks=Networks.parse(of) if kind == "network" else NO_NETWORKS,
            each_network=tuple(Networks.parse((value,)) for value in of) if kind == "network" else (),
            ask=_by_provider if provider else _ASK.get(kind, _unknown),
        )
        for (kind, provider, name), of in asked.items()
    )


def _unknown(_question: Question, _known: Sequence[Identity], _asker: Asker) -> Answer:
    """An unknown kind never allows, and denies as a deny."""
    return None


def _by_provider(question: Question, known: Sequence[Identity], asker: Asker) -> Answer:
    """A rule on one provider says nothing of a person who came by another: it doesn't hold then."""
    if known:
        known = [identity for identity in known if identity.client == question.provider]
        if not known:
            return False
    return _ASK.get(question.kind, _unknown)(question, known, asker)


def _public(question: Question, _known: Sequence[Identity], _asker: Asker) -> Answer:
    return question.rules[""]


def _anyone(question: Question, known: Sequence[Identity], _asker: Asker) -> Answer:
    return question.rules[""] if known else False


def _email(question: Question, known: Sequence[Identity], _asker: Asker) -> Answer:
    emails = [identity.email.lower() for identity in known if identity.email]
    return _first(question.rules, emails) if emails else None


def _domain(question: Question, known: Sequence[Identity], _asker: Asker) -> Answer:
    domains = [identity.email.rpartition("@")[2].lower() for identity in known if identity.email]
    return _first(question.rules, domains) if domains else None


def _listed(question: Question, known: Sequence[Identity], _asker: Asker) -> Answer:
    """None where some provider said nothing of that list and no other has it: not the same as an empty one."""
    field = question.name
    for identity in known:
        names = getattr(identity, field)
        if names and (found := _first(question.rules, names)):
            return found
    return None if not known or _is_untold(field, known) else False


def _folded(question: Question, known: Sequence[Identity], _asker: Asker) -> Answer:
    """The same, in any case."""
    field = question.name
    for identity in known:
        names = [name.casefold() for name in getattr(identity, field)]
        if names and (found := _first(question.rules, names)):
            return found
    return None if not known or _is_untold(field, known) else False


def _is_untold(field: str, known: Sequence[Identity]) -> bool:
    return any(field in identity.unknown for identity in known)


def _claim(question: Question, known: Sequence[Identity], _asker: Asker) -> Answer:
    """A claim is equal as text, or holds the text in a list."""
    found = [value for identity in known if (value := at(identity.claims, question.name)) is not None]
    if not found:
        return None
    return _first(question.rules, [text for value in found for text in entries_of(value)])


def _user(question: Question, known: Sequence[Identity], asker: Asker) -> Answer:
    """The person's id here; with a provider named, the login there.

    Threat: a login is chosen by whoever comes, so it counts only at the one provider the operator named.
    """
    if question.provider:
        logins = [identity.login for identity in known if identity.login]
        return _first(question.rules, logins) if logins else None
    return _first(question.rules, (asker.user_id,)) if known else None


def _network(question: Question, _known: Sequence[Identity], asker: Asker) -> Answer:
    address = _address(asker.address)
    if address is None:
        return None
    if address not in question.networks:
        return False
    each = zip(question.rules.values(), question.each_network, strict=True)
    return next(rule for rule, networks in each if address in networks)


@functools.lru_cache(maxsize=4096)
def _address(text: str) -> Address | None:
    """The address; None for what is none. Kept for those who come again: reading one costs more than the decision."""
    try:
        return parse(text)
    except ValueError:
        return None


def _token(question: Question, known: Sequence[Identity], asker: Asker) -> Answer:
    """Nobody needs to be known: a token may be a machine's. With a provider named, it must vouch for whoever it is."""
    if asker.scopes is None or (question.provider and not known):
        return False
    return _first(question.rules, asker.scopes)


def _machine(question: Question, _known: Sequence[Identity], asker: Asker) -> Answer:
    """The name of a `machine` block, by the access token that the gateway gave it: nobody else has one."""
    return _first(question.rules, (asker.machine,)) if asker.machine else False


def _certificate(question: Question, _known: Sequence[Identity], asker: Asker) -> Answer:
    """Nobody needs to be signed in: the host's authorities vouch for whoever shows one of theirs."""
    return _first(question.rules, asker.certificate) if asker.certificate else False


_ASK: Final[Mapping[str, Ask]] = {
    "public": _public,
    "anyone": _anyone,
    "email": _email,
    "domain": _domain,
    **{kind: _folded if kind in _FOLDED else _listed for kind in LISTED},
    "claim": _claim,
    "user": _user,
    "network": _network,
    "token": _token,
    "machine": _machine,
    "certificate": _certificate,
}


def _first(rules: Mapping[str, Rule], values: Collection[str]) -> Rule | Literal[False]:
    """The first of the rules whose value is among these."""
    if len(values) == 1:
        (value,) = values
        return rules.get(value, False)
    if len(rules) == 1:
        ((value, rule),) = rules.items()
        return rule if value in values else False
    if rules.keys().isdisjoint(values):
        return False
    held = frozenset(values)
    return next(rule for value, rule in rules.items() if value in held)
