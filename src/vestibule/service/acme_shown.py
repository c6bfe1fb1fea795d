"""What every process shows of ACME: certificates that were issued, and proofs while an authority looks.

Whoever orders writes them to the store; here they are read, at once when that is told, and now and then in any case.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Final

from vestibule.core.acme import Proof
from vestibule.core.certificate import Certificate, Source
from vestibule.core.seal import KeyRing
from vestibule.errors import StoreError
from vestibule.observe import clock
from vestibule.observe.log import Log
from vestibule.protocol.acme import TOKEN_RE
from vestibule.protocol.acme_certificate import leaf_of
from vestibule.service.acme_seal import Issued, Shown, opened
from vestibule.service.shelf import Shelf
from vestibule.store import base, base_acme

CERTIFICATES: Final = "certificates"
"""Kind of a change: there is another certificate, or another proof."""
LOOK_EVERY_S: Final = 30.0


class Showing:
    """Keeps the shelf of this process, and its answers to authorities, as the store has it.

    One for each configuration: what it reads is on the shelf from `begin` to `retire`, while that is in force.
    """

    def __init__(
        self,
        names: Collection[str],
        certificates: base_acme.Certificates,
        proofs: base_acme.Proofs,
        *,
        ring: KeyRing,
        shelf: Shelf,
        changes: base.Changes,
        log: Log,
        now: Callable[[], float] = clock.now,
    ) -> None:
        """`names`: those whose certificates are shown; all others' come from elsewhere."""
        self._names = frozenset(names)
        self._certificates = certificates
        self._proofs = proofs
        self._ring = ring
        self._shelf = shelf
        self._log = log.of("tls")
        self._now = now
        self._texts: dict[bytes, tuple[bytes, float]] = {}
        self._boxes: dict[str, bytes] = {}
        """What is shown by name, as it was sealed: it is opened once."""
        self._proving: frozenset[str] = frozenset()
        self.is_read = asyncio.Event()
        """Set once it was read what is pending."""
        self._rows: tuple[base_acme.CertificateRow, ...] = ()
        self._is_in_force = self._is_over = False
        self._turn = asyncio.Lock()
        self._heard = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None
        changes.subscribe(CERTIFICATES, self._hear)

    def answer(self, token: bytes) -> bytes | None:
        """What an authority is to see that asks for this token by HTTP-01; None: it isn't pending here."""
        found = self._texts.get(token)
        return found[0] if found is not None and found[1] > self._now() else None

    def begin(self) -> None:
        """It is in force: what was read is shown, and nothing else of its kind; all that is read later, too."""
        self._is_in_force = True
        if self.is_read.is_set():
            self._show()

    def retire(self) -> None:
        """Another is in force, and has the shelf: what is pending is still answered."""
        self._is_in_force, self._is_over = False, True

    async def look(self, _now: float = 0.0, _fence: int = 0) -> None:
        """Read it all: a job for now and then. While the store is away, what is known stays."""
        try:
            await self.load()
        except StoreError as exc:
            self._log.warning("certificates_unread", detail=exc.detail or exc.message)

    async def load(self) -> None:
        """Read it all. Raises StoreError."""
        async with self._turn:
            self._rows = await self._certificates.all()
            pending = await self._proofs.pending(self._now())
            if self._is_over:
                return
            self._prove(pending)
            self.is_read.set()
            if self._is_in_force:
                self._show()

    async def close(self) -> None:
        """Read no more; what is shown stays shown."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    def _hear(self, _key: str) -> None:
        """Something has changed: one task reads, as often as it is told."""
        if self._is_over:
            return
        self._heard.set()
        if self._reading is None or self._reading.done():
            self._reading = asyncio.get_running_loop().create_task(self._read(), name="certificates")

    async def _read(self) -> None:
        while self._heard.is_set():
            self._heard.clear()
            await self.look()

    def _show(self) -> None:
        shown = {name: one for name, one in self._shelf if one.source is Source.ACME}
        for row in self._rows:
            if row.name not in self._names or (row.name in shown and self._boxes.get(row.name) == row.sealed):
                continue
            issued = opened(row.name, row.sealed, Issued, self._ring)
            if issued is None:
                self._log.error(
                    "certificate_unreadable",
                    name=row.name,
                    detail="sealed with another key, or of another row",
                )
            else:
                self._boxes[row.name] = row.sealed
                if row.name not in shown or shown[row.name].fingerprint != issued.fingerprint:
                    self._shelf.put(row.name, issued.certificate())
                    self._log.info("certificate_loaded", hosts=[row.name], fingerprint=issued.fingerprint)
        for name in shown.keys() - self._names:
            self._shelf.drop(name)
        self._shelf.fill()

    def _prove(self, rows: tuple[base_acme.ProofRow, ...]) -> None:
        texts: dict[bytes, tuple[bytes, float]] = {}
        proving = {}
        for row in rows:
            shown = opened(row.token, row.sealed, Shown, self._ring)
            if shown is None:
                continue
            if row.kind == Proof.HTTP_01.value and TOKEN_RE.fullmatch(row.token):
                texts[row.token.encode("ascii")] = shown.text.encode("ascii"), row.expires_at
            elif row.kind == Proof.TLS_ALPN_01.value:
                proving[row.name] = _proof(row.name, shown)
        self._texts = texts
        for name, certificate in proving.items():
            self._shelf.prove(name, certificate)
        for name in self._proving - proving.keys():
            self._shelf.prove(name, None)
        self._proving = frozenset(proving)


def _proof(name: str, shown: Shown) -> Certificate:
    chain_pem = shown.chain_pem.encode("ascii")
    leaf = leaf_of(chain_pem)
    return Certificate(
        names=(name,),
        chain_pem=chain_pem,
        key_pem=shown.key_pem,
        not_before_at=leaf.not_before_at,
        not_after_at=leaf.not_after_at,
        source=Source.ACME,
        fingerprint=leaf.fingerprint,
    )
