"""What the tests' stores seal sessions with."""

from __future__ import annotations

from vestibule.core.record import Vault
from vestibule.core.seal import Key, KeyRing

RING = KeyRing((Key("k1", b"k" * 32),))
VAULT = Vault(RING)
