"""Asks what a platform has on each of its machines for the programs there (metadata servers, agents)."""

from __future__ import annotations

import contextlib
import ipaddress
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from http.client import HTTPException
from typing import Any, Final, cast
from urllib.parse import urlsplit

import msgspec

from vestibule.errors import ClientError

TIMEOUT_S: Final = 5.0
ANSWER_MAX_BYTES: Final = 64 * 1024
_AGENTS: Final = frozenset({"169.254.170.2", "169.254.170.23", "fd00:ec2::23"})
"""Where AWS has its agents."""


class _Stays(urllib.request.HTTPRedirectHandler):
    """Threat: a redirect that takes along what was for the platform alone."""

    def redirect_request(self, *_arguments: Any) -> None:
        """Nowhere."""


def asked(
    url: str,
    *,
    headers: Mapping[str, str],
    method: str = "GET",
    body: bytes | None = None,
    is_near: bool = True,
    why: Callable[[bytes], str] = lambda _body: "",
    what: str,
) -> bytes:
    """What is answered with 200. Raises ClientError, which says *what* can't be had, and no part of the answer.

    `is_near`: it is on this machine or beside it, so that no proxy leads there. `why`: what may be told of a refusal.
    """
    near = (urllib.request.ProxyHandler({}),) if is_near else ()
    opener = urllib.request.build_opener(_Stays, *near)
    told = ""
    request = urllib.request.Request(url, data=body, headers=dict(headers), method=method)  # noqa: S310 - of the platform's
    try:
        with opener.open(request, timeout=TIMEOUT_S) as answer:
            return cast("bytes", answer.read(ANSWER_MAX_BYTES))
    except urllib.error.HTTPError as error:
        with contextlib.suppress(OSError, HTTPException), error:
            told = why(error.read(ANSWER_MAX_BYTES))
        reason = f"status {error.code} {told}".rstrip()
    except (OSError, ValueError, HTTPException) as error:
        reason = type(error).__name__ if isinstance(error, ValueError) else str(error)
    raise ClientError(f"{what} can't be had from {urlsplit(url).netloc}: {reason}", code="platform_silent")


def member(body: bytes, name: str, what: str) -> str:
    """A text of a JSON object. Raises ClientError, without any of the answer."""
    try:
        found = msgspec.json.decode(body, type=dict[str, Any]).get(name)
    except msgspec.MsgspecError:
        found = None
    if not isinstance(found, str) or not found:
        raise ClientError(f"{what}: the answer has no {name}", code="platform_answer")
    return found


def is_beside(host: str) -> bool:
    """True for this machine, and for where AWS has its agents."""
    try:
        return host in _AGENTS or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
