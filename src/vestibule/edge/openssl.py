"""What OpenSSL can do and Python's ssl doesn't offer: which groups are agreed on, and no sessions kept in memory.

The library is the one that Python's ssl has loaded; its context is the first field of Python's own object. Where it
can't be reached so (a Python that has OpenSSL built in), OpenSSL's defaults stay, which are good, too, but wider.
"""

from __future__ import annotations

import _ssl
import ctypes
import ssl
import sys
from typing import Final

_SET_SESSION_CACHE_MODE: Final = 44
_SET_TICKET_KEYS: Final = 59
_SET_GROUPS_LIST: Final = 92
_CACHE_OFF: Final = 0

GROUPS: Final = "X25519:prime256v1:secp384r1"
"""Mozilla's, of both profiles; the hybrid with ML-KEM first, where OpenSSL has it."""
_HYBRID: Final = "X25519MLKEM768"
_HYBRID_SINCE: Final = (3, 5)


def groups_of(version: tuple[int, ...]) -> str:
    """The groups to agree on, with this OpenSSL."""
    return f"{_HYBRID}:{GROUPS}" if version >= _HYBRID_SINCE else GROUPS


def restrict(context: ssl.SSLContext) -> bool:
    """Agree on Mozilla's groups alone, and keep no sessions: tickets do. False where that can't be said."""
    control, at = _control(), _address_of(context)
    if control is None or not at:
        return False
    groups = groups_of(ssl.OPENSSL_VERSION_INFO).encode("ascii")
    if control(at, _SET_GROUPS_LIST, 0, groups) != 1:
        return False
    control(at, _SET_SESSION_CACHE_MODE, _CACHE_OFF, None)
    return True


TICKET_KEYS_BYTES: Final = 80
"""A name of 16, then 32 that tickets are signed by and 32 that they are sealed by."""


def share_tickets(context: ssl.SSLContext, keys: bytes) -> bool:
    """Seal tickets by these keys, which others may have, too. False where that can't be said, or OpenSSL has others."""
    control, at = _control(), _address_of(context)
    if control is None or not at or control(at, _SET_TICKET_KEYS, 0, None) != TICKET_KEYS_BYTES:
        return False
    return bool(control(at, _SET_TICKET_KEYS, len(keys), keys) == 1)


def _address_of(context: ssl.SSLContext) -> int:
    """Where its `SSL_CTX` is."""
    if sys.implementation.name != "cpython":
        return 0
    return ctypes.c_void_p.from_address(id(context) + object.__basicsize__).value or 0


def _control() -> ctypes._NamedFuncPointer | None:
    try:
        control = ctypes.CDLL(_ssl.__file__).SSL_CTX_ctrl
    except (AttributeError, OSError):
        return None
    control.restype = ctypes.c_long
    control.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_char_p)
    return control
