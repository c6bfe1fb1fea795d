"""`/@/forward`: Traefik's ForwardAuth and Caddy's forward_auth. What is no 2xx goes to the client as it is.

So people are sent to sign in, programs get their 401 as JSON, and everybody the gateway's own words.
"""

from __future__ import annotations

from vestibule.proxy.forward.question import by_forwarded
from vestibule.proxy.refusal import Answer

PATH = b"/@/forward"
read = by_forwarded


def written(status_line: bytes, lines: list[bytes], body: bytes) -> Answer:
    """The refusal as the client is to get it."""
    return status_line, lines, body
