"""Where named files are: a relative path counts from the folder of the file it stands in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from msgspec.structs import replace

from vestibule.config import schema
from vestibule.config.place import Place, Report
from vestibule.config.shape import Node
from vestibule.core.postgres import TIMEOUT_S, Postgres


def beside(node: Node, attribute: str, path: str) -> Path:
    """The absolute path; what stands in the environment counts from the working directory."""
    place = node.at(attribute)
    folder = Path(place.file).parent if place.line else Path()
    return (folder / path).absolute()


def state_dir(config: schema.Config) -> Path:
    """Without the setting: `state`, as if it were written in the first file."""
    gateway = config.gateway
    if gateway is not None and gateway.has("state"):
        return beside(gateway, "state", gateway.state)
    return beside(config, "", "state")


def database(config: schema.Config) -> Path | Postgres:
    """The SQLite file, or where the server is."""
    store = config.store
    if store is None or store.url is None:
        return state_dir(config) / "vestibule.db"
    postgres = store.url.postgres
    if postgres is None:
        return beside(store, "url", store.url.path)
    rootcert = postgres.sslrootcert and str(beside(store, "url", postgres.sslrootcert))
    return replace(postgres, sslrootcert=rootcert, timeout_s=store.timeout or TIMEOUT_S)


def key_file(config: schema.Config) -> Path:
    """The file of the key ring."""
    store = config.store
    if store is not None and store.key_file:
        return beside(store, "key_file", store.key_file)
    return state_dir(config) / "vestibule.key"


def check_paths(config: schema.Config, report: Report) -> None:
    """Threat: the key or the database served as a page, or readable by other users of the machine."""
    key = key_file(config)
    kept = {"the key file": key, "the state directory": state_dir(config)}
    data = database(config)
    if isinstance(data, Postgres):
        _check_way(data, config, report)
    else:
        kept["the database"] = data
    if key == data:
        report.fault(
            config.store.at("key_file") if config.store else config.block.place, "is the database itself"
        )
    for host in config.host:
        if host.htpasswd:
            kept[f"the password file of {host.label}"] = beside(host, "htpasswd", host.htpasswd)
    for folder, place in _static_dirs(config):
        inside = [what for what, path in kept.items() if path.is_relative_to(folder)]
        if inside:
            report.fault(place, f"{inside[0]} would be served to everyone: it is inside {folder}")
        elif not folder.is_dir():
            report.warn(place, f"there is no directory {folder}")
    _check_mode(key, config, report)


def _check_way(postgres: Postgres, config: schema.Config, report: Report) -> None:
    """Threat: somebody on the way who reads the password, or answers in the database's place."""
    assert config.store is not None
    if not postgres.is_loopback and not postgres.is_checked:
        report.warn(
            config.store.at("url"),
            f"with sslmode={postgres.sslmode} nobody checks that this is the database: sslmode=verify-full",
        )


def _check_mode(key: Path, config: schema.Config, report: Report) -> None:
    try:
        mode = key.stat().st_mode & 0o777
    except OSError:
        return  # made at the first start, or told then
    if mode & 0o077:
        place = config.store.at("key_file") if config.store else config.block.place
        report.fault(place, f"other users can read the key file {key}: chmod 600 {key}")


def _static_dirs(config: schema.Config) -> Iterator[tuple[Path, Place]]:
    for host in config.host:
        nodes: tuple[schema.Host | schema.Route, ...] = (host, *host.route)
        for node in nodes:
            for backend in node.backend:
                if backend.static_dir:
                    yield beside(node, "backend", backend.static_dir), node.at("backend")
