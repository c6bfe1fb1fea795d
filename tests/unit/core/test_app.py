"""Where an app's answers may go."""

from __future__ import annotations

import pytest

from vestibule.core.app import (
    REGISTERED,
    App,
    Apps,
    asks_person,
    goes_unasked,
    is_registered_id,
    may_redirect,
    redirect_fault,
    shown_place,
)

LINK = "https://forum.example.com/app/callback"
OWN = "com.example.forum:/callback"
LOOPBACK = "http://127.0.0.1/callback"
APP = App(id="ios", hosts=("forum.example.com",), redirects=(LINK, OWN, LOOPBACK, "http://[::1]:9/x?a=1"))


@pytest.mark.parametrize(
    "uri",
    [
        LINK,
        OWN,
        LOOPBACK,
        "http://127.0.0.1:49152/callback",
        "http://127.0.0.1:1/callback",
        "http://[::1]:7/x?a=1",
    ],
    ids=["link", "scheme", "loopback", "port", "another port", "IPv6, query"],
)
def test_answers_go_where_the_operator_wrote(uri):
    assert may_redirect(APP, uri)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        LINK + "/",
        LINK + "?x=1",
        LINK + "#x",
        "https://forum.example.com:443/app/callback",
        "https://FORUM.example.com/app/callback",
        "https://forum.example.com@evil.example/app/callback",
        "https://evil.example/app/callback",
        "http://forum.example.com/app/callback",
        "com.example.forum:/other",
        "com.example.forum2:/callback",
        "http://localhost/callback",
        "http://127.0.0.2/callback",
        "http://127.0.0.1:80/other",
        "http://127.0.0.1:99999/callback",
        "http://user@127.0.0.1/callback",
        "http://127.0.0.1/callback?x=1",
        "http://127.0.0.1/callback#x",
        "javascript:alert(1)",
        "http://127.0.0.1/callback\n",
        "http://127.0.0.1\\@evil.example/callback",
    ],
)
def test_and_nowhere_else(uri):
    assert not may_redirect(APP, uri)


@pytest.mark.parametrize(
    ("uri", "is_good"),
    [
        (LINK, True),
        (OWN, True),
        (LOOPBACK, True),
        ("http://[::1]/x", True),
        ("http://forum.example.com/x", False),
        ("http://localhost/x", False),
        ("https:///x", False),
        ("forum:/x", False),
        ("javascript:alert(1)", False),
        ("data:text/html,x", False),
        ("https://a.example/#x", False),
        ("https://u:p@a.example/", False),
        ("https://a.example:port/", False),
        ("https://bücher.example/", False),
        ("/callback", False),
        ("", False),
    ],
)
def test_what_an_operator_may_write(uri, is_good):
    assert (redirect_fault(uri) == "") is is_good


def test_a_person_is_asked_where_any_program_could_be_at_the_other_end():
    assert [asks_person(APP, uri) for uri in (LINK, OWN, LOOPBACK)] == [False, True, True]
    assert asks_person(App(id="x", confirms=True), LINK)
    assert not asks_person(App(id="x", confirms=False), OWN)


def test_apps_are_found_by_their_host():
    other = App(id="cli", hosts=("api.example.com",))
    apps = Apps.of((APP, other))
    assert apps.of_host("forum.example.com") == (APP,)
    assert apps.of_host("nobody.example.com") == ()


# -- apps that registered themselves ----------------------------------------------------------

CLIENT = App(
    id=REGISTERED + "x" * 43, redirects=("http://localhost:1/cb", LINK, "cursor.app:/cb"), is_registered=True
)


@pytest.mark.parametrize(
    ("uri", "may"),
    [
        ("http://localhost:1/cb", True),
        ("http://localhost:54321/cb", True),
        ("http://127.0.0.1:1/cb", False),
        ("http://localhost.evil.example/cb", False),
        (LINK, True),
        ("cursor.app:/cb", True),
    ],
    ids=["as registered", "any port", "another name", "a name like it", "link", "scheme"],
)
def test_one_that_registered_itself_may_be_at_localhost(uri, may):
    assert may_redirect(CLIENT, uri) is may


def test_no_operator_writes_localhost_and_none_registers_what_runs_in_a_browser():
    assert redirect_fault("http://localhost:1/cb")
    assert not redirect_fault("http://localhost:1/cb", is_registered=True)
    for uri in (
        "javascript:alert(1)",
        "data:text/html,x",
        "http://evil.example/",
        "file:///etc/passwd",
        "/x",
    ):
        assert redirect_fault(uri, is_registered=True), uri


def test_a_person_is_asked_always_wherever_it_says_it_is():
    assert all(asks_person(CLIENT, uri) for uri in CLIENT.redirects)


def test_nobody_is_sent_unasked_where_it_likes():
    assert [goes_unasked(CLIENT, uri) for uri in CLIENT.redirects] == [True, False, False]
    assert all(goes_unasked(APP, uri) for uri in (LINK, OWN, LOOPBACK))


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("http://localhost:1/cb", "localhost"),
        ("https://claude.example/cb", "claude.example"),
        ("cursor.app:/cb", "cursor.app:"),
        ("cursor.app://google.com/cb", "cursor.app:"),
    ],
)
def test_people_see_where_the_answer_goes(uri, shown):
    assert shown_place(uri) == shown


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        (REGISTERED + "x" * 43, True),
        (REGISTERED + "x" * 42, False),
        (REGISTERED + "x" * 44, False),
        (REGISTERED + "x" * 42 + "/", False),
        (REGISTERED, False),
        ("x" * 43, False),
    ],
)
def test_ids_of_theirs_are_known_by_their_form(text, is_one):
    assert is_registered_id(text) is is_one
