"""What a backend is told of the person."""

from __future__ import annotations

import re
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestibule.core.inject import VALUE_LIMIT_BYTES, identity_lines
from vestibule.core.route import Host
from vestibule.model import Identity, Session
from vestibule.protocol.headers import is_owned

HOST = Host(
    name=b"app.example",
    title="App",
    clients={"google": "google", "local": "app.example/local", "drive": "drive"},
    sign_in=("google", "app.example/local"),
)


def identity(client: str = "google", **fields) -> Identity:
    return Identity(client=client, issuer="https://issuer", subject="1", **fields)


def told(*identities: Identity, clients: tuple[str, ...] = (), user_id: str = "u1") -> dict[str, str]:
    session = Session(
        id="s1",
        host="app.example",
        created_at=0.0,
        seen_at=0.0,
        expires_at=1.0,
        idle_s=1.0,
        user_id=user_id,
        identities=identities,
        clients=clients,
    )
    lines = [line.decode("ascii").split(": ", 1) for line in identity_lines(session, HOST, "sealed")]
    assert len({name for name, _ in lines}) == len(lines)
    return dict(lines)


def test_all_that_is_known_is_told():
    ada = identity(login="ada", name="Ada", email="ada@app.example", groups=("a", "b"), orgs=("o",))
    assert told(ada, clients=("google", "drive", "app.example/local")) == {
        "Proxy-Session": "sealed",
        "Proxy-Provider": "google,drive,local",
        "User-Id": "u1",
        "User-Login": "ada",
        "User-Name": "Ada",
        "User-Email": "ada@app.example",
        "User-Groups": "a,b",
        "User-Orgs": "o",
    }


def test_what_is_not_known_is_not_told():
    assert told(identity()) == {"Proxy-Session": "sealed", "User-Id": "u1"}


def test_a_session_without_a_person_tells_of_its_credentials_only():
    assert told(clients=("drive",), user_id="") == {"Proxy-Session": "sealed", "Proxy-Provider": "drive"}


def test_an_identity_that_is_not_of_the_hosts_sign_in_is_not_told():
    assert told(identity("drive", email="eve@evil.example", login="eve")) == {"Proxy-Session": "sealed"}
    both = told(identity("drive", login="eve", groups=("root",)), identity(login="ada"))
    assert (both["User-Login"], "User-Groups" in both) == ("ada", False)


def test_clients_of_other_hosts_are_not_listed():
    assert "Proxy-Provider" not in told(identity(), clients=("other.example/local", "unknown"))


def test_the_first_identity_that_knows_something_tells_it_and_lists_are_merged():
    found = told(
        identity(email="ada@app.example", groups=("a", "b")),
        identity("app.example/local", login="ada", email="other@app.example", groups=("b", "c")),
    )
    assert (found["User-Email"], found["User-Login"], found["User-Groups"]) == (
        "ada@app.example",
        "ada",
        "a,b,c",
    )


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("Zoë", "Zo%C3%AB"),
        ("A B", "A%20B"),
        ("a,b", "a,b"),
        ("50%", "50%25"),
        ("x\r\nX-Admin: 1", "x%0D%0AX-Admin:%201"),
        ("a\0b\x7f", "a%00b%7F"),
        ("!#$&'()*+-./:;<=>?@[]^_`{|}~\"\\", "!#$&'()*+-./:;<=>?@[]^_`{|}~\"\\"),
        ("日本", "%E6%97%A5%E6%9C%AC"),
    ],
    ids=repr,
)
def test_a_value_is_visible_ascii_and_nothing_is_lost(value, sent):
    assert told(identity(name=value))["User-Name"] == sent


def test_a_comma_in_an_item_is_no_new_item():
    assert told(identity(groups=("a,b", "c%", "d e")))["User-Groups"] == "a%2Cb,c%25,d%20e"


def test_a_list_that_is_too_long_is_left_out_whole():
    """A shortened list of groups would be a wrong one."""
    many = tuple(f"group-{number}" for number in range(2000))
    found = told(identity(groups=many, login="ada"))
    assert "User-Groups" not in found
    assert found["User-Login"] == "ada"
    fits = told(identity(name="x" * VALUE_LIMIT_BYTES))
    assert len(fits["User-Name"]) == VALUE_LIMIT_BYTES


@given(st.text(max_size=100), st.lists(st.text(min_size=1, max_size=20), max_size=5))
def test_no_text_makes_a_header_line_of_its_own(text, groups):
    found = told(identity(name=text, login=text, groups=tuple(groups)))
    for name, value in found.items():
        assert re.fullmatch(r"[!-~]+", value)
        assert is_owned(name)
    if text:
        assert unquote(found["User-Name"]) == text
    if groups:
        assert [unquote(item) for item in found["User-Groups"].split(",")] == list(dict.fromkeys(groups))
