"""Forward auth as the configuration has it: where edges ask, who may, and the hosts that are only asked about."""

from __future__ import annotations

from vestibule.config import schema
from vestibule.config.place import Place, Report
from vestibule.core.listener import ListenAddress

_NAMES = ("forward_auth", "forward_auth_grpc")


def edge_listeners(gateway: schema.Gateway | None) -> tuple[tuple[ListenAddress, Place], ...]:
    """Every address that edges ask at, and where it is written."""
    if gateway is None:
        return ()
    return tuple(
        (listen, gateway.at(name, number) if len(getattr(gateway, name)) > 1 else gateway.at(name))
        for name in _NAMES
        for number, listen in enumerate(getattr(gateway, name))
    )


def is_asked(config: schema.Config, host: schema.Host) -> bool:
    """True where edges may ask about this host at all."""
    gateway = config.gateway
    by_compat = host.has("compat") and gateway is not None and bool(gateway.trusted_proxies)
    return bool(edge_listeners(gateway)) or by_compat


def check_edges(config: schema.Config, report: Report) -> None:
    """Threat: anybody on the network who asks in an edge's name, and reads cookies and handles on the way."""
    gateway = config.gateway
    for listen, place in edge_listeners(gateway):
        if listen.is_loopback:
            continue
        if gateway is not None and not gateway.trusted_proxies:
            report.fault(
                place,
                f"other machines reach {listen}: list the edges that ask there in trusted_proxies, or listen on "
                "127.0.0.1 or a Unix socket",
            )
        else:
            report.warn(
                place,
                f"{listen} is plain HTTP that other machines can reach, and cookies cross it in clear text: only in a "
                "network of its own",
            )
    if gateway is not None:
        _check_not_empty(gateway, report)


def _check_not_empty(gateway: schema.Gateway, report: Report) -> None:
    for name in _NAMES:
        if gateway.has(name) and not getattr(gateway, name) and not report.faults:
            report.fault(gateway.at(name), f'the list is empty: {name} = "127.0.0.1:4181"')


def check_without_backend(host: schema.Host, report: Report, *, is_asked: bool, signs_in: bool) -> None:
    """A host without a backend is one that edges ask about; people reach it, and sign in, by its edge alone."""
    if host.backend or host.has("backend"):
        return
    if not is_asked:
        report.fault(host.block.place, f'host "{host.label}" has no `backend`: backend = "…"')
    elif signs_in and not host.public_url and not host.has("public_url"):
        report.fault(
            host.block.place,
            f'host "{host.label}" has no backend, so people reach it by an edge; write the address they know into it: '
            f'public_url = "https://{host.label}"',
        )
