"""`/@/forward`: Traefik's ForwardAuth and Caddy's forward_auth. What is no 2xx goes to the client as it is.

So people are sent to sign in, programs get their 401 as JSON, and everybody the gateway's own words.
"""

from __future__ import annotations

from vestibule.proxy.forward.question import as_it_is, by_forwarded

PATH = b"/@/forward"
read = by_forwarded
written = as_it_is
