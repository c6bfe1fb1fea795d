"""Backends that are no servers: a directory, or an application built in."""

from __future__ import annotations

from vestibule.core.route import Backend
from vestibule.errors import BackendError, NotFound
from vestibule.proxy.account import Account
from vestibule.proxy.echo import Echo
from vestibule.proxy.exchange import Exchange
from vestibule.proxy.passing import Way
from vestibule.proxy.static import Directory

_NOWHERE = Backend()


class Internals:
    """Hands each exchange to what its backend names."""

    def __init__(self, directory: Directory, echo: Echo, account: Account) -> None:
        self._directory = directory
        self._echo = echo
        self._account = account

    def begin(self, exchange: Exchange, backend: Backend, lines: list[bytes], way: Way | None = None) -> None:
        """Answer the exchange; `way` is what its route makes of it.

        Raises NotFound where there is no backend at all, BackendError for one that is none of them.
        """
        if backend == _NOWHERE:
            raise NotFound("requests to this host are its edge's to send on", code="no_backend")
        if backend.static_dir:
            self._directory.begin(exchange, backend, lines, way)
        elif backend.internal == "echo":
            self._echo.begin(exchange, backend, lines, way)
        elif backend.internal == "account":
            self._account.begin(exchange)
        else:
            raise BackendError("there is no such backend", detail=f"internal:{backend.internal}")

    def close(self) -> None:
        """Start nothing more."""
        self._directory.close()
