"""Signs a request to AWS (Signature Version 4), so that whoever has it can send it and nobody can change it.

Spec: AWS "Signature Version 4: Create a signed request".
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote, urlsplit

import msgspec

from vestibule.model import Secret

ALGORITHM: Final = "AWS4-HMAC-SHA256"


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """What AWS gave somebody to sign with."""

    key_id: str
    secret: Secret
    token: Secret | None = None
    """Of a session: stands in each request."""

    def __repr__(self) -> str:
        return "Credentials(***)"


def signed_headers(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes = b"",
    *,
    credentials: Credentials,
    region: str,
    service: str,
    now: float,
) -> dict[str, str]:
    """The headers, all signed, with Host, X-Amz-Date, the session's token and Authorization; names in lower case.

    The query of the URL must be encoded as AWS does it: all but letters, digits and `-_.~`.
    """
    parts = urlsplit(url)
    at = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    sent = {name.lower(): " ".join(value.split()) for name, value in headers.items()}
    sent |= {"host": parts.netloc, "x-amz-date": at}
    if credentials.token is not None:
        sent["x-amz-security-token"] = credentials.token.reveal()
    names = ";".join(sorted(sent))
    scope = f"{at[:8]}/{region}/{service}/aws4_request"
    canonical = "\n".join(
        (
            method,
            quote(parts.path or "/", safe="/-_.~"),
            _canonical(parts.query),
            *(f"{name}:{sent[name]}" for name in sorted(sent)),
            "",
            names,
            hashlib.sha256(body).hexdigest(),
        )
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    signature = _mac(_key(credentials.secret, scope), f"{ALGORITHM}\n{at}\n{scope}\n{digest}").hex()
    sent["authorization"] = (
        f"{ALGORITHM} Credential={credentials.key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return sent


def _canonical(query: str) -> str:
    pairs = (pair.partition("=") for pair in query.split("&") if pair)
    return "&".join(f"{name}={value}" for name, _, value in sorted(pairs))


def _key(secret: Secret, scope: str) -> bytes:
    """A key for one day, region and service alone."""
    key = b"AWS4" + secret.reveal().encode()
    for part in scope.split("/"):
        key = _mac(key, part)
    return key


def _mac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
