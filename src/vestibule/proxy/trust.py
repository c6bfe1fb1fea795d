"""TLS towards backends and APIs: how they prove who they are, and what the gateway shows them."""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from vestibule.core.route import Trust
from vestibule.model import Secret

CONTEXTS_MAX = 256
USUAL = Trust()


@lru_cache(CONTEXTS_MAX)
def tls_context(verify: bool = True, trust: Trust = USUAL) -> ssl.SSLContext:  # noqa: FBT001, FBT002 - a cache key
    """The TLS context for outgoing connections: verified unless the operator wrote `insecure = true`.

    One for each setting. Raises ssl.SSLError for certificates that can't be used; the check has found them good.
    """
    context = ssl.create_default_context(cadata=trust.authorities or None)
    context.set_alpn_protocols(["http/1.1"])
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if trust.shown is not None:
        with _file_of(trust.shown) as path:
            context.load_cert_chain(path, password=lambda: "")
    return context


@contextmanager
def _file_of(secret: Secret) -> Iterator[str]:
    """The secret as a file for as long as OpenSSL reads it, which takes keys by no other way; in memory where it can.

    So what was checked is what is used, whatever happened to the file meanwhile.
    """
    data = secret.reveal().encode("ascii")
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("certificate", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, data)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
        return
    with tempfile.NamedTemporaryFile() as file:  # readable by nobody else
        file.write(data)
        file.flush()
        yield file.name
