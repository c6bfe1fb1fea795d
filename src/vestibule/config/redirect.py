"""Where a provider's `redirect_url` may point: a path of one of the hosts, which then leads to the callback."""

from __future__ import annotations

from collections.abc import Mapping

from vestibule.config.client import Client
from vestibule.config.host import Scope
from vestibule.config.place import Place, Report, nearest
from vestibule.core.flow import split_redirect
from vestibule.errors import BadRequest
from vestibule.protocol.url import authority, canonical


def check_redirect_url(url: str, client: str, hosts: frozenset[str], place: Place, report: Report) -> None:
    """Report what can't be the redirect URL of this client (its ID) on one of these hosts (their names)."""
    scheme, where, path = split_redirect(url)
    if scheme not in ("", "http", "https") or not where:
        report.fault(place, "is no redirect URL: https://app.example.com/auth")
        return
    try:
        name = authority(where.encode("ascii")).host.decode()
        is_plain = path == "" or canonical(path.encode("ascii")).full == path.encode("ascii")
    except (BadRequest, UnicodeError):
        report.fault(place, "is no redirect URL: https://app.example.com/auth")
        return
    if not is_plain or set("?#;") & set(path):
        report.fault(place, "has more than a plain path: https://app.example.com/auth")
    elif path in ("", "/"):
        report.fault(place, f"has no path of its own: https://{where}/auth")
    elif path == "/@" or (path.startswith("/@") and path != f"/@{client}/callback"):
        report.fault(place, f"paths below /@ are the gateway's own; this client's is /@{client}/callback")
    if name not in hosts:
        known = ", ".join(sorted(hosts)) or "none"
        report.fault(place, f"names another host; there is {known}{nearest(name, hosts)}")


def check_redirect_urls(clients: Mapping[str, Client], scopes: Mapping[str, Scope], report: Report) -> None:
    """Check those of all clients; one that several hosts use is registered for one of them."""
    names = names_of(scopes)
    for client in clients.values():
        url = getattr(client.config, "redirect_url", "")
        if url:
            check_redirect_url(url, client.id, names, client.node.at("redirect_url"), report)


def names_of(scopes: Mapping[str, Scope]) -> frozenset[str]:
    """Every name by which people reach a host: its own, and that of its public URL."""
    shown = {scope.node.public_url.partition("://")[2].partition(":")[0] for scope in scopes.values()}
    return frozenset({*scopes, *shown} - {""})
