"""docs/headers.md: its tables of names are the program's, and its Python reads a real assertion."""

from __future__ import annotations

import io
import re
import time
import urllib.request
from typing import Any

import pytest
from joserfc.errors import JoseError
from msgspec.structs import replace

from tests.house.source import ROOT
from vestibule.core.assertion import (
    KEPT_S,
    LIFE_S,
    LISTS_LIMIT_BYTES,
    PUBLISHED_S,
    REUSE_S,
    SIGNS_S,
    TYPE,
    claims_of,
)
from vestibule.core.inject import FAMILIES, OWN
from vestibule.core.known import Known
from vestibule.core.route import Host
from vestibule.core.seal import Key, KeyRing
from vestibule.model import Identity, Session
from vestibule.observe.log import Log
from vestibule.service.assertion import Assertions
from vestibule.store.memory import Store

TEXT = (ROOT / "docs" / "headers.md").read_text("utf-8")
HOST = Host(name=b"app.example.com", title="App", clients={"op": "op"}, sign_in=("op",))
CHIARA = Identity(client="op", issuer="https://op", subject="1", name="Chiara Muñoz", groups=("staff",))
BASE = "https://app.example.com"
VERIFIERS = ("python", "js", "go", "java", "ruby")


def names_in(head: str) -> list[str]:
    """The header names in the first column of the table with this head."""
    rows = TEXT.partition(f"| {head} |")[2].partition("\n\n")[0].splitlines()[2:]
    cells = [row.split("|")[1] for row in rows]
    return [name for cell in cells for name in re.findall(r"`([^`…]+)`", cell)]


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != OWN])
def test_the_table_of_a_family_has_its_names(family: str):
    assert sorted(names_in(f"`{family}`")) == sorted(name for name, _ in FAMILIES[family].headers)


def test_the_first_table_has_our_own():
    told = {name for name, _ in FAMILIES[OWN].headers}
    assert told <= set(names_in("header"))


def test_the_claims_are_those_that_are_signed():
    everything = Known(
        user_id="u",
        login="l",
        name="n",
        email="e",
        groups=("g",),
        orgs=("o",),
        scopes=("s",),
        signed_in_at=1.0,
    )
    said = claims_of(everything, issuer=BASE, host="h", session="s", now=1.0)
    assert sorted(names_in("claim")) == sorted(said)


def test_times_and_sizes_are_as_said():
    assert (LIFE_S, REUSE_S, SIGNS_S, PUBLISHED_S, KEPT_S) == (300, 60, 30 * 86400, 86400, 3600)
    assert LISTS_LIMIT_BYTES == 4096
    words = ("five minutes", "for a minute", "thirty\ndays", "a day before", "for an hour after", "4 KiB")
    assert [word for word in words if word not in TEXT] == []


def snippets() -> dict[str, str]:
    """What verifies, by language."""
    found = re.findall(
        r"^```(\w+)\n(.*?)^```$", TEXT.partition("## Proxy-Assertion")[2], re.MULTILINE | re.DOTALL
    )
    return {language: text for language, text in found if language in VERIFIERS}


@pytest.mark.parametrize("language", VERIFIERS)
def test_every_language_checks_everything(language: str):
    text = snippets()[language]
    wanted = [TYPE, "ES256", BASE, '"app.example.com"', "/@/jwks.json", "sub"]
    assert [word for word in wanted if word.lower() not in text.lower()] == []


@pytest.fixture
async def assertions() -> Assertions:
    made = Assertions(
        Store().signing_keys, KeyRing((Key("k", b"k" * 32),)), Log(io.StringIO()), are_wanted=True
    )
    await made.begin()
    return made


@pytest.fixture
def person(assertions, monkeypatch) -> Any:
    """The page's own function, with the set of keys as a host shows it."""
    asked: list[str] = []

    def opened(url: str, timeout: float) -> io.BytesIO:
        asked.append(url)
        return io.BytesIO(assertions.key_set)

    monkeypatch.setattr(urllib.request, "urlopen", opened)
    space: dict[str, Any] = {}
    exec(compile(snippets()["python"], "headers.md", "exec"), space)
    yield space["person"]
    assert set(asked) == {f"{BASE}/@/jwks.json"}


def session(**fields: Any) -> Session:
    now = time.time()
    given = {"id": "s1", "user_id": "u1", "identities": (CHIARA,), **fields}
    return Session(host="app.example.com", created_at=now, seen_at=now, expires_at=now + 9, idle_s=9, **given)


def test_the_python_on_the_page_reads_a_real_assertion(assertions, person):
    claims = person(assertions.own(session(), HOST, BASE, time.time())[0])
    assert (claims["sub"], claims["name"], claims["groups"]) == ("u1", "Chiara Muñoz", ["staff"])


async def test_and_refuses_every_other_token(assertions, person):
    now = time.time()
    stranger = Assertions(
        Store().signing_keys, KeyRing((Key("k", b"k" * 32),)), Log(io.StringIO()), are_wanted=True
    )
    await stranger.begin()
    good = assertions.own(session(), HOST, BASE, now)[0]
    wrong = {
        "another host's": assertions.own(session(), replace(HOST, name=b"b.example.com"), BASE, now),
        "another issuer's": assertions.own(session(), HOST, "https://evil.example", now),
        "one that has expired": assertions.own(session(id="s2"), HOST, BASE, now - LIFE_S - 1),
        "another key's": stranger.own(session(), HOST, BASE, now),
        "Pomerium's": assertions.pomerium(session(), HOST, now),
        "nobody's": assertions.own(session(id="s3", user_id=""), HOST, BASE, now),
        "one without signature": (good.rpartition(".")[0] + ".", 0.0),
        "nothing": ("", 0.0),
    }
    person(good)
    for token, _ in wrong.values():
        with pytest.raises((JoseError, ValueError)):
            person(token)
