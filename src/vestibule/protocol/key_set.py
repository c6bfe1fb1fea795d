"""A set of public keys, as issuers publish it (RFC 7517 section 5)."""

from __future__ import annotations

from typing import Any, Final

from vestibule.protocol.document import DocumentError

KEYS_MAX: Final = 100


def keys_of(document: object) -> tuple[dict[str, Any], ...]:
    """The set's keys; an entry that is none is left out, so that one bad key doesn't spoil the others.

    Raises: DocumentError, with the codes `answer_shape`, `keys_missing`, `keys_too_many`.
    """
    if not isinstance(document, dict):
        raise DocumentError("it is not a JSON object", "answer_shape")
    raw = document.get("keys")
    if not isinstance(raw, list):
        raise DocumentError("it has no keys", "keys_missing")
    if len(raw) > KEYS_MAX:
        raise DocumentError(f"it has too many keys: {len(raw)}", "keys_too_many")
    return tuple(key for key in raw if isinstance(key, dict))
