"""A certificate authority in memory, which checks what it is sent, suggests renewals, and fails as it is told to."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from vestibule.errors import ProviderUnavailable
from vestibule.fetch import Answer
from vestibule.protocol import base64url
from vestibule.protocol.acme import PROBLEM

CA_KEY = ec.derive_private_key(0xCA, ec.SECP256R1())
LIFE_S = 90 * 86_400.0


class StandIn:
    """One authority at `URL/dir`; `looks` says whether what it is shown is right, `refuse` has an answer for a path."""

    def __init__(self, url: str, now: Callable[[], float]) -> None:
        self.url = url
        self.now = now
        self.is_down = False
        self.eats_nonces = 0
        """So many good ones are refused."""
        self.refuse: dict[str, tuple[int, str, dict[str, str]]] = {}
        """By what is asked for: status, kind of problem, headers; once each."""
        self.looks: Callable[[str, str, str], str] = lambda name, kind, token: "valid"
        """Status of a challenge once it is looked at."""
        self.window: tuple[float, float] | None = None
        """What it suggests; None: it can't."""
        self.asked_again = "3600"
        """When it wants to be asked for that again."""
        self.wants = ""
        """Another name that it wants proven."""
        self.counts: Counter[str] = Counter()
        self.ordered: list[dict[str, Any]] = []
        self.accounts: dict[str, dict[str, str]] = {}
        self.bindings: list[Any] = []
        """To which of its accounts new ones were bound."""
        self._orders: dict[str, dict[str, Any]] = {}
        self._nonces: set[str] = set()
        self._number = itertools.count(1)

    # -- as a fetcher sees it ------------------------------------------------------------------

    def get(self, url: str) -> Answer:
        path = self._path(url)
        if path == "dir":
            body = {name: f"{self.url}/{name}" for name in ("newNonce", "newAccount", "newOrder")}
            if self.window is not None:
                body["renewalInfo"] = f"{self.url}/renewalInfo"
            return self._answer(url, 200, body)
        if path == "newNonce":
            return self._answer(url, 204, None)
        if path.startswith("renewalInfo/") and self.window is not None:
            start, end = (datetime.fromtimestamp(at, UTC).isoformat() for at in self.window)
            window = {"suggestedWindow": {"start": start, "end": end}}
            return self._answer(url, 200, window, {"retry-after": self.asked_again})
        return self._answer(url, 404, {})

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        path = self._path(url)
        assert headers["content-type"] == "application/jose+json"
        head, payload, jwk = self._checked(url, body)
        if head["nonce"] not in self._nonces or self.eats_nonces:
            self.eats_nonces -= bool(self.eats_nonces)
            self._nonces.discard(head["nonce"])
            return self._problem(url, 400, "badNonce")
        self._nonces.discard(head["nonce"])
        kind = path.partition("/")[0]
        if kind in self.refuse:
            status, problem, more = self.refuse.pop(kind)
            return self._problem(url, status, problem, more)
        if "kid" in head and head["kid"] not in self.accounts:
            return self._problem(url, 400, "accountDoesNotExist")
        answered: Answer = getattr(self, f"_{kind}")(url, path, payload, jwk)
        return answered

    # -- resources -----------------------------------------------------------------------------

    def _newAccount(self, url: str, _path: str, payload: Any, jwk: dict[str, str]) -> Answer:  # noqa: N802 - the path
        assert payload["termsOfServiceAgreed"] is True
        self.bindings.append(payload.get("externalAccountBinding"))
        where = f"{self.url}/account/{next(self._number)}"
        self.accounts[where] = jwk
        return self._answer(url, 201, {"status": "valid"}, {"location": where})

    def _newOrder(self, url: str, _path: str, payload: Any, _jwk: object) -> Answer:  # noqa: N802 - the path
        self.ordered.append(payload)
        (identifier,) = payload["identifiers"]
        number = str(next(self._number))
        self._orders[number] = {
            "name": identifier["value"],
            "status": "pending",
            "challenge": "pending",
            "kind": "",
        }
        return self._order(url, f"order/{number}", None, None, 201)

    def _order(self, url: str, path: str, _payload: Any, _jwk: object, status: int = 200) -> Answer:
        number = path.partition("/")[2]
        order = self._orders[number]
        body = {
            "status": order["status"],
            "authorizations": [f"{self.url}/authz/{number}"],
            "finalize": f"{self.url}/finalize/{number}",
            **({"certificate": f"{self.url}/certificate/{number}"} if order["status"] == "valid" else {}),
        }
        return self._answer(url, status, body, {"location": f"{self.url}/order/{number}"})

    def _authz(self, url: str, path: str, _payload: Any, _jwk: object) -> Answer:
        number = path.partition("/")[2]
        order = self._orders[number]
        challenges = [
            {
                "type": kind,
                "url": f"{self.url}/challenge/{number}/{kind}",
                "status": order["challenge"] if kind == order["kind"] else "pending",
                "token": f"token-{number}-{'x' * 20}",
                **({"error": {"type": f"{PROBLEM}connection"}} if order["challenge"] == "invalid" else {}),
            }
            for kind in ("http-01", "dns-01", "tls-alpn-01")
        ]
        status = order["challenge"] if order["challenge"] in ("valid", "invalid") else "pending"
        identifier = {"type": "dns", "value": self.wants or order["name"].removeprefix("*.")}
        return self._answer(url, 200, {"identifier": identifier, "status": status, "challenges": challenges})

    def _challenge(self, url: str, path: str, _payload: Any, _jwk: object) -> Answer:
        _, number, kind = path.split("/")
        order = self._orders[number]
        order["kind"] = kind
        order["challenge"] = self.looks(order["name"], kind, f"token-{number}-{'x' * 20}")
        order["status"] = {"valid": "ready", "invalid": "invalid"}.get(order["challenge"], "pending")
        return self._answer(url, 200, {"type": kind, "url": url, "status": order["challenge"], "token": "t"})

    def _finalize(self, url: str, path: str, payload: Any, _jwk: object) -> Answer:
        number = path.partition("/")[2]
        order = self._orders[number]
        assert order["status"] == "ready"
        request = x509.load_der_x509_csr(base64url.decode(payload["csr"]) or b"")
        order["chain"], order["status"] = self._issue(request), "valid"
        return self._order(url, f"order/{number}", None, None)

    def _certificate(self, url: str, path: str, _payload: Any, _jwk: object) -> Answer:
        chain: bytes = self._orders[path.partition("/")[2]]["chain"]
        return Answer(200, {"replay-nonce": self._nonce()}, chain, url)

    def _issue(self, request: x509.CertificateSigningRequest) -> bytes:
        now = datetime.fromtimestamp(self.now(), UTC)
        over = datetime.fromtimestamp(self.now() + LIFE_S, UTC)
        san = request.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Stand-in")]))
            .public_key(request.public_key())
            .serial_number(next(self._number))
            .not_valid_before(now)
            .not_valid_after(over)
            .add_extension(san.value, critical=True)
            .add_extension(x509.AuthorityKeyIdentifier(b"\x01" * 20, None, None), critical=False)
        )
        return builder.sign(CA_KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    # -- within --------------------------------------------------------------------------------

    def _path(self, url: str) -> str:
        if self.is_down:
            raise ProviderUnavailable("the provider can't be reached", detail=url)
        path = url.removeprefix(f"{self.url}/")
        self.counts[path.partition("/")[0]] += 1
        return path

    def _checked(self, url: str, body: bytes) -> tuple[dict[str, Any], Any, dict[str, str]]:
        """Head and payload of what is signed as RFC 8555 section 6.2 has it, and the key."""
        jws = json.loads(body)
        head = json.loads(base64url.decode(jws["protected"]) or b"")
        assert head["url"] == url
        assert head["alg"] == "ES256"
        assert ("jwk" in head) != ("kid" in head)
        jwk = head.get("jwk") or self.accounts.get(head["kid"])
        if jwk is not None:
            x, y = (int.from_bytes(base64url.decode(jwk[one]) or b"", "big") for one in ("x", "y"))
            signature = base64url.decode(jws["signature"]) or b""
            der = encode_dss_signature(
                *(int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
            )
            signed = f"{jws['protected']}.{jws['payload']}".encode()
            key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
            key.verify(der, signed, ec.ECDSA(hashes.SHA256()))
        payload = json.loads(base64url.decode(jws["payload"]) or b"null") if jws["payload"] else None
        return head, payload, jwk or {}

    def _nonce(self) -> str:
        nonce = base64url.encode(f"nonce {next(self._number)}".encode())
        self._nonces.add(nonce)
        return nonce

    def _answer(self, url: str, status: int, body: Any, more: Mapping[str, str] | None = None) -> Answer:
        headers = {"replay-nonce": self._nonce(), **(more or {})}
        return Answer(status, headers, b"" if body is None else json.dumps(body).encode(), url)

    def _problem(self, url: str, status: int, kind: str, more: Mapping[str, str] | None = None) -> Answer:
        return self._answer(url, status, {"type": PROBLEM + kind, "detail": f"it says {kind}"}, more)


class Fetching:
    """Leads to stand-ins by their URL; what is forbidden of URLs is `fetch`'s matter."""

    def __init__(self, *authorities: StandIn) -> None:
        self._authorities = authorities

    async def get(
        self, url: str, *, headers: Mapping[str, str] | None = None, via: str = "", follow: bool = True
    ) -> Answer:
        assert not follow  # an authority sends nobody elsewhere
        del headers, via
        return self._of(url).get(url)

    async def send(
        self, method: str, url: str, body: bytes, *, headers: Mapping[str, str] | None = None, via: str = ""
    ) -> Answer:
        assert method == "POST"
        assert via
        return self._of(url).post(url, body, headers or {})

    def _of(self, url: str) -> StandIn:
        return next(one for one in self._authorities if url.startswith(f"{one.url}/"))
