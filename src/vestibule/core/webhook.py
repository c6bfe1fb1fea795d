"""Webhooks: who is told of which events, in signed messages (Standard Webhooks 1.0.0), and when one is tried again."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime
from typing import Final

import msgspec

from vestibule.core.event import ANY_APP, APP_RE, Event
from vestibule.model import Secret

PREFIX: Final = "whsec_"
KEY_MIN_BYTES: Final = 24
KEY_MAX_BYTES: Final = 64
LIFE_S: Final = 24 * 3600.0
"""For how long a message is tried."""
WAITS_S: Final = (5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0, 2 * 3600.0, 4 * 3600.0)
"""Between one try and the next; the last one goes on."""


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """One receiver."""

    id: str
    url: str
    secrets: tuple[Secret, ...]
    """What messages are signed with, the newest first."""
    events: frozenset[str] = frozenset()
    """Names of those it is told of; empty: all but what applications tell."""

    def takes(self, event: Event) -> bool:
        """True for an event that it is told of."""
        if APP_RE.fullmatch(event.action):
            return event.action in self.events or ANY_APP in self.events
        return not self.events or event.action in self.events


def key_of(secret: str) -> bytes | None:
    """The key in a secret as the specification writes them (`whsec_` and base64), 24 to 64 bytes; else None."""
    if not secret.startswith(PREFIX):
        return None
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except ValueError:
        return None
    return key if KEY_MIN_BYTES <= len(key) <= KEY_MAX_BYTES else None


def message_of(event: Event) -> bytes:
    """The body: `type`, `timestamp`, `data`."""
    at = datetime.fromtimestamp(event.at, UTC)
    data = {
        "id": event.id,
        "outcome": event.outcome,
        "actor": event.actor,
        "target": event.target,
        "user_id": event.user_id,
        "session_id": event.session_id,
        "host": event.host,
        "address": event.address,
        "device": event.device,
        "request_id": event.request_id,
        "detail": event.detail,
    }
    stamp = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return msgspec.json.encode({"type": event.action, "timestamp": stamp, "data": data})


class _Typed(msgspec.Struct, frozen=True):
    type: str = ""


def action_of(body: bytes) -> str:
    """The name of the event that a message is about; empty where it isn't one of ours."""
    try:
        return msgspec.json.decode(body, type=_Typed).type
    except (msgspec.DecodeError, UnicodeError):
        return ""


def headers_of(webhook: Webhook, message_id: str, body: bytes, now: float) -> dict[str, str]:
    """What goes with a message that is sent now: signed with each of the secrets.

    Spec: Standard Webhooks 1.0.0, "Signature scheme". Threat: somebody else's message, an altered one, and (by the
    time in it, which receivers check) one that was caught and is sent again.
    """
    at = str(int(now))
    signed = b".".join((message_id.encode(), at.encode(), body))
    marks = (hmac.digest(key_of(one.reveal()) or b"", signed, hashlib.sha256) for one in webhook.secrets)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": at,
        "webhook-signature": " ".join(f"v1,{base64.b64encode(mark).decode()}" for mark in marks),
    }


def next_at(created_at: float, tries: int, now: float) -> float | None:
    """When it is tried again after `tries` failures; None when its day is over."""
    at = now + WAITS_S[min(tries, len(WAITS_S)) - 1]
    return at if at < created_at + LIFE_S else None
