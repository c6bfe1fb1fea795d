"""What a step of signing in or out comes to: where the browser goes next, with which cookies."""

from __future__ import annotations

import msgspec

from vestibule.model import Session
from vestibule.providers.base import Form


class Choice(msgspec.Struct, frozen=True):
    """One button of the sign-in page."""

    client: str
    """The client's ID in paths."""
    title: str
    """What the button says: the provider's name."""
    url: str
    """Path with destination and hints: `/@ID/signin?rd=…`."""
    kind: str = ""
    """The provider's kind (`google`, `oidc` …): which mark the button bears."""


class Begun(msgspec.Struct, frozen=True):
    """A flow has begun: send the browser (303) to `url` with these Set-Cookie values."""

    url: str
    set_cookies: tuple[str, ...]
    form: Form | None = None
    """What to send there by form, where it isn't a redirect that leads there."""


class Finished(msgspec.Struct, frozen=True):
    """A flow has ended well: send the browser (303) to `location`, a checked path or URL of ours."""

    location: str
    set_cookies: tuple[str, ...]
    session: Session | None = None
    """What it ended in; None when it had ended before, and only its address was asked for again."""


class SignedOut(msgspec.Struct, frozen=True):
    """The session (or one client's part) is over. `location`: the provider's own sign-out page, else ours."""

    location: str
    set_cookies: tuple[str, ...]
    form: Form | None = None
    """What to send there by form, where it isn't a redirect that leads there."""


class Failed(msgspec.Struct, frozen=True):
    """What the page of a failed callback needs."""

    again_url: str
    """Path that starts the same sign-in anew, with its destination: `/@ID/signin?rd=…`."""
    set_cookies: tuple[str, ...]
    rd: str = ""
    """That destination, checked; empty where there is none."""
