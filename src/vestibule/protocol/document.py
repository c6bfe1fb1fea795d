"""The JSON a provider answers with, as one value that every reader would read so."""

from __future__ import annotations

import json
from typing import Any

import msgspec

#: What JSON is found to be sent as besides `application/json`: by older APIs, and by plain file servers (key sets).
_KINDS = frozenset(
    {
        "",
        "application/json",
        "application/javascript",
        "application/octet-stream",
        "application/x-javascript",
        "binary/octet-stream",
        "text/javascript",
        "text/json",
        "text/plain",
    }
)


class DocumentError(ValueError):
    """The answer is no JSON document; the text says why, and holds nothing of it."""

    def __init__(self, why: str, code: str = "answer_unreadable") -> None:
        super().__init__(why)
        self.code = code


def json_of(body: bytes, content_type: str = "") -> Any:
    """The value. Raises: DocumentError, with the code `answer_type` for what is sent as something else.

    Threat: a page of the provider's, made by anybody, that is taken for its document; a member that stands there
    twice, read by two readers as two; brackets without end.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in _KINDS and not (kind.startswith("application/") and kind.endswith("+json")):
        raise DocumentError(f"it is sent as {kind[:60]!r}", "answer_type")
    try:
        value = msgspec.json.decode(body)
        # msgspec is the stricter of the two (UTF-8, surrogates, numbers) but takes the last of twins.
        json.loads(body, object_pairs_hook=without_twins)
    except (ValueError, RecursionError) as exc:  # msgspec's errors are ValueErrors too
        # Not chained: the decoder's message may quote the body, and that can hold tokens.
        raise DocumentError(f"it is not JSON ({type(exc).__name__})") from None
    return value


def without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The members as an object. Raises: ValueError where one stands there twice."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member stands there twice")
    return members
