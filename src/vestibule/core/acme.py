"""Certificates by ACME (RFC 8555): what the operator wants, when to order, what comes next, how long to wait.

A name is tried with each kind of proof and each authority in turn (`attempt_of`), so that a closed port 80, or an
authority that refuses, is not the end of it. Who fails waits longer each time.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

import msgspec

from vestibule.model import Secret
from vestibule.protocol.acme import Authorization, Order

LETS_ENCRYPT: Final = "https://acme-v02.api.letsencrypt.org/directory"
WAITS_S: Final = (60.0, 300.0, 900.0, 1800.0, 3600.0, 3 * 3600.0, 6 * 3600.0)
"""After the first failure of a name, the second …: at most five within an hour, which is what Let's Encrypt takes."""
RESTS_S: Final = 300.0
"""How long an authority that can't be reached, or fails, isn't asked where it doesn't say so itself."""
REST_MAX_S: Final = 86_400.0
"""It may say what it likes: so often it is asked at least."""
LIFE_SHARE: Final = 2 / 3
_SPREAD: Final = 0.06
"""Of its life a certificate is renewed so much earlier at most, at random: not all are due at once."""
_LAST_SHARE: Final = 0.9
"""Of its life: later than this none is renewed, whatever the authority suggests."""


class Proof(enum.Enum):
    """How it is shown that a name is ours."""

    HTTP_01 = "http-01"
    """RFC 8555 section 8.3: a text under a path, by plain http on port 80."""
    DNS_01 = "dns-01"
    """Section 8.4: a TXT record. The only one for wildcards."""
    TLS_ALPN_01 = "tls-alpn-01"
    """RFC 8737: a certificate on port 443, for a protocol that only the authority asks for."""


class ExternalAccount(msgspec.Struct, frozen=True, kw_only=True):
    """An account that the authority knows already (RFC 8555 section 7.3.4)."""

    key_id: str
    hmac_key: Secret
    """Base64url, as authorities give it."""


class Rfc2136(msgspec.Struct, frozen=True, kw_only=True):
    """A name server that takes changes (RFC 2136), signed (TSIG, RFC 8945)."""

    server: str
    """An IP address, or with its port: `192.0.2.1:53`, `[2001:db8::1]:53`."""
    key_name: str
    key_algorithm: str = "hmac-sha256"
    key_secret: Secret
    """Base64."""
    check: tuple[str, ...] = ()
    """Servers, as `server`, that must all have a record before the authority is told; none: those of the zone."""


class Hook(msgspec.Struct, frozen=True, kw_only=True):
    """A program that puts records into the DNS: called `COMMAND present|cleanup NAME VALUE`."""

    command: str
    """Its absolute path; no shell reads it."""
    check: tuple[str, ...] = ()


class Acme(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted of which authorities."""

    names: tuple[str, ...]
    """Each with a certificate of its own, in lower case; `*.example.com` is one, where the proof is DNS-01."""
    email: str = ""
    """Whom the authority tells of trouble; empty: nobody."""
    directories: tuple[str, ...] = (LETS_ENCRYPT,)
    """URLs: the first, and those to fall back on, in order."""
    ca_pem: str = ""
    """Who else signs the certificates of the directories themselves; empty: only those the system trusts."""
    proofs: tuple[Proof, ...] = (Proof.HTTP_01, Proof.TLS_ALPN_01)
    external_account: ExternalAccount | None = None
    """At the first directory."""
    dns: Rfc2136 | Hook | None = None

    @property
    def by_http(self) -> bool:
        """True where a name may be proven by HTTP-01."""
        return Proof.HTTP_01 in self.proofs and any(not name.startswith("*.") for name in self.names)


class Attempt(msgspec.Struct, frozen=True):
    """With what a name is tried."""

    directory: str
    proof: Proof


def attempt_of(acme: Acme, name: str, failures: int, resting: Mapping[str, float]) -> Attempt | None:
    """With what a name is tried that has failed so often; None while all authorities rest.

    All proofs at one authority, then all at the next; authorities that rest are passed over.
    """
    proofs = (Proof.DNS_01,) if name.startswith("*.") else acme.proofs
    awake = [one for one in acme.directories if one not in resting]
    if not awake or not proofs:
        return None
    turn, number = divmod(failures, len(proofs))
    return Attempt(awake[turn % len(awake)], proofs[number])


# -- times --------------------------------------------------------------------------------------


def wait_s(failures: int, share: float) -> float:
    """How long a name waits that has failed so often in a row (1: once); `share`: 0 to 1, at random."""
    return WAITS_S[min(failures, len(WAITS_S)) - 1] * (1.0 + 0.2 * share)


def renewal_at(not_before_at: float, not_after_at: float, share: float) -> float:
    """When it is renewed where the authority suggests nothing: a bit before two thirds of its life, at random."""
    life_s = not_after_at - not_before_at
    return not_before_at + life_s * (LIFE_SHARE - _SPREAD * share)


def renewal_within(
    start_at: float, end_at: float, not_before_at: float, not_after_at: float, share: float
) -> float:
    """When it is renewed by what the authority suggests: any time in its window, at random.

    Spec: RFC 9773 section 4.2. Does NOT wait for a window that begins when the certificate is nearly over.
    """
    latest_at = not_before_at + (not_after_at - not_before_at) * _LAST_SHARE
    return min(start_at + (end_at - start_at) * share, latest_at)


# -- what comes next ----------------------------------------------------------------------------


class Step(enum.Enum):
    """What is to be done about an order."""

    PROVE = "prove"
    """Show what the authority wants to see, and tell it so."""
    WAIT = "wait"
    """It is looking, or issuing."""
    FINALIZE = "finalize"
    """Send the request for the certificate."""
    DOWNLOAD = "download"
    FAIL = "fail"
    """It will not come to anything; why stands in it."""


_STEPS: Final[Mapping[tuple[str, str], Step]] = MappingProxyType(
    {
        # of the order, of its authorizations taken together (RFC 8555 section 7.1.6)
        ("pending", "pending"): Step.PROVE,
        ("pending", "processing"): Step.WAIT,
        ("pending", "valid"): Step.WAIT,
        ("ready", "valid"): Step.FINALIZE,
        ("processing", "valid"): Step.WAIT,
        ("valid", "valid"): Step.DOWNLOAD,
    }
)


def step_of(order: Order, authorizations: Sequence[Authorization], proof: Proof) -> Step:
    """What to do next, by the words of the authority. Whatever is in no row of the table fails."""
    if order.status in ("ready", "processing", "valid"):
        return _STEPS[order.status, "valid"]
    return _STEPS.get((order.status, _together(authorizations, proof)), Step.FAIL)


def _together(authorizations: Sequence[Authorization], proof: Proof) -> str:
    """`pending`, `processing`, `valid`; `invalid` when one can't become valid by this proof."""
    found = {_state_of(one, proof) for one in authorizations}
    for state in ("invalid", "pending", "processing"):
        if state in found:
            return state
    return "valid" if found else "invalid"


def _state_of(authorization: Authorization, proof: Proof) -> str:
    if authorization.status != "pending":
        return "valid" if authorization.status == "valid" else "invalid"
    challenge = authorization.challenge(proof.value)
    return challenge.status if challenge is not None else "invalid"


# -- when to begin ------------------------------------------------------------------------------


class Need(enum.Enum):
    """What a name needs."""

    NOTHING = "nothing"
    ISSUE = "issue"
    """It has no certificate that is good."""
    RENEW = "renew"
    ASK = "ask"
    """The authority, when to renew."""


class Had(msgspec.Struct, frozen=True, kw_only=True):
    """The certificate that a name has."""

    directory: str
    not_after_at: float
    renew_at: float
    ask_at: float


def need_of(acme: Acme, had: Had | None, now: float) -> Need:
    """What the name needs; one of an authority that is named no more is replaced."""
    if had is None or had.not_after_at <= now:
        return Need.ISSUE
    if had.renew_at <= now or had.directory not in acme.directories:
        return Need.RENEW
    return Need.ASK if had.ask_at <= now else Need.NOTHING


def rest_s(code: str, asked_s: float | None) -> float:
    """How long an authority is left alone after this fault; `asked_s`: what it says itself.

    A limit may be one name's alone, which the authority doesn't tell: so long as it says that name waits, all others
    an hour at most.
    """
    most_s = 3600.0 if code == "rateLimited" else REST_MAX_S
    return min(max(asked_s or RESTS_S, 60.0), most_s)


def share_of(fingerprint: str) -> float:
    """0 to 1, the same for one certificate each time it is asked for: what is drawn again and again comes early."""
    return int(fingerprint[:8] or "0", 16) / 2**32
