"""The real oidc-provider (npm) as a test's identity provider: starts it, and makes it do what providers do."""

from __future__ import annotations

import json
import signal
import socket
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.process import Process
from tests.real.node_home import node_binary

NODE = Path(__file__).parent / "node"

PEOPLE: Mapping[str, Mapping[str, Any]] = {
    "alice": {
        "email": "alice@example.com",
        "email_verified": True,
        "name": "Alice Ängström",
        "preferred_username": "alice",
        "groups": ["admins", "staff, all"],
    },
    "bob": {
        "email": "bob@example.com",
        "email_verified": True,
        "name": "Bob",
        "preferred_username": "bob",
        "groups": ["staff, all"],
    },
    "mallory": {"email": "alice@example.com", "email_verified": False, "name": "Mallory", "groups": []},
}


def client(client_id: str, *redirect_uris: str, **metadata: Any) -> dict[str, Any]:
    """A confidential client for code and refresh; its secret is `ID-secret`."""
    return {
        "client_id": client_id,
        "client_secret": f"{client_id}-secret",
        "redirect_uris": list(redirect_uris),
        "grant_types": ["authorization_code", "refresh_token", "client_credentials"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "client_secret_basic",
        **metadata,
    }


class OpenId:
    """A running provider; `issuer` is its address, and every person may sign in without a password."""

    def __init__(
        self,
        port: int,
        clients: Sequence[Mapping[str, Any]],
        *,
        people: Mapping[str, Mapping[str, Any]] = PEOPLE,
        access_token_ttl_s: int = 3600,
        claims_in_id_token: bool = False,
    ) -> None:
        settings = {
            "port": port,
            "clients": list(clients),
            "people": people,
            "accessTokenTtl": access_token_ttl_s,
            "conformIdTokenClaims": not claims_in_id_token,
        }
        self.port = port
        self.issuer = f"http://127.0.0.1:{port}"
        if not (NODE / "node_modules" / "oidc-provider").is_dir():
            pytest.fail("oidc-provider is not installed: run `make tests/real/node/node_modules/.installed`")
        self.process = Process("oidc-provider", [node_binary(), NODE / "provider.mjs", json.dumps(settings)])

    def wait(self) -> None:
        """Returns once it listens."""
        self.process.wait_log("ready ")
        self.process.wait_port(self.port)

    def rotate_keys(self) -> None:
        """Signs with new keys from now on, and publishes only those."""
        self._control("rotate-keys")

    def revoke(self, account: str | None = None) -> None:
        """Takes back every grant of that person, or of everybody: its tokens are refused from now on."""
        self._control("revoke", account=account)

    def end_sessions(self, account: str, *, newest: bool = False, uri: str = "") -> list[str]:
        """Ends that person's sessions (the newest alone), and tells each client; `told`, or what went wrong.

        `uri`: where clients are told, instead of what they registered.
        """
        return list(self._control("end-sessions", account=account, newest=newest, uri=uri))

    def counts(self) -> dict[str, int]:
        """How often each path was asked for (`POST /token`), and each grant made (`grant refresh_token 200`)."""
        return dict(self._control("counts"))

    def trouble(self, path: str, *, times: int = 1, **what: Any) -> None:
        """The next `times` requests for `path` (`*`: any) go wrong.

        `status` (and `body`): answers that. `html`: answers that page. `drop=True`: hangs up. `delay_ms`: waits first.
        `late_ms`: does it, and answers that much later.
        `omit=[…]`: a token answer without these members.
        """
        self._control("trouble", path=path, times=times, **what)

    def calm(self) -> None:
        """No more trouble."""
        self._control("calm")

    def go_down(self) -> None:
        """Stops listening and drops every connection; keeps what it knows."""
        self.process.signal(signal.SIGUSR2)
        self.process.wait_until(lambda: not _accepts(self.port), "stops listening")

    def come_back(self) -> None:
        """Listens again."""
        self.process.signal(signal.SIGUSR2)
        self.process.wait_port(self.port)

    def _control(self, name: str, **given: Any) -> Any:
        body = json.dumps(given).encode()
        with urllib.request.urlopen(f"{self.issuer}/control/{name}", body, timeout=60) as answer:
            return json.load(answer)


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
