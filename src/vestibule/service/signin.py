"""Signing in and out, from the click to the cookie: what the pages of the control plane call.

SKELETON: signatures are final, bodies follow.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from vestibule.service.visit import Visit


class Begun(msgspec.Struct, frozen=True):
    """A flow has begun: send the browser (303) to `url` with these Set-Cookie values."""

    url: str
    set_cookies: tuple[str, ...]


class Finished(msgspec.Struct, frozen=True):
    """A flow has ended well: send the browser (303) to `location`, a checked path or URL of ours."""

    location: str
    set_cookies: tuple[str, ...]


class SignedOut(msgspec.Struct, frozen=True):
    """The session (or one client's part) is over. `location`: the provider's own sign-out page, else ours."""

    location: str
    set_cookies: tuple[str, ...]


class Failed(msgspec.Struct, frozen=True):
    """What the page of a failed callback needs."""

    again_url: str
    """Path that starts the same sign-in anew, with its destination: `/@ID/signin?rd=…`."""
    set_cookies: tuple[str, ...]


class Choice(msgspec.Struct, frozen=True):
    """One button of the sign-in page."""

    client: str
    """The client's ID in paths."""
    title: str
    """What the button says: the provider's name."""
    url: str
    """Path with destination and hints: `/@ID/signin?rd=…`."""


class SignIn:
    """Everything the paths `/@ID/…`, `/@/signin` and `/@/signout` do. `client` is always the ID in the path.

    Every method may raise ClientError (code `client_unknown`, 404) and StoreError.
    """

    def chooser(
        self, visit: Visit, *, rd: str = "", hints: Mapping[str, str] | None = None
    ) -> tuple[Choice, ...]:
        """The host's providers in their order; one choice: go straight to its url."""
        raise NotImplementedError

    async def begin(
        self, visit: Visit, client: str, *, rd: str = "", hints: Mapping[str, str] | None = None
    ) -> Begun:
        """Start a flow. `rd` may be anything a client sent: it is checked here. Raises ProviderError."""
        raise NotImplementedError

    async def finish(self, visit: Visit, client: str, params: Mapping[str, str]) -> Finished:
        """End a flow; `params` are the callback's, one sent twice left out. Raises FlowError, ProviderError.

        Refusals (`other_person`, `user_disabled`) are ClientErrors with status 403. On any error the page
        gets its way back from `failed()`.
        """
        raise NotImplementedError

    def failed(self, visit: Visit, client: str, params: Mapping[str, str]) -> Failed:
        """The way back after `finish` raised; raises nothing itself."""
        raise NotImplementedError

    async def sign_out(self, visit: Visit, client: str | None = None, *, rd: str = "") -> SignedOut:
        """Drop one client's credentials, or (None) end the session everywhere.

        The caller has checked that the request is the person's own (Sec-Fetch-Site, Origin).
        """
        raise NotImplementedError
