"""Where sessions are kept when not in the database: `store { sessions, prefix, timeout }`."""

from __future__ import annotations

from msgspec.structs import replace

from vestibule.config import schema
from vestibule.config.path import beside
from vestibule.config.place import Report
from vestibule.core.redis import PREFIX, TIMEOUT_S, Redis, is_prefix, scheme


def redis_of(config: schema.Config) -> Redis | None:
    """The Redis of the sessions, its files with absolute paths; None: they stand in the database."""
    store = config.store
    if store is None or store.sessions is None:
        return None
    place = store.sessions
    files = {name: getattr(place, name) for name in ("ca", "cert", "key") if getattr(place, name)}
    return replace(
        place,
        prefix=store.prefix or PREFIX,
        timeout_s=store.timeout or TIMEOUT_S,
        **{name: str(beside(store, "sessions", path)) for name, path in files.items()},
    )


def check_redis(config: schema.Config, report: Report) -> None:
    """Threat: somebody on the way who reads the password and the sessions, or answers in Redis' place."""
    store = config.store
    if store is None:
        return
    if store.prefix is not None and not is_prefix(store.prefix):
        report.fault(
            store.at("prefix"),
            'begins with a letter or digit and holds nothing but these and `:._/-`, at most 64: prefix = "forum:"',
        )
    if store.timeout is not None and store.timeout > schema.STORE_TIMEOUT_MOST_S:
        report.fault(
            store.at("timeout"),
            "every request may have to wait for it: at most 5s",
        )
    if store.sessions is None:
        if store.has("prefix"):
            report.fault(
                store.at("prefix"),
                'is about Redis, which is not asked for: sessions = "redis://…", or no prefix',
            )
        if store.has("timeout") and (store.url is None or store.url.postgres is None):
            report.fault(
                store.at("timeout"),
                "is about a server, PostgreSQL or Redis; a file needs none",
            )
    elif not store.sessions.is_tls and not store.sessions.is_loopback:
        safe = scheme(store.sessions.kind, is_tls=True)
        report.warn(
            store.at("sessions"),
            f"whoever is on the way to Redis reads its password and can end sessions: {safe}:// asks with TLS",
        )
