"""Who AWS says that somebody is: ARNs of those who can ask it for something.

Somebody in a role is told by the role's name and the name of their session, which whoever takes the role chooses. The
path of a role (`role/ci/deploy`) is not told.
"""

from __future__ import annotations

import re
from typing import Final, Literal, TypeAlias

import msgspec

PrincipalKind: TypeAlias = Literal["role", "user", "federated-user", "root"]

_ACCOUNT_RE: Final = re.compile(r"[0-9]{12}")
_NAME: Final = r"[A-Za-z0-9_+=,.@-]{1,128}"
_ARN_RE: Final = re.compile(
    r"arn:(?P<partition>aws(?:-[a-z]+)*):(?:"
    rf"sts::(?P<role_account>[0-9]{{12}}):assumed-role/(?P<role>{_NAME})/(?P<session>{_NAME})"
    rf"|iam::(?P<user_account>[0-9]{{12}}):user/(?P<user>(?:{_NAME}/){{0,16}}{_NAME})"
    rf"|sts::(?P<federated_account>[0-9]{{12}}):federated-user/(?P<federated>{_NAME})"
    r"|(?:iam|sts)::(?P<root_account>[0-9]{12}):root)"
)
_PART: Final = r"[A-Za-z0-9_+=,.@*-]+"
_PATTERN_RE: Final = re.compile(
    r"arn:[a-z*-]+:(?:"
    rf"iam::(?:[0-9]{{12}}|\*):(?:role/(?P<role>[^:]+)|user/(?:{_PART}/)*{_PART}|root)"
    rf"|sts::(?:[0-9]{{12}}|\*):federated-user/{_PART})"
)
_ONE_PART_RE: Final = re.compile(_PART)


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody whom AWS knows."""

    arn: str
    """As AWS says it, with the session of a role."""
    partition: str
    account: str
    kind: PrincipalKind
    name: str = ""
    """Of the role or user, of a user with its path; empty for root."""
    session: str = ""
    """Of a role: what whoever took it called this taking. For the role of an EC2 instance that is its id."""
    user_id: str = ""
    """What AWS has instead of a name: another one for a role that was made anew under the same name."""

    @property
    def subject(self) -> str:
        """Who it is whichever session: the ARN of the role itself, or as AWS says it."""
        if self.kind != "role":
            return self.arn
        return f"arn:{self.partition}:iam::{self.account}:role/{self.name}"


def principal_of(arn: str, user_id: str = "") -> Principal | None:
    """Who this is; None for an ARN of anything else."""
    found = _ARN_RE.fullmatch(arn)
    if found is None:
        return None
    whose: tuple[tuple[PrincipalKind, str, str], ...] = (
        ("role", "role_account", "role"),
        ("user", "user_account", "user"),
        ("federated-user", "federated_account", "federated"),
        ("root", "root_account", ""),
    )
    kind, account, name = next(one for one in whose if found[one[1]])
    return Principal(
        arn=arn,
        partition=found["partition"],
        account=found[account],
        kind=kind,
        name=found[name] if name else "",
        session=found["session"] or "",
        user_id=user_id,
    )


def is_account(text: str) -> bool:
    """True for the number of an account."""
    return bool(_ACCOUNT_RE.fullmatch(text))


def names_account(pattern: str) -> bool:
    """True where the pattern is good in one account alone."""
    parts = pattern.split(":")
    return len(parts) == 6 and is_account(parts[4])


def pattern_fault(pattern: str) -> str:
    """Why no `Principal.subject` can be of this pattern; empty where one can."""
    if ":assumed-role/" in pattern:
        return "write the role itself: arn:aws:iam::ACCOUNT:role/NAME"
    found = _PATTERN_RE.fullmatch(pattern)
    if found is None:
        return "is no ARN of a role or user: arn:aws:iam::ACCOUNT:role/NAME, with * for a part of a name"
    if found["role"] and not _ONE_PART_RE.fullmatch(found["role"]):
        return "AWS doesn't tell the path of a role: write role/NAME"
    return ""
