"""A provider that is found by one URL: OAuth 2.0 at paths below it, and an API that says who holds a token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import msgspec

from vestibule.providers.kit import Flow
from vestibule.providers.oauth2 import Endpoints, PersonConfig, Userinfo
from vestibule.providers.place import check_url


class Paths(msgspec.Struct, frozen=True):
    """Where below its URL such a provider does what."""

    authorize: str
    token: str
    userinfo: str
    revoke: str = ""


class ServerConfig(PersonConfig, frozen=True, kw_only=True):
    """What the client of such a provider has."""

    web_url: str
    """Where it is."""

    def __post_init__(self) -> None:
        """Raise ValueError for what can't work."""
        super().__post_init__()
        check_url("web_url", self.web_url, is_required=True)


class Server(Userinfo):
    """The dance there. A kind gives `paths` and `default_claims`, and `document` where the answer is no flat object."""

    hints: ClassVar[Mapping[str, str]] = {}
    paths: ClassVar[Paths]

    def __init__(self, config: ServerConfig) -> None:
        super().__init__(config)
        self.web_url = config.web_url.rstrip("/")

    def endpoints(self) -> Flow[Endpoints]:
        """Its URLs."""
        yield from ()
        paths = self.paths
        return Endpoints(
            authorize_url=f"{self.web_url}{paths.authorize}",
            token_url=f"{self.web_url}{paths.token}",
            userinfo_url=f"{self.web_url}{paths.userinfo}",
            revoke_url=f"{self.web_url}{paths.revoke}" if paths.revoke else "",
        )

    def issuer_of(self, at: Endpoints) -> str:
        """The server, path and all: what another puts at a path of the same host is another's."""
        del at
        return self.web_url
