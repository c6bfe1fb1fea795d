"""What is checked of `webhook` and `audit` blocks, and what they come to."""

from __future__ import annotations

import re
from typing import Final

from vestibule.config import schema
from vestibule.config.place import Report, nearest
from vestibule.config.schema_webhook import KEEP_S
from vestibule.config.schema_webhook import Webhook as Node
from vestibule.core.event import ANY_APP, APP_RE, NAMES
from vestibule.core.outgoing import checked_url
from vestibule.core.webhook import Webhook, key_of
from vestibule.errors import ProviderInvalid
from vestibule.protocol.address import is_loopback

_ID_RE: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_SECRET: Final = "write `whsec_` and 24 to 64 bytes in base64: echo whsec_$(openssl rand -base64 32)"  # noqa: S105 - advice


def check_webhooks(config: schema.Config, report: Report) -> None:
    """All that is wrong with them goes to *report*."""
    found: dict[str, Node] = {}
    for node in config.webhook:
        if not _ID_RE.fullmatch(node.label):
            report.fault(node.label_at, "a webhook's ID is lower-case letters, digits, `-` and `_`: ops")
        elif node.label in found:
            first = found[node.label].label_at.short
            report.fault(
                node.label_at, f"there are two webhooks named `{node.label}`; the first is at {first}"
            )
        found.setdefault(node.label, node)
        _check_url(node, report)
        _check_secrets(node, report)
        _check_events(node, report)


def webhooks_of(config: schema.Config) -> tuple[Webhook, ...]:
    """The receivers, in the order written."""
    return tuple(
        Webhook(
            id=node.label,
            url=node.url,
            secrets=tuple(secret for secret in (node.secret, node.old_secret) if secret),
            events=frozenset(node.events),
        )
        for node in config.webhook
    )


def audit_keep_s(config: schema.Config) -> float:
    """How long the audit log is kept."""
    return KEEP_S if config.audit is None else config.audit.keep


def _check_url(node: Node, report: Report) -> None:
    if not node.has("url"):
        return
    try:
        url = checked_url(node.url)
    except ProviderInvalid:
        report.fault(node.at("url"), "is no URL of a receiver: https://ops.example.com/hooks/vestibule")
        return
    if url.scheme == "http" and not is_loopback(url.raw_host or ""):
        report.warn(
            node.at("url"), "what is sent by plain http can be read on its way: ids, addresses, devices"
        )


def _check_secrets(node: Node, report: Report) -> None:
    for name in ("secret", "old_secret"):
        # Threat: a secret that can be guessed, or one that receivers read as other bytes than are meant.
        if node.has(name) and key_of(getattr(node, name).reveal()) is None:
            report.fault(node.at(name), f"is no secret of a webhook: {_SECRET}")


def _check_events(node: Node, report: Report) -> None:
    if node.has("events") and not node.events:
        report.fault(node.at("events"), "the list is empty: name events, or leave it out for all")
    for number, name in enumerate(node.events):
        if name not in NAMES and name != ANY_APP and not APP_RE.fullmatch(name):
            place = node.at("events", number)
            known = f"{', '.join(NAMES)}, and {ANY_APP}"
            report.fault(place, f"there is no event `{name}`: {known}{nearest(name, NAMES)}")
