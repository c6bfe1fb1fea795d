"""`/@/ext_authz/…`: Envoy's ext_authz by HTTP. The request's own method and Host, its path behind the prefix.

200 alone lets it pass; everything else goes to the client, with the headers that Envoy is told to hand on.
"""

from __future__ import annotations

from vestibule.errors import BadRequest
from vestibule.protocol.h1 import RequestHead
from vestibule.protocol.headers import value_of
from vestibule.proxy.forward.question import Asked, as_it_is

PREFIX = b"/@/ext_authz"
PATH = PREFIX + b"/"
written = as_it_is


def read(head: RequestHead) -> Asked:
    """The question's own line and Host, less the prefix.

    Raises BadRequest. Threat: `/@/ext_authz/../healthz`, which is the gateway's own path once it is resolved, and a
    page of the backend to whoever gets it without the prefix.
    """
    target = head.target
    if target.came or not target.path.startswith(PATH):
        raise BadRequest("the address asked about is not in its canonical form", code="bad_target")
    return Asked(head.method, target.full[len(PREFIX) :], value_of(head.host_line))
