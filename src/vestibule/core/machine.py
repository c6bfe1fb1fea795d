"""Machines: what proves who it is without a person, and what of a proof makes it one of ours.

A build runner, a pod, a cron job: each shows what its own platform says of it (a signed token, a signed request) or a
key. `claims` of the configuration say which of all that the platform vouches for are meant.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias, get_args

import msgspec

from vestibule.core.claim import at, entries_of

MachineKind: TypeAlias = Literal[
    "aws", "azure", "github", "gitlab", "google", "jwt", "key", "kubernetes", "spiffe"
]
KINDS: Final[tuple[str, ...]] = get_args(MachineKind)
TOKEN_S: Final = 900.0
SUBJECT_MAX_CHARS: Final = 512


class ClaimRule(msgspec.Struct, frozen=True):
    """What one claim must be: any of the patterns."""

    claim: str
    """Its name, with dots into objects (`core.claim`)."""
    patterns: tuple[str, ...]
    """Exact, or with `*` for any characters but `:` and `/`."""

    def holds(self, claims: Mapping[str, Any]) -> bool:
        """True where the claim, or an entry of it, is one of them; a claim that isn't there is none."""
        value = at(claims, self.claim)
        return any(matches(pattern, text) for text in entries_of(value) for pattern in self.patterns)


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """One `machine` of the configuration."""

    name: str
    kind: str
    """Of `MachineKind`."""
    hosts: tuple[str, ...] = ()
    """What its tokens are for; the first where it asks for none."""
    scopes: tuple[str, ...] = ()
    """What it may ask for, and is given where it asks for none."""
    token_s: float = TOKEN_S
    """How long an access token of it is good."""
    place: str = ""
    """`file:line` it was written at."""
    claims: tuple[ClaimRule, ...] = ()
    """All must hold."""
    issuers: tuple[str, ...] = ()
    """Whose tokens it comes with, exactly as they have it in `iss`."""
    keys_url: str = ""
    """Where its keys are; empty: as its metadata says."""
    keys_file: str = ""
    """The file that has them; empty: they are fetched."""
    authorities: str = ""
    """PEM of those that alone may vouch for whoever its keys are fetched from; empty: those of the system."""
    trust_domain: str = ""
    """Of spiffe: the only one whose workloads it may be."""
    audience: tuple[str, ...] = ()
    """Its token must be for one of them; empty: for where tokens are given out."""
    age_s: float = 0.0
    """How long ago its token may have been made at most; 0: as long as it says that it is good."""
    once: bool = False
    """Its token must have a `jti`, and is good for one access token."""
    algorithms: tuple[str, ...] = ()
    """What its token may be signed with."""
    accounts: tuple[str, ...] = ()
    """Of aws: account numbers, one of which it must be of."""
    roles: tuple[str, ...] = ()
    """Of aws: ARNs, or patterns of them, one of which it must be; empty: any."""
    tags: tuple[ClaimRule, ...] = ()
    server_id: str = ""
    """Of aws: what its request must name as the one it is for; empty: the host where tokens are given out."""
    regions: tuple[str, ...] = ()
    """Of aws: whose STS may be asked; empty: of any region of `partitions`."""
    partitions: tuple[str, ...] = ("aws",)
    endpoint: str = ""
    """Of aws: what is asked in place of AWS itself (`https://host`), by the operator's word alone; empty: AWS."""


class Proven(msgspec.Struct, frozen=True, kw_only=True):
    """What a proof says of who shows it."""

    machine: str
    """Name of the machine that it is."""
    subject: str
    """Which one of that name: an ARN, the `sub` of a token, the id of a key."""
    claims: Mapping[str, Any] = MappingProxyType({})
    """Text or lists of text, for rules, headers and the log."""
    expires_at: float = float("inf")
    """When the proof ends; what it was shown for ends no later."""


class Machines(msgspec.Struct, frozen=True):
    """All of them, by name."""

    by_name: Mapping[str, Machine] = MappingProxyType({})

    @classmethod
    def of(cls, machines: Iterable[Machine]) -> Machines:
        """These, in the order of their names."""
        return cls(
            MappingProxyType({one.name: one for one in sorted(machines, key=lambda machine: machine.name)})
        )

    def __reduce__(self) -> tuple[object, ...]:
        # A configuration goes to other processes: a mapping that nobody can change can't be pickled as it is.
        return Machines.of, (tuple(self.by_name.values()),)

    def of_host(self, host: str) -> tuple[Machine, ...]:
        """Those whose tokens are good there."""
        return tuple(one for one in self.by_name.values() if host in one.hosts)


def matches(pattern: str, text: str) -> bool:
    """True where the text is this, whole: `*` stands for any characters but `:` and `/`, also none.

    No pattern with a `*` holds for an empty text. `:` and `/` separate the parts of what platforms call their
    workloads (`repo:acme/app:ref:refs/heads/main`, an ARN, a SPIFFE ID). Threat: a pattern for one part that takes
    the next along: `repo:acme/*` with a branch of a name that somebody chose.
    """
    if "*" not in pattern:
        return pattern == text
    return bool(text) and _compiled(pattern).fullmatch(text) is not None


@functools.lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    """Each part between two `*` where it is first found: it is never tried further on, so no text is slow."""
    first, *middle, last = (re.escape(part) for part in re.split(r"\*+", pattern))
    found = "".join(rf"(?>[^:/]*?{part})" for part in middle)
    return re.compile(rf"{first}{found}[^:/]*{last}", re.DOTALL)
