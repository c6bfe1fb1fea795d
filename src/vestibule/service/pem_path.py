"""Certificates with their keys where OpenSSL reads them, which takes them by no other way than a path."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from vestibule.model import Secret


@contextmanager
def pem_path(secret: Secret) -> Iterator[str]:
    """A path where this text can be read meanwhile, in memory where the system has that.

    So what was checked is what is used, whatever happened to a file it came from; and keys never lie on a disk.
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
