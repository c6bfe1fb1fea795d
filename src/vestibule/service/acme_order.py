"""One order from its beginning to the certificate, in steps that another process can go on with.

What an order needs to go on is in its row before the authority is told of it: kill the process anywhere, and the next
turn, here or on another node, begins where this one ended (`core.acme.step_of`).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    generate_private_key,
)
from msgspec.structs import replace

from vestibule.core.acme import Acme, Attempt, Proof, Step, step_of
from vestibule.core.acme_fault import Blame, Fault
from vestibule.core.seal import KeyRing
from vestibule.errors import IssueError, VestibuleError
from vestibule.model import Secret
from vestibule.observe import clock
from vestibule.protocol.acme import AcmeSyntaxError, Authorization, Challenge, Order, key_authorization
from vestibule.protocol.acme_certificate import checked, key_of, key_pem_of, request_for
from vestibule.service.acme_ca import Authority, Holder, failure, failure_of
from vestibule.service.acme_proof import Proofs
from vestibule.service.acme_seal import Account, Issued, Under, opened, sealed
from vestibule.store import base_acme

ORDER_MAX_S: Final = 3600.0
"""An order that has come to nothing by then is given up."""
_OVER: Final = "malformed"
"""What authorities say to who tells them of a challenge that isn't pending any more."""
_PAUSE_S: Final = 2.0
_PAUSE_MAX_S: Final = 60.0


class Overtaken(VestibuleError):
    """Another process has the lease by now: it goes on, and this one stops."""

    code = "overtaken"


class Waits(msgspec.Struct, frozen=True):
    """The authority takes its time: to be looked at again then."""

    until: float


class Tables(msgspec.Struct, frozen=True):
    """Where it is kept."""

    accounts: base_acme.Accounts
    orders: base_acme.Orders
    certificates: base_acme.Certificates


class Ordering:
    """Orders for one lease: `fence` is its number. Every method may raise StoreError, Overtaken and IssueError."""

    def __init__(
        self,
        acme: Acme,
        tables: Tables,
        proofs: Proofs,
        *,
        ring: KeyRing,
        fence: int,
        deadline: float,
        now: Callable[[], float] = clock.now,
        random: Callable[[int], bytes] = secrets.token_bytes,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`deadline`: by then a turn is to be over."""
        self._acme = acme
        self._tables = tables
        self._proofs = proofs
        self._ring = ring
        self._fence = fence
        self._deadline = deadline
        self._now = now
        self._random = random
        self._sleep = sleep
        self._making = asyncio.Lock()

    def under(self, row: base_acme.OrderRow) -> Under | None:
        """The order under way of this row; None: there is none that can be gone on with."""
        return opened(row.name, row.sealed, Under, self._ring) if row.sealed else None

    async def begin(
        self, row: base_acme.OrderRow, attempt: Attempt, authority: Authority, *, replaces: str, renews: bool
    ) -> base_acme.OrderRow:
        """The row of a new order that the authority knows."""
        key = await asyncio.to_thread(generate_private_key, SECP256R1())
        under = Under(
            directory=attempt.directory,
            proof=attempt.proof.value,
            key_pem=Secret(key_pem_of(key).decode("ascii")),
            began_at=self._now(),
            renews=renews,
        )
        row = await self.keep(replace(row, sealed=self._sealed(row.name, under)))
        holder = await self.account(authority)
        url = await authority.order(holder, row.name, replaces)
        return await self.keep(replace(row, sealed=self._sealed(row.name, replace(under, url=url))))

    async def go_on(self, name: str, under: Under, authority: Authority) -> Issued | Waits:
        """The certificate; or until when the authority takes its time."""
        holder = await self.account(authority)
        asked: set[str] = set()
        doubted: set[str] = set()
        proof = Proof(under.proof)
        while True:
            order, wait_s = await authority.look_at(under.url, Order, holder)
            authorizations: list[Authorization] = []
            if order.status in ("pending", "invalid"):  # of the latter they say why
                for url in order.authorizations:
                    found, asked_s = await authority.look_at(url, Authorization, holder)
                    authorizations.append(found)
                    wait_s = wait_s if asked_s is None else asked_s
            _check_names(name, authorizations)
            match step_of(order, authorizations, proof):
                case Step.DOWNLOAD:
                    chain = await authority.download(order, holder)
                    return self._issued(name, under, chain)
                case Step.FINALIZE:
                    request = request_for(name, key_of(under.key_pem.reveal().encode("ascii")))
                    await authority.finalize(order, request, holder)
                case Step.PROVE if missing := _unasked(authorizations, proof, asked):
                    for challenge in missing:
                        is_told = await self._prove(
                            name,
                            challenge,
                            proof,
                            authority,
                            holder,
                            may_be_over=challenge.url not in doubted,
                        )
                        (asked if is_told else doubted).add(challenge.url)
                case Step.WAIT | Step.PROVE:
                    until = self._now() + min(max(wait_s or _PAUSE_S, 1.0), _PAUSE_MAX_S)
                    if self._now() - under.began_at > ORDER_MAX_S:
                        raise _too_slow()
                    if until > self._deadline:
                        return Waits(until)
                    await self._sleep(until - self._now())
                case Step.FAIL:
                    raise _failed(order, authorizations, proof)

    async def account(self, authority: Authority) -> Holder:
        """The account there, which is made where there is none."""
        async with self._making:
            row = await self._account_row(authority.url)
            external = self._acme.external_account if authority.url == self._acme.directories[0] else None
            key_id = "" if external is None else external.key_id
            kept = opened(row.directory, row.sealed, Account, self._ring) if row.sealed else None
            if kept is not None and kept.url and kept.external == key_id:
                return Holder(key_of(kept.key_pem.reveal().encode("ascii")), kept.url)
            if kept is None or kept.url:
                key = await asyncio.to_thread(generate_private_key, SECP256R1())
                kept = Account(url="", key_pem=Secret(key_pem_of(key).decode("ascii")), external=key_id)
                row = await self._keep_account(row, kept)  # first: an account whose key is lost is of no use
            key = key_of(kept.key_pem.reveal().encode("ascii"))
            url = await authority.make_account(key, self._acme.email, external)
            await self._keep_account(row, replace(kept, url=url, external=key_id))
            return Holder(key, url)

    async def forget_account(self, directory: str) -> None:
        """Make another account there the next time."""
        await self._tables.accounts.delete(directory, self._fence)

    async def rest(self, directory: str, until: float) -> None:
        """Leave this authority alone until then."""
        row = await self._account_row(directory)
        if not await self._tables.accounts.put(replace(row, rests_until=until, fence=self._fence)):
            raise Overtaken

    async def keep(self, row: base_acme.OrderRow) -> base_acme.OrderRow:
        """The row as it is kept now."""
        row = replace(row, fence=self._fence)
        if not await self._tables.orders.put(row):
            raise Overtaken
        return row

    async def finish(self, name: str, issued: Issued, renew_at: float, ask_at: float) -> None:
        """Keep the certificate; the order is over."""
        row = base_acme.CertificateRow(
            name=name,
            sealed=sealed(name, issued, self._ring, self._random),
            not_after_at=issued.not_after_at,
            renew_at=renew_at,
            ask_at=ask_at,
        )
        await self.keep_certificate(row)
        await self._tables.orders.delete(name, self._fence)

    async def keep_certificate(self, row: base_acme.CertificateRow) -> None:
        """Keep it, and when it is renewed."""
        if not await self._tables.certificates.put(replace(row, fence=self._fence)):
            raise Overtaken

    # -- within --------------------------------------------------------------------------------

    async def _prove(
        self,
        name: str,
        challenge: Challenge,
        proof: Proof,
        authority: Authority,
        holder: Holder,
        *,
        may_be_over: bool,
    ) -> bool:
        """Show what it wants to see, and tell it so. False: it didn't take that, where the challenge may be over.

        Who was stopped in the middle may have told it, and it has looked meanwhile: whether it has, it says when it is
        looked at again.
        """
        try:
            text = key_authorization(challenge.token, holder.key)
        except AcmeSyntaxError as exc:
            raise _strange(str(exc)) from exc
        await self._proofs.show(name, challenge.token, text, proof)
        try:
            await authority.respond(challenge, holder)
        except IssueError as error:
            if not may_be_over or error.code != _OVER:
                raise
            return False
        return True

    def _issued(self, name: str, under: Under, chain: bytes) -> Issued:
        try:
            leaf = checked(chain, name, key_of(under.key_pem.reveal().encode("ascii")), self._now())
            chain_pem = chain.decode("ascii")
        except (AcmeSyntaxError, UnicodeError) as exc:
            raise _strange(f"the certificate can't be used: {exc}") from exc
        return Issued(
            directory=under.directory,
            chain_pem=chain_pem,
            key_pem=under.key_pem,
            names=leaf.names,
            not_before_at=leaf.not_before_at,
            not_after_at=leaf.not_after_at,
            fingerprint=leaf.fingerprint,
            issuer=leaf.issuer,
            renewal_id=leaf.renewal_id,
        )

    async def _account_row(self, directory: str) -> base_acme.AccountRow:
        for row in await self._tables.accounts.all():
            if row.directory == directory:
                return row
        return base_acme.AccountRow(directory=directory, sealed=b"", created_at=self._now())

    async def _keep_account(self, row: base_acme.AccountRow, account: Account) -> base_acme.AccountRow:
        box = sealed(row.directory, account, self._ring, self._random)
        row = replace(row, sealed=box, fence=self._fence)
        if not await self._tables.accounts.put(row):
            raise Overtaken
        return row

    def _sealed(self, name: str, under: Under) -> bytes:
        return sealed(name, under, self._ring, self._random)


def _check_names(name: str, authorizations: list[Authorization]) -> None:
    """Raise IssueError. Threat: an authority that wants another name proven."""
    for one in authorizations:
        identifier = one.identifier
        if (identifier.type, identifier.value.lower()) != ("dns", name.removeprefix("*.")):
            raise _strange("it wants another name to be proven")


def _unasked(authorizations: list[Authorization], proof: Proof, asked: set[str]) -> list[Challenge]:
    """What it waits for us to show; of those it was told of, some authorities say "pending" while they look."""
    pending = (one.challenge(proof.value) for one in authorizations if one.status == "pending")
    return [one for one in pending if one is not None and one.status == "pending" and one.url not in asked]


def _failed(order: Order, authorizations: list[Authorization], proof: Proof) -> IssueError:
    """Why an order came to nothing."""
    for one in authorizations:
        if one.error is not None:
            return failure_of(one.error, proof)
    if order.error is not None:
        return failure_of(order.error, proof)
    if order.status == "pending" and all(one.challenge(proof.value) is None for one in authorizations):
        advice = f"the authority takes no proof by {proof.value} for this name"
        return failure(Fault("proofNotOffered", Blame.NAME, advice))
    return failure(Fault("orderInvalid", Blame.NAME, "the authority gave the order up, and doesn't say why"))


def _too_slow() -> IssueError:
    advice = "the authority didn't come to an end within an hour"
    return failure(Fault("tooSlow", Blame.AUTHORITY, advice))


def _strange(what: str) -> IssueError:
    advice = "the authority answers with what ACME doesn't have: is `directory` right?"
    return failure(Fault("strange", Blame.AUTHORITY, advice), what)
