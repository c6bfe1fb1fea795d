"""URLs of PostgreSQL databases."""

from __future__ import annotations

import pytest

from vestibule.core.postgres import Postgres, parse
from vestibule.model import Secret


@pytest.mark.parametrize(
    ("url", "found"),
    [
        (
            "postgresql://app:s3cret@db.example.com:6432/vestibule",
            Postgres(
                host="db.example.com",
                port=6432,
                user="app",
                password=Secret("s3cret"),
                name="vestibule",
                sslmode="verify-full",
            ),
        ),
        ("postgres://localhost/v", Postgres(host="localhost", name="v", sslmode="prefer")),
        ("postgresql://127.0.0.1/v", Postgres(host="127.0.0.1", name="v", sslmode="prefer")),
        ("postgresql://[::1]:5/v", Postgres(host="::1", port=5, name="v", sslmode="prefer")),
        ("postgresql:///v", Postgres(host="localhost", name="v", sslmode="prefer")),
        (
            "postgresql://app@/v?host=/var/run/postgresql",
            Postgres(host="/var/run/postgresql", user="app", name="v", sslmode="prefer"),
        ),
        (
            "postgresql://a%40b:p%2F%3A%25@10.0.0.1/v%20w",
            Postgres(host="10.0.0.1", user="a@b", password=Secret("p/:%"), name="v w", sslmode="verify-full"),
        ),
        (
            "postgresql://db/v?sslmode=require&sslrootcert=ca%2Epem",
            Postgres(host="db", name="v", sslmode="require", sslrootcert="ca.pem"),
        ),
        (
            "postgresql://db/v?sslmode=verify-ca&sslrootcert=system",
            Postgres(host="db", name="v", sslmode="verify-ca"),
        ),
        (
            "postgresql://localhost/v?sslmode=verify-full",
            Postgres(host="localhost", name="v", sslmode="verify-full"),
        ),
    ],
    ids=str,
)
def test_a_url_names_a_database(url, found):
    assert parse(url) == found


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("postgresql://canary:canary@db", "not of the form"),
        ("postgresql://canary:canary@db/", "not of the form"),
        ("postgresql://canary:can/ary@db/v", "percent-encoded"),
        ("postgresql://canary:can@ary@db/v", "percent-encoded"),
        ("postgresql://canary:canary#@db/v", "percent-encoded"),
        ("postgresql://canary:canary@db:canary/v", "not of the form"),
        ("postgresql://canary:canary@db:0/v", "no port"),
        ("postgresql://canary:canary@db:65536/v", "no port"),
        ("postgresql://canary:canary@db,db2/v", "not of the form"),
        ("postgresql://canary:canary@db/v/w", "not of the form"),
        ("postgresql://canary:canary@db/v#canary", "not of the form"),
        ("postgresql://canary:canary@db/v\n", "not of the form"),
        ("postgresql://canary:canary@db/v?sslmode=canary", "unknown sslmode; there is disable, prefer"),
        ("postgresql://canary:canary@db/v?sslmode=require&sslmode=disable", "twice"),
        (
            "postgresql://canary:canary@db/v?channel_binding=canary",
            "a parameter `channel_binding`; known are",
        ),
        ("postgresql://canary:canary@db/v?host=canary", "no directory"),
        ("mysql://canary:canary@db/v", "not of the form"),
    ],
)
def test_a_url_that_is_refused_is_not_repeated(url, why):
    with pytest.raises(ValueError, match=why) as caught:
        parse(url)
    assert "canary" not in str(caught.value)


def test_what_is_shown_holds_no_secret():
    database = parse("postgresql://app:canary@[::1]/v")
    assert str(database) == "postgresql://[::1]:5432/v"
    assert "canary" not in repr(database)


@pytest.mark.parametrize(
    ("url", "loopback", "checked"),
    [
        ("postgresql://localhost/v", True, False),
        ("postgresql://127.9.9.9/v", True, False),
        ("postgresql://[::1]/v?sslmode=verify-ca", True, True),
        ("postgresql:///v?host=/run", True, False),
        ("postgresql://db/v", False, True),
        ("postgresql://localhost.example.com/v", False, True),
        ("postgresql://db/v?sslmode=disable", False, False),
        ("postgresql://db/v?sslmode=prefer", False, False),
        ("postgresql://db/v?sslmode=require", False, False),
        ("postgresql://db/v?sslmode=require&sslrootcert=ca.pem", False, True),
    ],
)
def test_how_safe_the_way_there_is(url, loopback, checked):
    database = parse(url)
    assert (database.is_loopback, database.is_checked) == (loopback, checked)
