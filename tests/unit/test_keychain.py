"""The keyring of a desktop, by the library that knows them all."""

from __future__ import annotations

import sys

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked, PasswordDeleteError

from vestibule import keychain
from vestibule.errors import ClientError
from vestibule.model import Secret


class Desktop(KeyringBackend):
    """Keeps secrets as desktops do, in memory."""

    priority = 5

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}
        self.is_locked = False

    def _check(self) -> None:
        if self.is_locked:
            raise KeyringLocked("canary-secret")

    def get_password(self, service: str, username: str) -> str | None:
        self._check()
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._check()
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        self._check()
        if self.kept.pop((service, username), None) is None:
            raise PasswordDeleteError("there is none")


class Nothing(Desktop):
    priority = 0


@pytest.fixture
def desktop(request):
    before, desktop = keyring.get_keyring(), getattr(request, "param", Desktop)()
    keyring.set_keyring(desktop)
    yield desktop
    keyring.set_keyring(before)


def test_a_secret_is_kept_found_and_forgotten(desktop):
    chain = keychain.found()
    assert chain is not None
    chain.set("https://a.example", Secret("one"))
    chain.set("https://a.example", Secret("two"))
    assert desktop.kept == {("vestibule", "https://a.example"): "two"}
    assert chain.get("https://a.example") == Secret("two")
    chain.delete("https://a.example")
    chain.delete("https://a.example")
    assert chain.get("https://a.example") is None


@pytest.mark.parametrize("desktop", [Nothing], indirect=True)
def test_one_that_keeps_nothing_is_none(desktop):
    assert keychain.found() is None


def test_without_the_library_there_is_none(monkeypatch):
    monkeypatch.setitem(sys.modules, "keyring", None)
    assert keychain.found() is None


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(lambda chain: chain.get("a"), id="get"),
        pytest.param(lambda chain: chain.set("a", Secret("canary-secret")), id="set"),
        pytest.param(lambda chain: chain.delete("a"), id="delete"),
    ],
)
def test_a_locked_one_is_told_and_nothing_else(desktop, ask):
    chain = keychain.found()
    desktop.is_locked = True
    with pytest.raises(ClientError) as caught:
        ask(chain)
    assert (caught.value.code, str(caught.value)) == (
        "keyring_unusable",
        "the keyring can't be used: KeyringLocked",
    )
