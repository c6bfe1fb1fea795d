"""TLS towards backends and APIs: how they prove who they are, and what the gateway shows them."""

from __future__ import annotations

import ssl
from functools import lru_cache

from vestibule.core.route import Trust
from vestibule.service.pem_path import pem_path

CONTEXTS_MAX = 256
USUAL = Trust()


@lru_cache(CONTEXTS_MAX)
def tls_context(
    verify: bool = True,  # noqa: FBT001, FBT002 - a cache key
    trust: Trust = USUAL,
    protocol: str = "http/1.1",
) -> ssl.SSLContext:
    """The TLS context for outgoing connections: verified unless the operator wrote `insecure = true`.

    `protocol`: what is to be spoken then, as ALPN has it. One for each setting. Raises ssl.SSLError for certificates
    that can't be used; the check has found them good.
    """
    context = ssl.create_default_context(cadata=trust.authorities or None)
    context.set_alpn_protocols([protocol])
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if trust.shown is not None:
        with pem_path(trust.shown) as path:
            context.load_cert_chain(path, password=lambda: "")
    return context
