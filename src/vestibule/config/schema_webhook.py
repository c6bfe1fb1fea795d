"""What the blocks `webhook` and `audit` may hold."""

from __future__ import annotations

from typing import ClassVar

from vestibule.config.shape import Node
from vestibule.config.value import Seconds
from vestibule.model import Secret

KEEP_S = Seconds(366 * 86400.0)


class Webhook(Node, kw_only=True):
    """A program of yours that is told what happens: sign-ins, sign-outs, new devices. See `docs/webhooks.md`.

    Each event is one POST of JSON, signed as Standard Webhooks has it. It is tried until it is answered 2xx, for a day.
    """

    LABEL: ClassVar[str] = "its ID"
    REQUIRED: ClassVar[tuple[str, ...]] = ("url", "secret")

    url: str = ""
    """Where it is: `"https://ops.example.com/hooks/vestibule"`. Redirects are not followed."""
    secret: Secret = Secret("")
    """What messages are signed with, as in `"${env("HOOK_SECRET")}"`: `whsec_` and 24 to 64 random bytes in base64
    (`echo whsec_$(openssl rand -base64 32)`)."""
    old_secret: Secret = Secret("")
    """The one before, while receivers change over: messages are signed with both."""
    events: tuple[str, ...] = ()
    """Names of the events it is told of, as in `["session.new_device"]`. Without it: all."""


class Audit(Node, kw_only=True):
    """The audit log: what happened, in the database. `vestibule audit` shows it. May be split like `gateway`."""

    keep: Seconds = KEEP_S
    """How long it is kept (366 days)."""
