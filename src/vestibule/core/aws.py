"""Which machine somebody is whom AWS vouches for.

What can be judged before AWS is asked (`may_come`) and what can be afterwards (`is_one`).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from vestibule.core.machine import Machine, Proven, matches
from vestibule.protocol.arn import Principal, names_account
from vestibule.protocol.sts import Signed

CLAIMS: Final = (
    "account",
    "arn",
    "federated-user",
    "partition",
    "role",
    "root",
    "session",
    "user",
    "user_id",
)
"""What there is to know of somebody, by name."""
_NO_TAGS: Final[Mapping[str, str]] = MappingProxyType({})


def may_come(machine: Machine, signed: Signed, *, here: str) -> bool:
    """True where the request is for this gateway, by this machine's word, and goes to an STS that it may go to.

    `here` is the host where tokens are given out. Threat: a request that was made for another gateway, and that
    whoever got it there shows here; it names, signed, the one it is for.
    """
    return (
        machine.kind == "aws"
        and signed.server_id == (machine.server_id or here)
        and signed.partition in machine.partitions
        and (not machine.regions or signed.region in machine.regions)
    )


def is_one(machine: Machine, principal: Principal, tags: Mapping[str, str] = _NO_TAGS) -> bool:
    """True where this is the machine.

    Threat: a role of the same name that somebody made in an account of their own: the account is always named, by
    `accounts` or by the pattern itself.
    """
    # 1. the account
    is_theirs = not machine.accounts or principal.account in machine.accounts
    if principal.partition not in machine.partitions or not is_theirs:
        return False
    # 2. the role: one of those that are written; none written, any of the accounts that are
    patterns = [one for one in machine.roles if machine.accounts or names_account(one)]
    may_be_any = bool(machine.accounts) and not machine.roles
    if not may_be_any and not any(matches(pattern, principal.subject) for pattern in patterns):
        return False
    # 3. what else is asked of it
    told = claims_of(principal)
    return all(rule.holds(told) for rule in machine.claims) and all(
        any(matches(pattern, tags.get(rule.claim, "")) for pattern in rule.patterns if rule.claim in tags)
        for rule in machine.tags
    )


def claims_of(principal: Principal) -> dict[str, Any]:
    """What rules, headers and the log may have of it; what there is none of is not among them."""
    found = {
        "account": principal.account,
        "arn": principal.arn,
        "partition": principal.partition,
        principal.kind: principal.name or "root",
        "session": principal.session,
        "user_id": principal.user_id,
    }
    return {name: value for name, value in found.items() if value}


def proven(machine: Machine, principal: Principal) -> Proven:
    """What is told of it, once it is one."""
    return Proven(machine=machine.name, subject=principal.subject, claims=claims_of(principal))
