"""The keyring of a desktop (Secret Service, KWallet, macOS, Windows), where there is one and `keyring` is installed.

A machine without a desktop has none; `keyring`'s own ways of leaving it alone hold here, too
(`PYTHON_KEYRING_BACKEND=keyring.backends.null.Keyring`).
"""

from __future__ import annotations

import importlib
from typing import Any, Final, Protocol

from vestibule.errors import ClientError
from vestibule.model import Secret

SERVICE: Final = "vestibule"


class Keychain(Protocol):
    """Holds one secret for each name. Every method raises ClientError `keyring_unusable`."""

    def get(self, name: str) -> Secret | None:
        """The secret; None: there is none of that name."""

    def set(self, name: str, secret: Secret) -> None:
        """Keep it, in place of the one before."""

    def delete(self, name: str) -> None:
        """Forget it; nothing for what is not there."""


def found() -> Keychain | None:
    """The keyring of this desktop; None: there is none that can be used."""
    try:
        keyring = importlib.import_module("keyring")
    except ImportError:
        return None
    backend = keyring.get_keyring()
    # Those that keep nothing, and those that have nothing to keep it in, say so by a priority that is not positive.
    return Keyring(keyring) if getattr(backend, "priority", 0) > 0 else None


class Keyring:
    """A Keychain by the library of that name."""

    def __init__(self, library: Any) -> None:
        self._library = library

    def get(self, name: str) -> Secret | None:
        """The secret; None: there is none of that name."""
        try:
            secret = self._library.get_password(SERVICE, name)
        except Exception as error:  # noqa: BLE001 - each backend has errors of its own
            raise _unusable(error) from None
        return None if secret is None else Secret(secret)

    def set(self, name: str, secret: Secret) -> None:
        """Keep it, in place of the one before."""
        try:
            self._library.set_password(SERVICE, name, secret.reveal())
        except Exception as error:  # noqa: BLE001 - each backend has errors of its own
            raise _unusable(error) from None

    def delete(self, name: str) -> None:
        """Forget it; nothing for what is not there."""
        try:
            self._library.delete_password(SERVICE, name)
        except self._library.errors.PasswordDeleteError:
            return
        except Exception as error:  # noqa: BLE001 - each backend has errors of its own
            raise _unusable(error) from None


def _unusable(error: Exception) -> ClientError:
    return ClientError(f"the keyring can't be used: {type(error).__name__}", code="keyring_unusable")
