"""TXT records as the DNS of the machine answers them: what a domain says of itself."""

from __future__ import annotations

import importlib
from typing import Final

from vestibule.errors import ProviderUnavailable

ASK_S: Final = 5.0
"""How long all of it may take."""


async def texts_of(name: str) -> tuple[str, ...]:
    """The texts at this name; none where there is no such name or record. Raises ProviderUnavailable."""
    # dnspython, which hardly anybody needs, is imported by who comes here.
    resolver = importlib.import_module("dns.asyncresolver")
    faults = importlib.import_module("dns.exception")
    resolving = importlib.import_module("dns.resolver")
    try:
        answer = await resolver.resolve(name, "TXT", lifetime=ASK_S, search=False)
    except (resolving.NXDOMAIN, resolving.NoAnswer):
        return ()
    except (faults.DNSException, OSError, ValueError) as exc:
        raise ProviderUnavailable("The DNS does not answer just now.", detail=type(exc).__name__) from exc
    return tuple(b"".join(record.strings).decode("utf-8", "replace") for record in answer)
