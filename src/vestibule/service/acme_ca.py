"""One certificate authority as it is spoken to: signed requests, nonces, and what its refusals mean (RFC 8555)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from vestibule.core.acme import ExternalAccount, Proof
from vestibule.core.acme_fault import Blame, Fault, fault_of, said
from vestibule.errors import IssueError, ProviderError
from vestibule.fetch import Answer
from vestibule.observe import clock
from vestibule.protocol import acme as wire
from vestibule.protocol import base64url
from vestibule.protocol.acme import AcmeSyntaxError, Directory, Order, Problem, Renewal

NONCE_TRIES: Final = 16
"""How often a request is sent again because of its nonce; section 6.5 has clients do that."""
_NONCES_KEPT: Final = 16
_DIRECTORY_GOOD_S: Final = 3600.0
_JOSE: Final = {"content-type": wire.CONTENT_TYPE}
T = TypeVar("T")


class Fetching(Protocol):
    """What `fetch.Fetcher` does."""

    async def get(
        self, url: str, *, headers: Mapping[str, str] | None = None, via: str = "", follow: bool = True
    ) -> Answer:
        """The answer, of whatever status."""

    async def send(
        self, method: str, url: str, body: bytes, *, headers: Mapping[str, str] | None = None, via: str = ""
    ) -> Answer:
        """The answer, of whatever status."""


class Holder(msgspec.Struct, frozen=True):
    """Who signs requests: an account."""

    key: EllipticCurvePrivateKey
    url: str = ""
    """Empty: it is being made."""


class Reply(msgspec.Struct, frozen=True):
    """What a signed request came to."""

    answer: Answer
    wait_s: float | None
    """How long to wait before asking again, where the authority says so."""

    @property
    def location(self) -> str:
        """The URL of what was made."""
        return self.answer.headers.get("location", "")


def failure(fault: Fault, detail: str = "", wait_s: float | None = None) -> IssueError:
    """What is raised for this fault; `detail` is what the authority says."""
    return IssueError(fault.advice, code=fault.code, detail=detail, blame=fault.blame.value, wait_s=wait_s)


def failure_of(problem: Problem | None, proof: Proof) -> IssueError:
    """What is raised for an order that failed by this problem."""
    problem = problem or Problem()
    return failure(fault_of(problem, 0, proof), said(problem))


class Authority:
    """Speaks to the one of this directory. Every method that asks it raises IssueError."""

    def __init__(self, url: str, fetcher: Fetching, *, now: Callable[[], float] = clock.now) -> None:
        self.url = url
        self._fetcher = fetcher
        self._now = now
        self._directory: Directory | None = None
        self._read_at = 0.0
        self._nonces: list[str] = []

    # -- what it offers ------------------------------------------------------------------------

    async def directory(self) -> Directory:
        """Its resources; asked for once an hour."""
        if self._directory is None or self._now() - self._read_at > _DIRECTORY_GOOD_S:
            answer = await self._get(self.url, via="")
            if answer.status != 200:
                raise self._refused(answer)
            self._directory, self._read_at = self._read(answer, Directory), self._now()
        return self._directory

    async def renewal(self, renewal_id: str) -> tuple[Renewal, float | None] | None:
        """When it suggests to renew this certificate, and when to ask again; None: it suggests nothing."""
        where = (await self.directory()).renewal_info
        if not where or not renewal_id:
            return None
        answer = await self._get(f"{where.rstrip('/')}/{renewal_id}", via=self.url)
        if answer.status != 200:
            raise self._refused(answer)
        try:
            return wire.read_renewal(answer.body), self._wait_s(answer)
        except AcmeSyntaxError as exc:
            raise self._strange(str(exc)) from exc

    # -- accounts ------------------------------------------------------------------------------

    async def make_account(
        self, key: EllipticCurvePrivateKey, email: str, external: ExternalAccount | None
    ) -> str:
        """The URL of the account of this key, new or there already (section 7.3)."""
        directory = await self.directory()
        binding = None
        if external is not None:
            secret = base64url.decode(external.hmac_key.reveal().rstrip("="))
            if not secret:
                raise failure(
                    Fault(
                        "externalAccountRequired",
                        Blame.OPERATOR,
                        "`hmac_key` of `external_account` is no base64url",
                    )
                )
            binding = wire.bound(key, directory.new_account, key_id=external.key_id, hmac_key=secret)
        elif directory.meta.external_account_required:
            raise failure(fault_of(Problem(type=f"{wire.PROBLEM}externalAccountRequired"), 403))
        reply = await self._post(directory.new_account, wire.new_account(email, binding), Holder(key))
        if not reply.location:
            raise self._strange("an account without a URL")
        return reply.location

    # -- orders --------------------------------------------------------------------------------

    async def order(self, holder: Holder, name: str, replaces: str = "") -> str:
        """The URL of a new order (section 7.4); `replaces` is left out where the authority doesn't take it."""
        directory = await self.directory()
        try:
            payload = wire.new_order(name, replaces if directory.renewal_info else "")
            reply = await self._post(directory.new_order, payload, holder)
        except IssueError as exc:
            # RFC 9773 section 5: what was replaced already (409), or what it doesn't know, is no reason not to issue.
            if not replaces or exc.code not in ("alreadyReplaced", "malformed", "serverInternal"):
                raise
            reply = await self._post(directory.new_order, wire.new_order(name), holder)
        if not reply.location:
            raise self._strange("an order without a URL")
        return reply.location

    async def look_at(self, url: str, kind: type[T], holder: Holder) -> tuple[T, float | None]:
        """What stands there now, an order or an authorization; and how long to wait before asking again."""
        reply = await self._post(url, None, holder)
        return self._read(reply.answer, kind), reply.wait_s

    async def respond(self, challenge: wire.Challenge, holder: Holder) -> None:
        """Tell it to look (section 7.5.1)."""
        await self._post(challenge.url, {}, holder)

    async def finalize(self, order: Order, request: bytes, holder: Holder) -> None:
        """Send the request for the certificate (section 7.4)."""
        await self._post(order.finalize, {"csr": base64url.encode(request)}, holder)

    async def download(self, order: Order, holder: Holder) -> bytes:
        """The chain (section 7.4.2)."""
        reply = await self._post(order.certificate, None, holder, accept=wire.CHAIN_TYPE)
        return reply.answer.body

    # -- requests ------------------------------------------------------------------------------

    async def _post(
        self,
        url: str,
        payload: dict[str, Any] | None,
        holder: Holder,
        *,
        accept: str = "application/json",
    ) -> Reply:
        """Send it, again and again while only its nonce is refused (section 6.5)."""
        for _ in range(NONCE_TRIES):
            body = wire.signed(holder.key, url, payload, nonce=await self._nonce(), account=holder.url)
            headers = {**_JOSE, "accept": accept}
            try:
                answer = await self._fetcher.send("POST", url, body, headers=headers, via=self.url)
            except ProviderError as exc:
                raise self._unreached(exc) from exc
            is_refused = answer.status >= 300
            is_for_nonce = is_refused and wire.read_problem(answer.body).kind == "badNonce"
            if is_for_nonce:
                self._nonces.clear()  # they may all be too old: the answer has a fresh one
            self._keep_nonce(answer)
            if not is_refused:
                return Reply(answer, self._wait_s(answer))
            if not is_for_nonce:
                raise self._refused(answer)
        raise self._refused(answer)

    async def _nonce(self) -> str:
        if self._nonces:
            return self._nonces.pop()
        answer = await self._get((await self.directory()).new_nonce, via=self.url)
        self._keep_nonce(answer)
        if not self._nonces:
            raise self._strange("no nonce")
        return self._nonces.pop()

    def _keep_nonce(self, answer: Answer) -> None:
        nonce = answer.headers.get("replay-nonce", "")
        if nonce and len(self._nonces) < _NONCES_KEPT and base64url.decode(nonce) is not None:
            self._nonces.append(nonce)

    async def _get(self, url: str, *, via: str) -> Answer:
        try:
            return await self._fetcher.get(url, via=via, follow=False)
        except ProviderError as exc:
            raise self._unreached(exc) from exc

    # -- what went wrong -----------------------------------------------------------------------

    def _read(self, answer: Answer, kind: type[T]) -> T:
        try:
            return wire.read(answer.body, kind)
        except AcmeSyntaxError as exc:
            raise self._strange(str(exc)) from exc

    def _refused(self, answer: Answer) -> IssueError:
        problem = wire.read_problem(answer.body)
        fault = fault_of(problem, answer.status)
        detail = said(problem) or f"{answer.url} answered {answer.status}"
        return failure(fault, detail, self._wait_s(answer))

    def _unreached(self, exc: ProviderError) -> IssueError:
        why = f"{exc.message}: {exc.detail}".replace("the provider's", "its").replace("the provider", "it")
        advice = (
            "the authority can't be reached from here: look at DNS and the way out, and is `directory` right?"
        )
        return failure(Fault("unreachable", Blame.AUTHORITY, advice), why)

    def _strange(self, what: str) -> IssueError:
        advice = "the authority answers with what ACME doesn't have: is `directory` right?"
        return failure(Fault("strange", Blame.AUTHORITY, advice), what)

    def _wait_s(self, answer: Answer) -> float | None:
        return wire.retry_after_s(answer.headers.get("retry-after", ""), self._now())
