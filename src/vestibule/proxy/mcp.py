"""What programs are told that look for the way in by themselves, as clients of MCP do: where tokens come from.

Spec: RFC 6750 section 3.1, RFC 9728 section 5.1; Model Context Protocol, Authorization.
"""

from __future__ import annotations

import re
from typing import Final

from vestibule.core.app import RESOURCE_PATH, all_scopes, is_registered_id
from vestibule.core.policy import Policy
from vestibule.core.route import Host, site_of
from vestibule.model import Deny
from vestibule.protocol.authorization import bearer_challenge
from vestibule.proxy.exchange import Listener
from vestibule.proxy.judge import Judged

_PLAIN_RE: Final = re.compile(rb"(?:/[A-Za-z0-9._~-]+){1,8}")
_PLAIN_MAX_CHARS: Final = 200
INSUFFICIENT: Final = "insufficient_scope"


def metadata_url(host: Host, listener: Listener, path: bytes) -> str:
    """URL of the metadata of what this path is part of; empty where the host tells of none.

    It has the path behind it, so that what it is of is what was asked for (RFC 9728 section 3.3); where that is not
    plain, it is of the whole host.
    """
    if not host.mcp:
        return ""
    base = site_of(host, listener.scheme, listener.port).base_url
    is_plain = len(path) <= _PLAIN_MAX_CHARS and _PLAIN_RE.fullmatch(path) is not None
    return f"{base}{RESOURCE_PATH}{path.decode('ascii') if is_plain else ''}"


def scope_for(host: Host, policy: Policy) -> str:
    """The scopes that rules here ask for, as far as any app may have them; empty for none."""
    if not host.mcp:
        return ""
    return " ".join(sorted(_asked(policy) & all_scopes(host.apps, host.registered_scopes)))


def insufficient(judged: Judged, decision: Deny, listener: Listener, path: bytes) -> list[bytes]:
    """The header of a 403 that another scope would help; none where it wouldn't.

    It names all that the request needs, of the route and of the tools that it calls: who asks for just these gets in
    (RFC 6750 section 3). Only who shows a token is told so: it has nothing to do with who is signed in by a browser.
    """
    host, shown = judged.ask.view.host, judged.ask.access
    if not host.mcp or judged.session is None or shown is None:
        return []
    if decision.status != 403 or "token" not in decision.kinds:
        return []
    asked = _asked(judged.ask.route.policy).union(*map(_asked, judged.besides))
    scopes = asked & _open_to(host, shown.access.app)
    if scopes <= (judged.scopes or frozenset()):
        return []
    challenge = bearer_challenge(
        host.name.decode("ascii"),
        error=INSUFFICIENT,
        scope=" ".join(sorted(scopes)),
        resource_metadata=metadata_url(host, listener, path),
    )
    return [b"WWW-Authenticate: " + challenge.encode("ascii")]


def _asked(policy: Policy) -> frozenset[str]:
    """The scopes that its rules name."""
    rules = (*policy.all, *(policy.allow or ()))
    return frozenset(rule.value for rule in rules if rule.kind == "token")


def _open_to(host: Host, app: str) -> frozenset[str]:
    """Those that this app may ask for there."""
    return frozenset(host.registered_scopes) if is_registered_id(app) else host.apps.get(app, frozenset())
