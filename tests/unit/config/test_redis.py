"""`store { sessions, prefix, timeout }`."""

from __future__ import annotations

import pytest

from vestibule.config.path import database
from vestibule.config.redis import redis_of
from vestibule.core.redis import Address, Redis
from vestibule.model import Secret

HOST = 'host "a.example" {\n  backend = "x:1"\n  access { allow = ["public"] }\n}\n'


def test_without_the_setting_sessions_stand_in_the_database(desk):
    assert redis_of(desk.load(HOST).config) is None
    assert redis_of(desk.load('store { url = "sqlite:v.db" }\n' + HOST).config) is None


def test_files_count_from_the_folder_of_the_file_and_the_rest_is_usual(desk):
    text = 'store { sessions = "rediss://u:${env("P")}@cache.example.com?ca=ca.pem&cert=/etc/me.pem" }\n'
    loaded = desk.load(text + HOST, environ={"P": "canary%2F"})
    found = redis_of(loaded.config)
    assert found == Redis(
        kind="single",
        hosts=(Address("cache.example.com", 6379),),
        user="u",
        password=Secret("canary/"),
        is_tls=True,
        ca=str(desk.folder / "ca.pem"),
        cert="/etc/me.pem",
        prefix="vestibule:",
        timeout_s=0.25,
    )
    assert "canary" not in repr(found) + repr(loaded.config.store.sessions)


def test_prefix_and_timeout_are_as_written(desk):
    text = (
        'store {\n url = "sqlite:v.db"\n sessions = "redis://127.0.0.1"\n prefix = "b/"\n timeout = "1s"\n}\n'
    )
    found = redis_of(desk.load(text + HOST).config)
    assert (found.prefix, found.timeout_s) == ("b/", 1.0)


@pytest.mark.parametrize(
    ("inside", "fault"),
    [
        (
            'sessions = "redis://h/canary"',
            "v.hcl:1:20: `sessions` ends in no number of a database: redis://HOST",
        ),
        ('sessions = "redis://canary:ca@nary@h"', "v.hcl:1:20: `sessions` is not of the form redis://USER:"),
        ('sessions = "sqlite:v.db"', "v.hcl:1:20: `sessions` is no Redis: redis://HOST:6379; what stands in"),
        ('sessions = "redis://h"\nprefix = "{a}"', "v.hcl:2:10: begins with a letter or digit and holds"),
        ('sessions = "redis://h"\ntimeout = "1m"', "v.hcl:2:11: every request may have to wait for it"),
        ('prefix = "a:"', "v.hcl:1:18: is about Redis, which is not asked for: sessions ="),
        ('timeout = "1s"', "v.hcl:1:19: is about a server, PostgreSQL or Redis; a file needs none"),
        (
            'url = "redis://canary@h"',
            "v.hcl:1:15: `url` can't be Redis, which keeps sessions alone: write it",
        ),
    ],
)
def test_what_cannot_be_is_told_with_its_place_and_nothing_of_the_url(desk, inside, fault):
    (found,) = desk.faults(f"store {{ {inside} }}\n" + HOST)
    assert found.startswith(fault)
    assert "canary" not in found


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("redis://u:canary@cache.example.com", "rediss:// asks with TLS"),
        ("redis+sentinel://10.0.0.1/main", "rediss+sentinel:// asks with TLS"),
        ("redis+cluster://127.0.0.1,10.0.0.1", "rediss+cluster:// asks with TLS"),
        ("rediss://cache.example.com", ""),
        ("redis://127.0.0.1", ""),
        ("redis://localhost", ""),
    ],
)
def test_a_redis_of_another_machine_without_tls_is_warned_of(desk, url, advice):
    found = [
        line for line in desk.warnings(f'store {{ sessions = "{url}" }}\n' + HOST) if "on the way" in line
    ]
    assert len(found) == bool(advice)
    assert all(advice in line and "canary" not in line for line in found)


def test_the_timeout_holds_for_postgresql_too(desk):
    text = 'store {\n url = "postgresql://127.0.0.1/v"\n timeout = "400ms"\n}\n'
    assert database(desk.load(text + HOST).config).timeout_s == 0.4
