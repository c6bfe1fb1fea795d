"""What OpenSSL shakes hands by: one context for each certificate and what its host demands, and for each challenge.

Contexts are never switched during a handshake, and no two of different hosts, demands or certificates share the keys of
their tickets: a session is resumed only where a whole handshake would have asked for the same.

Of TLS 1.3 those keys follow from the key ring, so that all workers and nodes, and who comes after a restart, have the
same; whoever steals the ring later reads nothing of what was said (RFC 8446 section 2.2: each connection agrees on keys
of its own). With TLS 1.2 they would: there each context has keys that nobody else knows, and that are never written.
"""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Callable
from typing import Final

import msgspec

from vestibule.core.certificate import Certificate
from vestibule.core.seal import KeyRing
from vestibule.core.tls import Demand, Profile
from vestibule.edge.openssl import restrict, share_tickets
from vestibule.model import Secret
from vestibule.service.pem_path import pem_path

ACME_ALPN: Final = "acme-tls/1"
HOLD_S: Final = 12 * 3600.0
"""So long a context is used, and so long the keys of its tickets: who has them reads what was resumed by them."""
_CIPHERS: Final = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)
"""Of TLS 1.2, Mozilla's intermediate profile without DHE, which nobody needs and which costs the server most."""
_FIRST_VERSION: Final = {
    Profile.INTERMEDIATE: ssl.TLSVersion.TLSv1_2,
    Profile.MODERN: ssl.TLSVersion.TLSv1_3,
}


class _Made(msgspec.Struct, frozen=True):
    from_at: float
    until_at: float
    ring_id: str
    context: ssl.SSLContext


class Contexts:
    """The contexts in use, by certificate and demand."""

    def __init__(self, now: Callable[[], float], ring: KeyRing | None = None) -> None:
        """`ring`: by whose keys tickets are good at all who have it; None: at nobody else."""
        self._now = now
        self._ring = ring
        self._made: dict[tuple[str, Demand, tuple[str, ...], bool], _Made] = {}

    def of(
        self, certificate: Certificate, demand: Demand, alpn: tuple[str, ...], *, is_recent: bool = False
    ) -> ssl.SSLContext:
        """The context for it; `alpn`: the protocols that may follow, the best first.

        `is_recent`: the client can do TLS 1.3, and nothing else is spoken with it.
        Raises ssl.SSLError, ValueError, OSError, where certificate or authorities are no good.
        """
        key, now = (certificate.fingerprint, demand, alpn, is_recent), self._now()
        ring_id = self._ring.active_id if self._ring is not None else ""
        made = self._made.get(key)
        if made is not None and made.from_at <= now < made.until_at and made.ring_id == ring_id:
            return made.context
        context = context_of(certificate, demand, alpn)
        label = _label(certificate, demand, alpn)
        # Not all at once: who has been here shakes hands anew afterwards.
        spread_s = int.from_bytes(label[:4], "big") % int(HOLD_S)
        from_at = (now + spread_s) // HOLD_S * HOLD_S - spread_s
        if is_recent:
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            if self._ring is not None:
                share_tickets(context, _ticket_keys(self._ring, ring_id, label, round(from_at)))
        self._made[key] = _Made(from_at, from_at + HOLD_S, ring_id, context)
        return context

    def forget(self) -> None:
        """Other certificates are in force: make anew what is used again."""
        self._made.clear()


def context_of(certificate: Certificate, demand: Demand, alpn: tuple[str, ...]) -> ssl.SSLContext:
    """A server's context.

    Spec: Mozilla's TLS recommendations. Threat: a host whose authorities can't be read lets everybody in
    (CVE-2026-27586): there is no context then, and no handshake.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _FIRST_VERSION[demand.profile]
    context.set_ciphers(_CIPHERS)
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE  # clients know which of these is fast for them
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    restrict(context)
    context.set_alpn_protocols(list(alpn))
    both = certificate.key_pem.reveal().rstrip() + "\n" + certificate.chain_pem.decode("ascii")
    with pem_path(Secret(both)) as path:
        context.load_cert_chain(path)
    if demand.authority or demand.client_ca_pem:
        if not demand.client_ca_pem or not demand.authority:
            raise ValueError("a client certificate is demanded, and nobody is named who signs it")
        context.load_verify_locations(cadata=demand.client_ca_pem.decode("ascii"))
        context.verify_flags |= (
            ssl.VERIFY_X509_PARTIAL_CHAIN
        )  # an intermediate may be the one that is trusted
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _label(certificate: Certificate, demand: Demand, alpn: tuple[str, ...]) -> bytes:
    """What tells contexts apart that a session must never get from one to the other."""
    parts = certificate.fingerprint, demand.profile.value, demand.authority, *alpn
    return hashlib.sha256("\0".join(parts).encode("ascii")).digest()


def _ticket_keys(ring: KeyRing, ring_id: str, label: bytes, from_at: int) -> bytes:
    """The same for all who have the ring, for half a day."""
    data = label + from_at.to_bytes(8, "big")
    name, sign, seal = (ring.derive(f"tls ticket {what}", data, ring_id) for what in ("name", "sign", "seal"))
    return name[:16] + sign + seal
