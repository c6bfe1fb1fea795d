"""Proofs put where authorities look: into the store, so that every process shows them, or into the DNS."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from vestibule.core.acme import Proof
from vestibule.core.acme_fault import Blame, Fault
from vestibule.core.seal import KeyRing
from vestibule.errors import IssueError
from vestibule.model import Secret
from vestibule.observe import clock
from vestibule.observe.log import Log
from vestibule.protocol.acme import record_name_of, record_of
from vestibule.protocol.acme_certificate import key_pem_of, proof_of
from vestibule.service.acme_ca import failure
from vestibule.service.acme_dns import Dns
from vestibule.service.acme_seal import Shown, opened, sealed
from vestibule.service.acme_shown import CERTIFICATES
from vestibule.store import base, base_acme

LIFE_S: Final = 3600.0
HEARD_S: Final = 1.0
"""By then all processes have read what they were told of."""
_SERIAL_BITS: Final = 64


class Proofs:
    """Shows what authorities want to see, everywhere. Every method may raise StoreError."""

    def __init__(
        self,
        rows: base_acme.Proofs,
        dns: Dns | None,
        *,
        ring: KeyRing,
        changes: base.Changes,
        log: Log,
        now: Callable[[], float] = clock.now,
        random: Callable[[int], bytes] = secrets.token_bytes,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._rows = rows
        self._dns = dns
        self._ring = ring
        self._changes = changes
        self._log = log.of("tls")
        self._now = now
        self._random = random
        self._sleep = sleep

    async def show(self, name: str, token: str, authorization: str, proof: Proof) -> None:
        """Show it until `clear`; whoever may be asked does so on return. Raises IssueError."""
        shown = await self._made(name, authorization, proof)
        # A record in the DNS is written down first: whoever goes on after a crash can take it out.
        await self._rows.put(
            base_acme.ProofRow(
                token=token,
                name=name,
                kind=proof.value,
                sealed=sealed(token, shown, self._ring, self._random),
                expires_at=self._now() + LIFE_S,
            )
        )
        if proof is Proof.DNS_01:
            await self._resolver().present(record_name_of(name), shown.text)
            return
        self._changes.publish(CERTIFICATES, name)
        await self._changes.settle()
        await self._sleep(HEARD_S)

    async def clear(self, name: str) -> None:
        """Show nothing any more for this name."""
        for row in await self._rows.clear(name):
            shown = opened(row.token, row.sealed, Shown, self._ring)
            if row.kind == Proof.DNS_01.value and shown is not None and self._dns is not None:
                try:
                    await self._dns.cleanup(record_name_of(name), shown.text)
                except IssueError as exc:
                    # The record says nothing to anybody any more; it is only untidy.
                    self._log.warning("acme_record_left", name=name, detail=exc.detail or exc.message)
        self._changes.publish(CERTIFICATES, name)

    async def _made(self, name: str, authorization: str, proof: Proof) -> Shown:
        match proof:
            case Proof.HTTP_01:
                return Shown(text=authorization)
            case Proof.DNS_01:
                return Shown(text=record_of(authorization))
            case Proof.TLS_ALPN_01:
                key = await asyncio.to_thread(generate_private_key, SECP256R1())
                serial = int.from_bytes(self._random(_SERIAL_BITS // 8), "big") | 1
                at = datetime.fromtimestamp(self._now(), UTC)
                chain = proof_of(name, authorization, key, serial=serial, now=at)
                return Shown(chain_pem=chain.decode("ascii"), key_pem=Secret(key_pem_of(key).decode("ascii")))

    def _resolver(self) -> Dns:
        if self._dns is None:
            raise failure(
                Fault(
                    "dnsMissing",
                    Blame.OPERATOR,
                    "a wildcard needs `dns` in `acme`: records in the DNS prove it",
                )
            )
        return self._dns
