"""What a backend is told of the person: INTERFACES.md section 4, as header lines.

Values are UTF-8, percent-encoded where a byte is not visible ASCII, and `%` too; inside list items also `,`.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from vestibule.core.route import Host
from vestibule.model import Caller, Identity, Session

VALUE_LIMIT_BYTES = 8 * 1024
# RFC 3986 calls fewer characters safe; these are all of visible ASCII but `%` and `,`.
_VISIBLE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in "%,")


def identity_lines(who: Session | Caller, host: Host, handle: str = "") -> list[bytes]:
    """The header lines that tell the backend of *host* who asks; `handle` is a session's sealed one for calls.

    Only identities of the host's own `sign_in` clients are told, and only clients the host knows.
    Threat: control characters in a claim that would become header lines of their own.
    """
    named = {full: client for client, full in host.clients.items()}
    lines = []
    if isinstance(who, Session):
        lines.append(b"Proxy-Session: " + handle.encode())
        providers = [named[full] for full in who.clients if full in named]
        if providers:
            lines.append(_line("Proxy-Provider", _listed(providers)))
    known = [identity for identity in who.identities if identity.client in host.believed]
    if not known:
        return lines
    told = {
        "User-Id": _text(who.user_id),
        "User-Login": _text(_first(known, "login")),
        "User-Name": _text(_first(known, "name")),
        "User-Email": _text(_first(known, "email")),
        "User-Groups": _listed(_merged(known, "groups")),
        "User-Orgs": _listed(_merged(known, "orgs")),
    }
    # A value too long to be told is left out whole: a shortened list of groups would be a wrong one.
    lines += [_line(name, value) for name, value in told.items() if 0 < len(value) <= VALUE_LIMIT_BYTES]
    return lines


def _line(name: str, value: str) -> bytes:
    return f"{name}: {value}".encode("ascii")


def _text(value: str) -> str:
    return quote(value, safe=_VISIBLE + ",")


def _listed(values: Sequence[str]) -> str:
    return ",".join(quote(value, safe=_VISIBLE) for value in values)


def _first(identities: Sequence[Identity], field: str) -> str:
    return next((value for identity in identities if (value := getattr(identity, field))), "")


def _merged(identities: Sequence[Identity], field: str) -> list[str]:
    return list(dict.fromkeys(value for identity in identities for value in getattr(identity, field)))
