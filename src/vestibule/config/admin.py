"""Where the admin API listens: always on a Unix socket beside the state, on a loopback port where it is written."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from vestibule.config import schema
from vestibule.config.path import database, state_dir
from vestibule.config.place import Place, Report
from vestibule.core.listener import ListenAddress

SOCKET = "admin.sock"
PAGES_SOCKET = "pages.sock"
BUS_SOCKET = "bus.sock"
#: what fits into `sockaddr_un`, without the NUL behind it
SOCKET_PATH_LIMIT_BYTES = 107 if sys.platform == "linux" else 103


def admin_socket(config: schema.Config) -> ListenAddress:
    """The socket of the admin API: who can open it is trusted."""
    return ListenAddress(path=str(state_dir(config) / SOCKET))


def control_socket(config: schema.Config) -> ListenAddress:
    """Where the control process takes what other processes of the program ask it."""
    return ListenAddress(path=str(state_dir(config) / PAGES_SOCKET))


def bus_socket(config: schema.Config) -> str:
    """Where processes of one machine hear of changes: beside the file they share, where it isn't in their own state.

    Threat: two gateways on one SQLite file, of which one lets in whom the other signed out.
    """
    kept = database(config)
    own = state_dir(config)
    return f"{kept}.bus" if isinstance(kept, Path) and kept.parent != own else str(own / BUS_SOCKET)


def admin_port(config: schema.Config) -> ListenAddress | None:
    """The port of the admin API, where there is one: it takes tokens only."""
    return config.admin.listen if config.admin is not None else None


def check_admin(config: schema.Config, report: Report) -> None:
    """Threat: admin tokens that cross a network in clear text."""
    _check_socket(config, report)
    admin = config.admin
    if admin is None or admin.listen is None:
        return
    if admin.listen.path:
        report.fault(
            admin.at("listen"),
            f"there is a Unix socket already, {SOCKET} in the state directory: "
            'write a port, "127.0.0.1:9000", or nothing',
        )
    elif not admin.listen.is_loopback:
        report.fault(
            admin.at("listen"),
            f"{admin.listen} is plain HTTP that other machines can reach, and tokens would cross it in clear text: "
            'write "127.0.0.1:9000", and come from elsewhere by an edge that speaks TLS or by an SSH tunnel',
        )


def _check_socket(config: schema.Config, report: Report) -> None:
    path = os.fsencode(admin_socket(config).path)
    if len(path) > SOCKET_PATH_LIMIT_BYTES:
        gateway = config.gateway
        has_state = gateway is not None and gateway.has("state")
        place: Place = gateway.at("state") if gateway is not None and has_state else config.block.place
        report.fault(
            place,
            f"the path of the admin socket, {os.fsdecode(path)}, has {len(path)} bytes and a Unix socket's may have "
            f"{SOCKET_PATH_LIMIT_BYTES}: choose a shorter state directory",
        )
