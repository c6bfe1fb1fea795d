"""The real Keycloak as a test's identity provider: starts it, makes realms, and does what their admins do."""

from __future__ import annotations

import json
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from html import unescape
from pathlib import Path
from typing import Any, Final

import pytest

from tests.process import Process
from tests.real.openid import PEOPLE

HOME: Final = Path(__file__).parents[2] / "build" / "keycloak-26.3.0"
ADMIN: Final = "admin"
PASSWORD: Final = "secret-of-a-test"
START_WITHIN_S: Final = 180.0
ACCESS_TOKEN_S: Final = 60


class Keycloak:
    """A running server; `realm()` makes a realm for one test."""

    def __init__(self, port: int) -> None:
        if not (HOME / ".built").is_file():
            pytest.fail("Keycloak is not installed: run `tools/keycloak.sh` (make test does it)")
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._token = ""
        self._realms = 0
        options = ("--optimized", "--cache=local", "--http-enabled=true", "--http-host=127.0.0.1")
        self.process = Process(
            "keycloak",
            [
                "bash",
                HOME / "bin" / "kc.sh",
                "start",
                *options,
                f"--http-port={port}",
                f"--hostname={self.url}",
            ],
            env={
                "JAVA_OPTS_KC_HEAP": "-Xms64m -Xmx512m",
                # JGroups, which has nobody to talk to here, takes any address it finds.
                "JAVA_OPTS_APPEND": "-Djgroups.bind.address=127.0.0.1",
                "KC_BOOTSTRAP_ADMIN_USERNAME": ADMIN,
                "KC_BOOTSTRAP_ADMIN_PASSWORD": PASSWORD,
                "PATH": os.environ["PATH"],
            },
        )

    def wait(self) -> None:
        """Returns once it listens."""
        self.process.wait_port(self.port, within_s=START_WITHIN_S)

    def realm(
        self, *redirect_uris: str, logout: str = "", attributes: Mapping[str, str] | None = None
    ) -> Realm:
        """A new realm with the people of `PEOPLE`, and this client for them to sign in with.

        `logout`: `front` for a client that is told of it by the browser; `attributes`: further ones of the client.
        """
        self._realms += 1
        realm = Realm(self, f"test-{self._realms}")
        client = {"frontchannelLogout": logout == "front", "attributes": attributes or {}}
        self.ask("POST", "/admin/realms", representation(realm.name, redirect_uris, client))
        return realm

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """What the admin API answers; None where it answers nothing."""
        try:
            return self._asked(method, path, body)
        except urllib.error.HTTPError as error:
            if error.code != 401:
                pytest.fail(f"{method} {path}: {error.code} {error.read().decode('utf-8', 'replace')}")
        self._token = self._signed_in()
        return self._asked(method, path, body)

    def read_description(self, realm: str, xml: bytes) -> Any:
        """The client that SAML metadata describe, as an admin imports it."""
        self.ask("GET", f"/admin/realms/{realm}")
        return self._asked("POST", f"/admin/realms/{realm}/client-description-converter", xml)

    def _asked(self, method: str, path: str, body: Any) -> Any:
        is_raw = isinstance(body, bytes)
        data = body if is_raw or body is None else json.dumps(body).encode()
        content_type = "application/xml" if is_raw else "application/json"
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": content_type}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def _signed_in(self) -> str:
        form = {"grant_type": "password", "client_id": "admin-cli", "username": ADMIN, "password": PASSWORD}
        place = f"{self.url}/realms/master/protocol/openid-connect/token"
        with urllib.request.urlopen(place, urllib.parse.urlencode(form).encode(), timeout=60) as answer:
            return str(json.load(answer)["access_token"])


class Realm:
    """One realm and what its admin does there."""

    def __init__(self, server: Keycloak, name: str) -> None:
        self.server = server
        self.name = name
        self.issuer = f"{server.url}/realms/{name}"

    def rotate_keys(self) -> None:
        """Signs with a new key from now on; the old ones stay good for what they have signed."""
        component = {
            "name": "newer",
            "providerId": "rsa-generated",
            "providerType": "org.keycloak.keys.KeyProvider",
            "config": {"priority": ["900"], "keySize": ["2048"], "algorithm": ["RS256"]},
        }
        self._ask("POST", "/components", component)

    def key_ids(self) -> set[str]:
        """The `kid`s of the keys the realm signs RS256 with, or did."""
        return {key["kid"] for key in self._ask("GET", "/keys")["keys"] if key.get("algorithm") == "RS256"}

    def end_sessions(self, login: str) -> None:
        """Signs a person out of everything, as an admin does."""
        self._ask("POST", f"/users/{self.id_of(login)}/logout")

    def end_session(self, login: str) -> None:
        """Ends the person's newest session, as an admin does."""
        sessions = self._ask("GET", f"/users/{self.id_of(login)}/sessions")
        newest = max(sessions, key=lambda one: (one["start"], one["lastAccess"]))
        self._ask("DELETE", f"/sessions/{newest['id']}")

    def sessions(self, login: str) -> int:
        """How many sessions the person has here."""
        return len(self._ask("GET", f"/users/{self.id_of(login)}/sessions"))

    def take_role(self, login: str, role: str) -> None:
        """Takes a realm role from a person."""
        self._ask(
            "DELETE", f"/users/{self.id_of(login)}/role-mappings/realm", [self._ask("GET", f"/roles/{role}")]
        )

    def leave_group(self, login: str, path: str) -> None:
        """Takes a person out of a group."""
        group = self._ask("GET", f"/group-by-path/{path}")
        self._ask("DELETE", f"/users/{self.id_of(login)}/groups/{group['id']}")

    def client(self, client_id: str) -> Any:
        """A client as its admin sees it."""
        [found] = self._ask("GET", f"/clients?clientId={urllib.parse.quote(client_id, safe='')}")
        return found

    def change_client(self, client: Mapping[str, Any]) -> None:
        """Has the client be so."""
        self._ask("PUT", f"/clients/{client['id']}", client)

    def id_of(self, login: str) -> str:
        """A person's id, which is their `sub`."""
        [person] = self._ask("GET", f"/users?exact=true&username={login}")
        return str(person["id"])

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        return self.server.ask(method, f"/admin/realms/{self.name}{path}", body)


def representation(name: str, redirect_uris: tuple[str, ...], client: Mapping[str, Any]) -> dict[str, Any]:
    """A realm as Keycloak imports it: people, realm roles, roles of two clients, groups in the tokens."""
    return {
        "realm": name,
        "enabled": True,
        "sslRequired": "none",
        "accessTokenLifespan": ACCESS_TOKEN_S,
        "revokeRefreshToken": True,
        "roles": {
            "realm": [{"name": "editor"}, {"name": "auditor"}],
            "client": {"app": [{"name": "writer"}], "billing": [{"name": "reader"}]},
        },
        "groups": [{"name": "staff", "subGroups": [{"name": "berlin"}]}, {"name": "guests"}],
        "clients": [
            {
                "clientId": "app",
                "secret": "app-secret",
                "redirectUris": list(redirect_uris),
                "protocolMappers": [_GROUPS],
                **client,
                "attributes": {"post.logout.redirect.uris": "+", **client["attributes"]},
            },
            {"clientId": "billing", "secret": "billing-secret", "standardFlowEnabled": False},
        ],
        "users": [_user(login, person, f"default-roles-{name}") for login, person in PEOPLE.items()],
    }


_GROUPS: Final[Mapping[str, Any]] = {
    "name": "groups",
    "protocol": "openid-connect",
    "protocolMapper": "oidc-group-membership-mapper",
    "config": {"claim.name": "groups", "full.path": "true", "id.token.claim": "true"},
}
_HELD: Final[Mapping[str, Mapping[str, Any]]] = {
    "alice": {
        "realmRoles": ["editor", "auditor"],
        "clientRoles": {"app": ["writer"], "billing": ["reader"]},
        "groups": ["/staff/berlin"],
    },
    "bob": {"groups": ["/guests"]},
}


def _user(login: str, person: Mapping[str, Any], default_role: str) -> dict[str, Any]:
    held = _HELD.get(login, {})
    first, _, last = person["name"].partition(" ")
    return {
        "username": login,
        "enabled": True,
        "email": f"{login}@example.com",
        "emailVerified": person["email_verified"],
        "firstName": first,
        "lastName": last or first,
        "credentials": [{"type": "password", "value": login, "temporary": False}],
        **held,
        "realmRoles": [default_role, *held.get("realmRoles", ())],
    }


def form_of(page: str) -> str:
    """Where the login page's form goes."""
    found = re.search(r'<form[^>]*\baction="([^"]+)"', page)
    assert found, page
    return unescape(found[1])
