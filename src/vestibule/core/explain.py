"""Why a request is let in or not: the steps of `core.policy.decide` in words, for people.

Every condition of the policy is looked at, those behind the one that decided, too. What follows from them is worked
out here once more, so that a test can hold it against what was decided.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec.structs import replace

from vestibule.core.claim import at, entries_of
from vestibule.core.credential import TOO_OLD
from vestibule.core.policy import Policy, decide, is_too_old, newest, span
from vestibule.core.rule import LISTED, PROGRAMS, Question, Rule, questions_of
from vestibule.model import Asker, Decision, Identity

Verdict: TypeAlias = Literal["holds", "fails", "unknown"]
SHOWN_MAX: Final = 10
"""How many values of a list are shown."""
TEXT_MAX_CHARS: Final = 200
CONDITIONS_LOGGED_MAX: Final = 20
_BY_SCOPES: Final = "an app, which gets in here by its scopes alone"


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is looked at, and what was found."""

    list: str
    """`methods`, `allow`, `all`, `deny` or `max_age`."""
    rule: str
    """As the operator wrote it."""
    place: str = ""
    """`file:line`."""
    kind: str = ""
    """The rule's."""
    verdict: Verdict
    saw: str
    """The value it was held against; never a secret."""
    decides: bool = False
    """It made the answer what it is."""
    change: str = ""
    """What would have to be otherwise, where it stands in the way; empty where it doesn't."""

    def __str__(self) -> str:
        """For a line of the log."""
        return f"{self.list} {self.rule}: {self.verdict} ({self.saw})"


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """What happens to a request, and why."""

    decision: Decision
    answer: str
    """`in`, `sign_in`, or the code of the refusal: what follows from the conditions."""
    conditions: tuple[Condition, ...]
    change: str
    """What would have to be otherwise for it to be let in; empty where it is."""

    def brief(self) -> list[str]:
        """The conditions for a line of the log: those that decided first, at most `CONDITIONS_LOGGED_MAX`."""
        ordered = sorted(self.conditions, key=lambda one: not one.decides)
        more = len(ordered) - CONDITIONS_LOGGED_MAX
        return [*map(str, ordered[:CONDITIONS_LOGGED_MAX]), *([f"and {more} more"] if more > 0 else ())]


def explain(policy: Policy, method: bytes, asker: Asker, *, most: int | None = None) -> Explanation:
    """What `decide` answers, with every condition.

    `most`: of a longer list only so many rules are looked at, and one for each of its questions, by which it is
    decided. Threat: whoever has themselves denied again and again by a list of thousands, which costs `decide` nothing.
    """
    known = tuple(identity for identity in asker.identities if identity.client in policy.believed)
    if asker.affiliated is not None and known:
        known = (*known, asker.affiliated)
    lists = (
        ("deny", policy.deny, policy.refuses),
        ("all", policy.all, (*policy.inside, *policy.needs)),
        ("allow", policy.allow or (), (*policy.inside, *policy.lets_in)),
    )
    found = (
        *_methods(policy, method),
        *(
            _bounded(policy, _condition(name, rule, known, asker), rule, asker)
            for name, rules, questions in lists
            for rule in _looked_at(rules, questions, known, asker, most)
        ),
        *_max_age(policy, known, asker),
    )
    has_come = bool(known) or asker.scopes is not None or _is_let_in_by_certificate(policy, found, asker)
    answer, deciding = _concluded(policy, found, has_come=has_come)
    conditions = tuple(
        replace(
            one,
            decides=one in deciding,
            change=_change(one, known) if answer != "in" and _is_in_the_way(policy, one, found) else "",
        )
        for one in found
    )
    return Explanation(
        decision=decide(policy, method, asker),
        answer=answer,
        conditions=conditions,
        change=_changes(policy, answer, conditions, has_come=has_come),
    )


def _is_let_in_by_certificate(policy: Policy, found: Sequence[Condition], asker: Asker) -> bool:
    """Whether nobody needs to sign in where the client has shown a certificate."""
    needs = [one for one in found if one.list == "all" and one.kind != "network"]
    allow = [one for one in found if one.list == "allow"]
    met = all(one.verdict == "holds" for one in needs)
    return (
        bool(asker.certificate)
        and met
        and (policy.allow is None or any(one.verdict == "holds" for one in allow))
    )


def _methods(policy: Policy, method: bytes) -> Iterable[Condition]:
    if not policy.methods:
        return
    names = sorted(name.decode("latin-1") for name in policy.methods)
    yield Condition(
        list="methods",
        rule=", ".join(names),
        kind="method",
        verdict="holds" if method in policy.methods else "fails",
        saw=_text(method.decode("latin-1")),
    )


def _max_age(policy: Policy, known: Sequence[Identity], asker: Asker) -> Iterable[Condition]:
    if not policy.max_age_s or policy.public:
        return
    has_come = bool(known) or asker.scopes is not None
    yield Condition(
        list="max_age",
        rule=span(policy.max_age_s),
        kind="max_age",
        verdict="unknown"
        if not has_come
        else "fails"
        if is_too_old(policy.max_age_s, known, asker)
        else "holds",
        saw=_saw_age(known, asker) if has_come else "nobody is signed in",
    )


def _saw_age(known: Sequence[Identity], asker: Asker) -> str:
    signed_in_at = newest(known) if asker.scopes is None else asker.signed_in_at
    if asker.now == math.inf or (not signed_in_at and asker.now):
        return "nobody knows when they signed in"
    age_s = max(0.0, asker.now - signed_in_at)
    return f"signed in {span(age_s - age_s % 60)} ago" if age_s >= 60 else "signed in just now"


def _looked_at(
    rules: tuple[Rule, ...],
    questions: Iterable[Question],
    known: Sequence[Identity],
    asker: Asker,
    most: int | None,
) -> Sequence[Rule]:
    """The rules to show: all, or what each question comes to and the first of the others."""
    if most is None or len(rules) <= most:
        return rules
    asked = [_decisive(question, known, asker) for question in questions]
    deciding = [rule for rule in asked if rule in rules]
    return [*deciding, *(rule for rule in rules[:most] if rule not in deciding)]


def _decisive(question: Question, known: Sequence[Identity], asker: Asker) -> Rule:
    """The rule that holds; where none does, one is like the other."""
    found = question.ask(question, known, asker)
    return found if isinstance(found, Rule) else next(iter(question.rules.values()))


def _condition(name: str, rule: Rule, known: Sequence[Identity], asker: Asker) -> Condition:
    (question,) = questions_of((rule,))
    found = question.ask(question, known, asker)
    return Condition(
        list=name,
        rule=rule.text,
        place=rule.place,
        kind=rule.kind,
        verdict="holds" if found else "unknown" if found is None else "fails",
        saw=_saw(rule, known, asker),
    )


def _bounded(policy: Policy, one: Condition, rule: Rule, asker: Asker) -> Condition:
    """The condition, which lets no app in that its scopes are to bound."""
    if not asker.is_app or policy.public or one.list != "allow" or one.kind == "network":
        return one
    if any((asked.kind, asked.provider) == (rule.kind, rule.provider) for asked in policy.lets_apps_in):
        return one
    return replace(one, verdict="fails", saw=_BY_SCOPES)


# -- what follows -----------------------------------------------------------------------------


def _concluded(
    policy: Policy, found: Sequence[Condition], *, has_come: bool
) -> tuple[str, Sequence[Condition]]:
    """The answer, and the conditions that made it: the steps of `decide`, by its numbers.

    `has_come`: somebody is signed in by a client that counts here, or shows a token.
    """
    # 1. The method.
    if wrong := [one for one in found if one.list == "methods" and one.verdict == "fails"]:
        return "method_not_allowed", wrong
    # 3. Networks.
    if outside := _outside(found):
        return "outside_network", outside
    # 4. Deny.
    deny = [one for one in found if one.list == "deny"]
    if holding := [one for one in deny if one.verdict == "holds"]:
        return "denied", holding
    if unknown := [one for one in deny if one.verdict == "unknown"]:
        may_sign_in = not has_come and policy.sign_in and all(one.kind != "network" for one in unknown)
        return "sign_in" if may_sign_in else "denied_unknown", unknown
    needs = [one for one in found if one.list == "all" and one.kind != "network"]
    allow = [one for one in found if one.list == "allow" and one.kind != "network"]
    is_whole = policy.allow is None
    # 5. Public.
    entrances = [one for one in (needs if is_whole else allow) if one.kind == "public"]
    if entrances and all(one.kind == "public" for one in needs):
        return "in", entrances
    # 6. Nobody.
    if not has_come:
        return _for_nobody(policy, needs, allow), [one for one in (*needs, *allow) if one.verdict != "holds"]
    # 7. All.
    if missing := [one for one in needs if one.verdict != "holds"]:
        return "not_allowed", missing
    # 8. Allow, for who signed in lately enough.
    if holding := needs if is_whole else [one for one in allow if one.verdict == "holds"]:
        too_old = [one for one in found if one.list == "max_age" and one.verdict != "holds"]
        return (TOO_OLD, too_old) if too_old else ("in", holding)
    # 9. Nothing.
    return "not_allowed", allow


def _outside(found: Sequence[Condition]) -> list[Condition]:
    """The networks that the address would have to be in and isn't; one of those in `allow` is enough."""
    networks = [one for one in found if one.kind == "network" and one.list in ("allow", "all")]
    outside = [one for one in networks if one.list == "all" and one.verdict != "holds"]
    either = [one for one in networks if one.list == "allow"]
    if either and all(one.verdict != "holds" for one in either):
        outside += either
    return outside


def _for_nobody(policy: Policy, needs: Sequence[Condition], allow: Sequence[Condition]) -> str:
    entrances = needs if policy.allow is None else allow
    only_tokens = bool(entrances) and all(one.kind in PROGRAMS for one in entrances)
    if only_tokens or any(one.kind in PROGRAMS for one in needs):
        return "token_required"
    if policy.sign_in:
        return "sign_in"
    return "token_required" if policy.issuers else "no_sign_in"


# -- what would have to change ----------------------------------------------------------------


def _is_in_the_way(policy: Policy, one: Condition, found: Sequence[Condition]) -> bool:
    """Whether the request would need this condition to be otherwise, whatever decided first."""
    if one.list == "deny":
        return one.verdict != "fails"
    if one.verdict == "holds" or one.saw == _BY_SCOPES:
        return False
    if one.list != "allow":
        return True
    if one.kind == "network":
        return one in _outside(found)
    others = [other for other in found if other.list == "allow" and other.kind != "network"]
    return all(other.verdict != "holds" for other in others) and policy.allow is not None


def _changes(policy: Policy, answer: str, found: Sequence[Condition], *, has_come: bool) -> str:
    """All that would have to be otherwise, in a sentence; of `allow`, one thing."""
    if answer == "in":
        return ""
    either = [one.change for one in found if one.change and one.list == "allow" and one.kind != "network"]
    networks = [one.change for one in found if one.change and one.list == "allow" and one.kind == "network"]
    each = [one.change for one in found if one.change and one.list != "allow"]
    if answer == "sign_in":
        each.insert(0, f"sign in by {_listing(sorted(policy.sign_in), 'or')}")
    elif answer == "no_sign_in":
        each.insert(0, "give the host a sign_in, or write `public` into allow")
    elif answer == "token_required" and not has_come and not (each or either):
        each.insert(0, "show a token")
    each.extend(_listing(list(dict.fromkeys(group)), "or") for group in (networks, either) if group)
    if answer == "sign_in":
        each = [part for part in each if part != "sign in"]
    return "; ".join(dict.fromkeys(each)) or "write a rule into allow: it lets nobody in"


def _change(one: Condition, known: Sequence[Identity]) -> str:
    """What would have to be otherwise for one condition that stands in the way."""
    kind, _, value = one.rule.partition(":")
    if one.list == "methods":
        return f"ask by {_listing(one.rule.split(', '), 'or')}"
    if one.list == "max_age":
        return "sign in again" if one.verdict == "fails" else ""
    if one.list == "deny" and one.verdict == "holds":
        return f"take `{one.rule}` out of deny, or come as somebody for whom it doesn't hold"
    if one.list == "deny":
        return _known_of(one) if known or one.kind == "network" else ""
    match kind:
        case "anyone":
            return "sign in"
        case "email":
            return f"sign in as {value}"
        case "domain":
            return f"sign in with a verified address in {value}"
        case "user":
            return f"be the user {value}"
        case "claim":
            return f"have the claim {value}"
        case "network":
            return f"come from {value}"
        case "token":
            return f"show a token with the scope {value}"
        case "machine":
            return f"be the machine {value}"
        case "certificate":
            return f"come with the client certificate {value}"
        case _ if kind in LISTED:
            return f"have {value} among one's {LISTED[kind]}"
        case _:
            return f"have `{one.rule}` hold"


def _known_of(one: Condition) -> str:
    """What would have to be known, so that a `deny` could be answered."""
    match one.kind:
        case "email" | "domain":
            return "have a verified address"
        case "network":
            return "come from a known address"
        case "claim":
            return f"have the claim that `{one.rule}` asks for"
        case kind if kind in LISTED:
            return f"come by a provider that tells {LISTED[kind]}"
        case _:
            return f"have it known whether `{one.rule}` holds"


# -- what was seen ----------------------------------------------------------------------------


def _saw(rule: Rule, known: Sequence[Identity], asker: Asker) -> str:
    """The value that the rule was held against."""
    if rule.kind == "public":
        return "anybody"
    if rule.kind == "network":
        return asker.address or "no address"
    if rule.kind == "certificate":
        return _shown(asker.certificate) if asker.certificate else "no client certificate"
    if rule.kind == "token":
        return "no token" if asker.scopes is None else f"scopes: {_shown(sorted(asker.scopes))}"
    if rule.kind == "machine":
        return f"machine {_text(asker.machine)}" if asker.machine else "no machine"
    if not known and asker.machine:
        return f"machine {_text(asker.machine)}"
    if not known:
        return "nobody is signed in" if asker.scopes is None else "a token that says nobody's name"
    asked = [one for one in known if rule.provider in ("", one.client)]
    if not asked:
        return f"signed in by {_shown([one.client for one in known])}"
    if rule.kind == "user" and not rule.provider:
        return _text(asker.user_id) or "no id"
    return "; ".join(_said(rule, identity) for identity in asked)


def _said(rule: Rule, identity: Identity) -> str:
    """What one identity says of what the rule asks."""
    by = f"by {identity.client}"
    if rule.kind == "anyone":
        return f"signed in {by}"
    if rule.kind in ("email", "domain"):
        return f"{_text(identity.email)} {by}" if identity.email else f"no verified address {by}"
    if rule.kind == "user":
        return f"login {_text(identity.login)} {by}" if identity.login else f"no login {by}"
    if rule.kind == "claim":
        value = at(identity.claims, rule.name)
        return f"no claim {rule.name} {by}" if value is None else f"{_shown(entries_of(value))} {by}"
    field = LISTED.get(rule.kind, "")
    if not field:
        return f"signed in {by}"
    if field in identity.unknown:
        return f"{identity.client} said nothing of {field}"
    return f"{field}: {_shown(getattr(identity, field))} {by}"


def _shown(values: Sequence[str]) -> str:
    """The values, the first of them where they are many."""
    more = f" and {len(values) - SHOWN_MAX} more" if len(values) > SHOWN_MAX else ""
    return (", ".join(map(_text, values[:SHOWN_MAX])) or "none") + more


def _text(value: str) -> str:
    """The value as it can be shown: printable, and not without end."""
    text = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in value)
    return text if len(text) <= TEXT_MAX_CHARS else f"{text[:TEXT_MAX_CHARS]}…"


def _listing(parts: Sequence[str], word: str) -> str:
    shown = list(parts[:SHOWN_MAX])
    if len(parts) > SHOWN_MAX:
        shown.append(f"{len(parts) - SHOWN_MAX} more")
    return f" {word} ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)
