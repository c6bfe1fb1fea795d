"""What programs are told that look for the way in by themselves, as clients of MCP do: where tokens come from.

Spec: RFC 6750 section 3.1, RFC 9728 section 5.1; Model Context Protocol, Authorization.
"""

from __future__ import annotations

import re
from typing import Final

from vestibule.core.app import RESOURCE_PATH, all_scopes
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
    rules = (*policy.all, *(policy.allow or ()))
    asked = {rule.value for rule in rules if rule.kind == "token"}
    return " ".join(sorted(asked & all_scopes(host.apps, host.registered_scopes)))


def insufficient(judged: Judged, decision: Deny, listener: Listener, path: bytes) -> list[bytes]:
    """The header of a 403 that another scope would help; none where it wouldn't.

    Only who shows a token is told so: it has nothing to do with who is signed in by a browser.
    """
    host, policy = judged.ask.view.host, judged.ask.route.policy
    is_by_token = judged.session is not None and judged.ask.access is not None
    if not host.mcp or not is_by_token or decision.status != 403 or "token" not in decision.kinds:
        return []
    if not (scope := scope_for(host, policy)):
        return []
    challenge = bearer_challenge(
        host.name.decode("ascii"),
        error=INSUFFICIENT,
        scope=scope,
        resource_metadata=metadata_url(host, listener, path),
    )
    return [b"WWW-Authenticate: " + challenge.encode("ascii")]
