"""The pages of machine keys, and the one list of all that opens anything."""

from __future__ import annotations

import html
import re

import pytest

from tests.unit.web.admin.hall import Hall

NEW = "/machine-keys/new"


def made(hall: Hall, name: str = "nas") -> str:
    """A key of the machine `backup`, made by the form."""
    reply = hall.post(NEW, {"machine": "backup", "name": name, "days": "30"}, on=NEW)
    assert reply.status == 201
    [key] = set(re.findall(r"vst_mk_\w+", html.unescape(reply.text)))
    return key


def test_a_key_is_shown_once_and_listed_without_itself():
    hall = Hall()
    key = made(hall)
    for path in ("/machine-keys", "/held"):
        shown = hall.get(path).text
        assert "backup" in shown
        assert "nas" in shown
        assert key not in shown


def test_who_revokes_is_asked_first_and_it_is_gone_then():
    hall = Hall()
    made(hall)
    [path] = set(re.findall(r'href="(/machine-keys/[^"]+/revoke)"', hall.get("/held").text))
    assert "Revoke this key of backup?" in html.unescape(hall.get(path).text)
    assert hall.post(path, on=path).status == 303
    assert "No machine has a key." in hall.get("/machine-keys").text
    assert hall.get(path).status == 404


@pytest.mark.parametrize(
    ("fields", "status", "said"),
    [
        ({"machine": ""}, 422, "is missing"),
        ({"machine": "backup", "days": "soon"}, 422, "is a number of days"),
        ({"machine": "backup", "days": "0"}, 422, "is a number of days"),
        ({"machine": "nobody"}, 404, "There is no machine nobody"),
    ],
)
def test_what_cannot_be_is_said_at_its_field_and_nothing_is_made(fields, status, said):
    hall = Hall()
    reply = hall.post(NEW, fields, on=NEW)
    assert (reply.status, said in html.unescape(reply.text)) == (status, True)
    assert "No machine has a key." in hall.get("/machine-keys").text


def test_a_machine_with_two_keys_has_no_third():
    hall = Hall()
    for name in ("one", "two"):
        made(hall, name)
    reply = hall.post(NEW, {"machine": "backup"}, on=NEW)
    assert (reply.status, "2 keys at most" in html.unescape(reply.text)) == (409, True)


def test_all_kinds_are_in_one_list():
    hall = Hall()
    made(hall)
    hall.post("/tokens/new", {"name": "ci", "kind": "all"}, on="/tokens/new")
    shown = hall.get("/held").text
    kinds = re.findall(r'data-label="Kind"><span class="tag">(\w+)<', shown)
    assert sorted(kinds) == ["admin", "machine"]
    assert "/tokens/" in shown
