"""Who shows a credential of their own with each request: in Authorization, instead of a browser's cookie."""

from __future__ import annotations

from vestibule.core.route import Host
from vestibule.errors import ClientError
from vestibule.model import Caller


class Callers:
    """Judges what stands in Authorization."""

    def takes(self, _host: Host, _authorization: bytes) -> bool:
        """True where this value is for the gateway to judge; else it is the backend's."""
        return False

    def peek(self, _host: Host, _authorization: bytes) -> Caller | None:
        """Whose it is, if that is known already; None says nothing but: ask `load`."""
        return None

    async def load(self, _host: Host, _authorization: bytes, _address: str, _now: float) -> Caller:
        """Whose it is. Raises ClientError (401, 429), StoreError, ProviderUnavailable."""
        raise ClientError("the token is not valid", code="invalid_token", status=401)
