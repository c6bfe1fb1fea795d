"""What the blocks of identity clients may hold: `provider` and `oauth`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from vestibule.config.schema_lifetimes import SessionLifetimes
from vestibule.config.shape import Node


class AuthorizeParameter(Node, kw_only=True):
    """A parameter to add to the authorization URL."""

    REQUIRED: ClassVar[tuple[str, ...]] = ("name", "value")

    name: str = ""
    """Its name."""
    value: str = ""
    """Its value."""


class OAuth(Node, kw_only=True):
    """A plain OAuth 2.0 client with explicit URLs, as in IO.

    The redirect URL to register is `https://HOST/@ID/callback`. It yields credentials for `call` blocks,
    and tells who the person is only with `userinfo_url` or a known `type`.
    """

    LABEL: ClassVar[str] = "the client's ID"
    OPEN: ClassVar[bool] = True
    LATER: ClassVar[Mapping[str, str]] = {"credentials": "credentials stay with the session"}

    type: str = ""
    """A known kind (`google`, `github`, `oidc`), which then says who people are; it knows its URLs."""
    authorize_parameter: tuple[AuthorizeParameter, ...] = ()
    """Parameters to add to the authorization URL; any number of blocks."""
    lifetimes: SessionLifetimes | None = None
    """How long sessions live whose person came by it."""


class Provider(Node, kw_only=True):
    """A known kind of identity provider.

    At top level it serves every host that lists it in `sign_in`; inside a host, that host. The redirect URL
    to register is `https://HOST/@ID/callback`.
    """

    LABEL: ClassVar[str] = "the client's ID"
    OPEN: ClassVar[bool] = True
    LATER: ClassVar[Mapping[str, str]] = {
        "credentials": "credentials stay with the session",
        "restriction": "",
    }

    type: str = ""
    """Its kind; without it, the ID is the kind (`google`, `github`). `oidc` is any OpenID provider."""
    authorize_parameter: tuple[AuthorizeParameter, ...] = ()
    """Parameters to add to the authorization URL; any number of blocks."""
    lifetimes: SessionLifetimes | None = None
    """How long sessions live whose person came by it."""
