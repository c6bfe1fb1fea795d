"""Where a provider's `redirect_url` may point: a path of one of the hosts, which then leads to the callback."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from vestibule.config.client import Client
from vestibule.config.host import Scope
from vestibule.config.place import Place, Report, nearest
from vestibule.core.flow import split_redirect
from vestibule.errors import BadRequest
from vestibule.protocol.url import authority, canonical, host_in
from vestibule.providers.base import ProviderConfig


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
            others = [other.config for other in clients.values() if other is not client]
            if shares_badly(client.config, others):
                report.fault(client.node.at("redirect_url"), SHARED)


SHARED: Final = "is another's path, too: where one of the two has no secret, each needs one of its own"


def shares_badly(config: ProviderConfig, others: Iterable[ProviderConfig]) -> bool:
    """True where the redirect URL's path is another client's, too, and one of the two has no secret or key of its own.

    Threat: mix-up (RFC 9700 section 4.4). A provider that is Mallory's sends a person on to the other one, whose code
    comes back here as an answer of hers, and is shown to her with all that it takes to redeem it but the secret.
    An IndieAuth server is whatever server somebody names, so that it is always hers.
    """
    path = _path(config)
    same = [other for other in others if path and _path(other) == path]
    return bool(same) and not all(map(_has_secret, (config, *same)))


def _path(config: ProviderConfig) -> str:
    """Of the redirect URL: one host may have several names, and any port."""
    return split_redirect(getattr(config, "redirect_url", ""))[2]


def _has_secret(config: ProviderConfig) -> bool:
    names = ("client_secret", "private_key", "federated_token_file")
    return any(getattr(config, name, None) for name in names)


def names_of(scopes: Mapping[str, Scope]) -> frozenset[str]:
    """Every name by which people reach a host: its own, and that of its public URL."""
    shown = {host_in(scope.node.public_url) for scope in scopes.values()}
    return frozenset({*scopes, *shown} - {""})
