"""Requests to AWS that a machine signed and did not send, judged by their shape; and what AWS answers.

The signature is AWS's to judge: whoever has such a request sent learns whose it is. So nothing may be sent but one call
that changes nothing (`GetCallerIdentity`; `DescribeTags` of one instance), to AWS itself, made for this gateway, a
moment ago. What is sent is written anew from what was judged.

Spec: AWS "Signature Version 4", "STS API Reference: GetCallerIdentity". The form is that of Google Cloud's workload
identity federation: JSON of `url`, `method` and `headers` (a list of `key` and `value`, or an object).
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final, NoReturn
from urllib.parse import quote, unquote

import msgspec

from vestibule.protocol.authorization_server import OAuthError, OAuthErrorCode

AWS_REQUEST: Final = "urn:ietf:params:aws:token-type:aws4_request"
"""Its `subject_token_type`."""
SERVER_HEADER: Final = "x-vestibule-server-id"
"""Signed along: names the gateway that the request is for."""
NONCE_HEADER: Final = "x-vestibule-nonce"
"""May be signed along: two requests of one second are the same without it, and a request is good once."""
AGE_MAX_S: Final = 300.0
"""From the moment it was signed; a clock may be as much ahead."""
EXPIRES_MAX_S: Final = 900
SUBJECT_MAX_CHARS: Final = 16_384
FORM: Final = "application/x-www-form-urlencoded"

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_REGIONS: Final = (
    # partition, regions, and the domains that AWS has there: the usual one, and that for IPv6 too
    ("aws-us-gov", r"us-gov-[a-z]+-[0-9]{1,2}", r"amazonaws\.com|api\.aws"),
    ("aws-cn", r"cn-[a-z]+-[0-9]{1,2}", r"amazonaws\.com\.cn|api\.amazonwebservices\.com\.cn"),
    ("aws-eusc", r"eusc-[a-z]{2}-[a-z]+-[0-9]{1,2}", r"amazonaws\.eu|api\.amazonwebservices\.eu"),
    ("aws", r"(?:us|eu|ap|sa|ca|me|af|il|mx)-[a-z]+-[0-9]{1,2}", r"amazonaws\.com|api\.aws"),
)
PARTITIONS: Final = tuple(sorted(partition for partition, _, _ in _REGIONS))
_URL_RE: Final = re.compile(r"https://(?P<host>[a-z0-9.-]{1,128})/?(?:\?(?P<query>[!-\"$-~]*))?")
_NAME_RE: Final = re.compile(r"[a-z0-9-]{1,64}")
_VALUE_RE: Final = re.compile(r"[!-~](?:[ -~]{0,8190}[!-~])?")
_PAIR_RE: Final = re.compile(r"([A-Za-z0-9.-]{1,64})=((?:[A-Za-z0-9._~/:;-]|%[0-9A-Fa-f]{2})*)")
_CREDENTIAL_RE: Final = re.compile(
    r"([A-Z0-9]{16,128})/([0-9]{8})/([a-z0-9-]{1,32})/([a-z0-9]{1,32})/aws4_request"
)
_AUTHORIZATION_RE: Final = re.compile(
    rf"{_ALGORITHM} Credential=([^, ]+), ?SignedHeaders=([^, ]+), ?Signature=([^, ]+)"
)
_SIGNATURE_RE: Final = re.compile(r"[0-9a-f]{64}")
_DATE_RE: Final = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_EXPIRES_RE: Final = re.compile(r"[1-9][0-9]{0,5}")
_DIGEST_RE: Final = re.compile(r"[0-9a-f]{64}")
_FORMS: Final = frozenset({FORM, f"{FORM}; charset=utf-8", f"{FORM};charset=utf-8"})
_SENT: Final = frozenset(
    {
        "content-type",
        "x-amz-date",
        "x-amz-security-token",
        "x-amz-content-sha256",
        SERVER_HEADER,
        NONCE_HEADER,
    }
)
#: what HTTP libraries add after signing; it is left out
_LEFT_OUT: Final = frozenset({"accept", "accept-encoding", "connection", "user-agent"})
_OF_QUERY: Final = {
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-SignedHeaders",
    "X-Amz-Signature",
}


class Call(msgspec.Struct, frozen=True):
    """One that may be asked for: at which service, with which parameters and no others."""

    service: str
    parameters: Mapping[str, re.Pattern[str]]


GET_CALLER_IDENTITY: Final = Call(
    "sts",
    MappingProxyType({"Action": re.compile("GetCallerIdentity"), "Version": re.compile("2011-06-15")}),
)
DESCRIBE_TAGS: Final = Call(
    "ec2",
    MappingProxyType(
        {
            "Action": re.compile("DescribeTags"),
            "Version": re.compile("2016-11-15"),
            "Filter.1.Name": re.compile("resource-id"),
            "Filter.1.Value.1": re.compile("i-[0-9a-f]{8,17}"),
        }
    ),
)


class Shown(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request as it came: anything may stand in it."""

    url: str
    method: str = "GET"
    headers: dict[str, str] | list[_Header] = []
    body: str = ""

    def __repr__(self) -> str:
        return "Shown(***)"


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    key: str
    value: str


class Proof(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that a machine showed."""

    sts: Shown
    tags: Shown | None = None
    """Asks for the tags of its own instance, signed with the same key."""


class Signed(msgspec.Struct, frozen=True, kw_only=True):
    """A request that may be sent."""

    method: str
    host: str
    query: str
    """Canonical, without the question mark."""
    headers: Mapping[str, str]
    """All of them signed, but for Authorization."""
    body: bytes
    parameters: Mapping[str, str]
    partition: str
    region: str
    server_id: str
    key_id: str
    mark: bytes
    """What it is known again by."""
    until: float
    """It is too old then."""

    def __repr__(self) -> str:
        return f"Signed({self.method} {self.host})"

    @property
    def path(self) -> str:
        """What stands behind the host in its URL."""
        return f"/?{self.query}" if self.query else "/"


class _Signature(msgspec.Struct, frozen=True, kw_only=True):
    """Where a request says how it was signed: in Authorization, or in the query."""

    credential: str
    signed_headers: str
    signature: str
    date: str
    expires_s: float = AGE_MAX_S


def proof_of(subject_token: str) -> Proof:
    """What was shown: one request, or an object that holds it as `sts`. Raises OAuthError.

    As JSON, or as JSON that is percent-encoded once more, which is how Google's libraries have it.
    """
    if len(subject_token) > SUBJECT_MAX_CHARS:
        raise OAuthError("invalid_request", "the signed request is too long")
    text = unquote(subject_token) if subject_token.startswith("%7") else subject_token
    broken = (msgspec.MsgspecError, UnicodeError, RecursionError)
    with contextlib.suppress(*broken):
        return Proof(sts=msgspec.json.decode(text.encode(), type=Shown))
    with contextlib.suppress(*broken):
        return msgspec.json.decode(text.encode(), type=Proof)
    raise OAuthError("invalid_request", "a signed request is JSON of url, method, headers, and nothing else")


def judged(shown: Shown, call: Call, *, now: float) -> Signed:
    """The request, as it may be sent. Raises OAuthError with what is wrong with it.

    Does NOT check for which gateway it is (`server_id`), nor the signature, which AWS does, nor whether it came before.
    """
    # 1. where to: AWS itself, the one service, by a name that only AWS can have
    found = _URL_RE.fullmatch(shown.url)
    if found is None:
        _refuse("the URL must be https://HOST/ with a query at most")
    host = found["host"]
    partition, region = _place(host, call.service)
    # 2. the one call, its parameters in the query or in the body
    query = _parameters(found["query"] or "", "query")
    headers = _headers(shown.headers)
    if shown.method not in {"GET", "POST"} or (shown.method == "GET" and shown.body):
        _refuse("the request must be a GET, or a POST")
    body = _parameters(shown.body, "body")
    of_signing = {name: value for name, value in query.items() if name.startswith("X-Amz-")}
    asked = {name: value for name, value in query.items() if name not in of_signing}
    if asked and body:
        _refuse("the parameters must stand in the query or in the body")
    _check_call(asked or body, call)
    # 3. how it was signed, and when: a moment ago, with a key for this service there
    signature = _signature(headers, of_signing)
    key_id = _key_id(signature, call.service, region)
    until = _until(signature, now)
    # 4. what was signed: all that is sent, and for whom it is
    _check_headers(headers, signature, {"host": host, "content-length": str(len(shown.body))})
    if shown.method == "POST" and headers.get("content-type") not in _FORMS:
        _refuse(f"a POST must be {FORM}")
    _check_digest(headers, shown.body)
    sent = {name: value for name, value in headers.items() if name in _SENT or name == "authorization"}
    return Signed(
        method=shown.method,
        host=host,
        query=_canonical(query),
        headers=MappingProxyType(sent),
        body=shown.body.encode(),
        parameters=MappingProxyType(asked or body),
        partition=partition,
        region=region,
        server_id=headers[SERVER_HEADER],
        key_id=key_id,
        mark=hashlib.sha256(f"{key_id}/{signature.signature}".encode()).digest(),
        until=until,
    )


def _place(host: str, service: str) -> tuple[str, str]:
    """Partition and region of an endpoint of AWS. Threat: SSRF, and an STS of the caller's own that says anything."""
    if service == "sts" and host == "sts.amazonaws.com":
        return "aws", "us-east-1"
    for partition, regions, domains in _REGIONS:
        found = re.fullmatch(rf"{service}(?:-fips)?\.({regions})\.(?:{domains})", host)
        if found is not None:
            return partition, found[1]
    raise OAuthError("invalid_request", f"the URL is not of AWS: {service}.REGION.amazonaws.com")


def _parameters(text: str, where: str) -> dict[str, str]:
    """Names and values, each name once, in the one reading that the text has. Threat: one that AWS reads otherwise."""
    found: dict[str, str] = {}
    for pair in text.split("&") if text else ():
        read = _PAIR_RE.fullmatch(pair)
        if read is None or read[1] in found:
            _refuse(f"the {where} can't be read, or says something twice")
        found[read[1]] = unquote(read[2], errors="replace")
    return found


def _headers(shown: Mapping[str, str] | list[_Header]) -> dict[str, str]:
    """Values by lower-case names, each once."""
    pairs = shown.items() if isinstance(shown, Mapping) else ((one.key, one.value) for one in shown)
    found: dict[str, str] = {}
    for given, value in pairs:
        name = given.lower()
        if not _NAME_RE.fullmatch(name) or not _VALUE_RE.fullmatch(value) or name in found:
            _refuse("a header can't be read, or stands there twice")
        found[name] = value
    return found


def _check_call(asked: Mapping[str, str], call: Call) -> None:
    """Threat: another call in the machine's name, whose answer or effect somebody else is after."""
    action = call.parameters["Action"].pattern
    if asked.get("Action") != action:
        _refuse(f"the call must be {action}")
    if asked.keys() != call.parameters.keys() or not all(
        pattern.fullmatch(asked[name]) for name, pattern in call.parameters.items()
    ):
        _refuse(f"{action} must have these parameters: {', '.join(call.parameters)}")


def _signature(headers: Mapping[str, str], query: Mapping[str, str]) -> _Signature:
    """How it was signed: one way."""
    if "authorization" in headers:
        found = _AUTHORIZATION_RE.fullmatch(headers["authorization"])
        if query or found is None:
            _refuse(f"Authorization must be {_ALGORITHM}, and the query must not be signed too")
        return _Signature(
            credential=found[1],
            signed_headers=found[2],
            signature=found[3],
            date=headers.get("x-amz-date", ""),
        )
    if query.keys() - {"X-Amz-Security-Token"} != _OF_QUERY or query["X-Amz-Algorithm"] != _ALGORITHM:
        _refuse(f"the request must be signed, by {_ALGORITHM}")
    expires = query["X-Amz-Expires"]
    if not _EXPIRES_RE.fullmatch(expires) or int(expires) > EXPIRES_MAX_S:
        _refuse(f"X-Amz-Expires must be {EXPIRES_MAX_S} at most")
    if headers.keys() & {"x-amz-date", "x-amz-security-token"}:
        _refuse("what the query says of signing must not stand in a header too")
    return _Signature(
        credential=query["X-Amz-Credential"],
        signed_headers=query["X-Amz-SignedHeaders"],
        signature=query["X-Amz-Signature"],
        date=query["X-Amz-Date"],
        expires_s=float(expires),
    )


def _key_id(signature: _Signature, service: str, region: str) -> str:
    """Whose key it was signed with, for this service and day."""
    found = _CREDENTIAL_RE.fullmatch(signature.credential)
    if found is None or not _SIGNATURE_RE.fullmatch(signature.signature):
        _refuse("the signature can't be read")
    if (found[3], found[4]) != (region, service):
        _refuse(f"the request must be signed for {service} in {region}")
    if not signature.date.startswith(found[2]):
        _refuse("the key must be of the day of X-Amz-Date")
    return found[1]


def _until(signature: _Signature, now: float) -> float:
    """When it is too old. Threat: one that was found in a log long after."""
    if not _DATE_RE.fullmatch(signature.date):
        _refuse("X-Amz-Date is missing, or is no date")
    try:
        at = datetime.strptime(signature.date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        _refuse("X-Amz-Date is missing, or is no date")
    until = at + min(signature.expires_s, AGE_MAX_S)
    if now >= until:
        _refuse("the request was signed too long ago, or the machine's clock is slow", code="invalid_grant")
    if at > now + AGE_MAX_S:
        _refuse("the request was signed in times to come: the machine's clock is fast", code="invalid_grant")
    return until


def _check_headers(headers: Mapping[str, str], signature: _Signature, implied: Mapping[str, str]) -> None:
    """Threat: a header that nobody signed, and that makes another call of this one, or one for another gateway."""
    signed = signature.signed_headers.split(";")
    known = {*_SENT, *_LEFT_OUT, *implied, "authorization"}
    if strange := sorted(headers.keys() - known):
        _refuse(f"this header may not be sent: {strange[0]}")
    if wrong := sorted(name for name, value in implied.items() if headers.get(name, value) != value):
        _refuse(f"this header must be as the request has it: {wrong[0]}")
    if signed != sorted(set(signed)) or "host" not in signed:
        _refuse("the headers that are signed must be in order, and host among them")
    if SERVER_HEADER not in signed or SERVER_HEADER not in headers:
        _refuse(f"the header {SERVER_HEADER} must be there, and signed", code="invalid_grant")
    if other := sorted({*signed} - {*implied} ^ headers.keys() & _SENT):
        _refuse(f"what is sent must be signed, and what is signed be there: {other[0]}")


def _check_digest(headers: Mapping[str, str], body: str) -> None:
    digest = headers.get("x-amz-content-sha256")
    if digest is None:
        return
    if not _DIGEST_RE.fullmatch(digest) or digest != hashlib.sha256(body.encode()).hexdigest():
        _refuse("x-amz-content-sha256 is not of this body")


def _canonical(query: Mapping[str, str]) -> str:
    """As AWS sorts and encodes it before it looks at the signature."""
    return "&".join(f"{quote(name, safe='-_.~')}={quote(query[name], safe='-_.~')}" for name in sorted(query))


def _refuse(why: str, *, code: OAuthErrorCode = "invalid_request") -> NoReturn:
    raise OAuthError(code, why)
