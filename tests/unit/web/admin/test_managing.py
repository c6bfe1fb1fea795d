"""What the pages that manage something make of values and forms."""

from __future__ import annotations

import pytest

from tests.unit.web.admin.hall import Hall
from tests.unit.web.api.test_certificates import failing, want
from vestibule.config.row_form import filled_from, kinds
from vestibule.web.admin.audit import changes_of, written
from vestibule.web.admin.configuration import lines_of
from vestibule.web.admin.fields import fault_lines, number_of
from vestibule.web.admin.look import Look, place
from vestibule.web.admin.provider_form import Piece, groups_of, label_of, pieces, removed, title_of
from vestibule.web.admin.table import ITEMS, MANAGING


@pytest.mark.parametrize("kind", kinds())
def test_every_kind_has_a_form_whose_fields_are_told_apart(kind: str) -> None:
    fields = [field for group in groups_of(kind, {}) for field in group.fields]
    names = [field.name for field in fields]
    assert len(names) == len(set(names))
    assert names[:2] == ["id", "enabled"]
    assert [field.name for field in fields if not field.label or not field.hint] == []
    assert title_of(kind)


def test_a_secret_is_never_filled_in_only_said_to_be_set() -> None:
    groups = groups_of(
        "oidc", {"client_secret": "hunter2"}, secrets=["openid_config.client_secret"], is_new=False
    )
    (secret,) = [field for group in groups for field in group.fields if field.name == "client_secret"]
    assert (secret.value, secret.is_set, secret.is_needed) == ("", True, False)
    assert "hunter2" not in repr(groups)


def test_what_is_folded_is_open_where_something_is_wrong_in_it() -> None:
    def folded(**faults: str) -> list[bool]:
        return [group.is_folded for group in groups_of("oidc", {}, faults=faults)]

    assert folded() == [False, False, False, True]
    assert folded(scopes="is a list") == [False, False, False, False]


def test_what_somebody_else_has_put_there_is_said_where_it_differs() -> None:
    document = {"title": "Theirs", "email_domains": ["example.com"], "openid_config": {"userinfo": False}}
    mine = {"title": "Mine", "email_domains": "example.com\r\n", "userinfo": "yes"}
    current = {**filled_from("oidc", document), "sign_out_at_provider": "", "revoke_at_sign_out": ""}
    current["private_key_algorithm"] = ""
    groups = groups_of("oidc", mine, current=current)
    told = {field.name: field.now for group in groups for field in group.fields if field.now}
    assert told == {"title": "Theirs", "userinfo": "no"}


def test_only_a_secret_that_nobody_typed_anew_is_taken_away() -> None:
    form = {"remove_client_secret": "yes", "remove_private_key": "yes", "private_key": "another"}
    assert removed("oidc", form) == {"openid_config": {"client_secret": None}}
    assert removed("oidc", {"remove_client_id": "yes"}) == {}


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("client_id", "Client ID"),
        ("issuer", "Issuer"),
        ("email_domains", "E-mail domains"),
        ("allowed_orgs", "Allowed organisations"),
        ("require_pkce", "Require PKCE"),
        ("api_url", "API URL"),
    ],
)
def test_names_are_for_people(name: str, label: str) -> None:
    assert label_of(name) == label


def test_code_in_a_text_is_a_piece_of_its_own() -> None:
    assert pieces("Write `a = b`.") == (Piece("Write "), Piece("a = b", is_code=True), Piece("."))


def test_faults_stand_at_their_fields() -> None:
    faults = [("?url", "is none"), ("scopes[2]", "is odd"), ("scopes[3]", "is odd"), ("", "all of it")]
    assert fault_lines(faults) == {"url": "is none", "scopes": "is odd", "": "all of it"}


@pytest.mark.parametrize(
    ("text", "number"), [(" 7 ", 7), ("", None), ("-1", None), ("1e3", None), ("٣", None), ("9" * 10, None)]
)
def test_a_number_is_written_in_digits(text: str, number: int | None) -> None:
    assert number_of(text) == number


def test_before_and_after_stand_side_by_side() -> None:
    changes = changes_of({"enabled": False, "title": "A"}, {"enabled": True, "groups": ["a", "b"]})
    assert changes == [
        {"name": "enabled", "before": "no", "after": "yes"},
        {"name": "title", "before": "A", "after": None},
        {"name": "groups", "before": None, "after": "a\nb"},
    ]
    assert changes_of(None, None) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "nothing"), (3, "3"), ([], ""), ({"a": "é"}, '{\n  "a": "é"\n}'), ([1], "[\n  1\n]")],
)
def test_values_of_the_trail_are_written_for_people(value: object, text: str) -> None:
    assert written(value) == text


def test_the_lines_of_a_difference_say_what_they_are() -> None:
    diff = "--- in force\n+++ files\n@@ -1 +1 @@\n-old\n+new\n same"
    assert [line["kind"] for line in lines_of(diff)] == ["head", "head", "place", "removed", "added", "same"]


def test_a_place_is_short_and_knows_where_it_is() -> None:
    shown = str(place('/etc/ve"st/app.hcl:7'))
    assert shown == '<code class="place" title="/etc/ve&#34;st/app.hcl:7">app.hcl:7</code>'


def test_everything_in_the_navigation_is_a_page() -> None:
    assert [item.path for item in ITEMS if "GET" not in MANAGING.get(item.path, {})] == []


def test_the_link_to_a_hosts_own_provider_is_one_segment() -> None:
    one = {"id": "app.example.com/office", "title": "Office", "version": 1}
    values = {"title": "x", "nav": (), "me": None, "form_token": "", "said": "", "request_id": "", "now": 0}
    shown = Look().render("provider_disable.html", {**values, "one": one})
    assert 'href="/providers/app.example.com%2Foffice"' in shown


def test_names_without_a_certificate_stand_above_all_others_with_what_to_do() -> None:
    hall = Hall()
    want(hall.desk, "new.example.com", "bad.example.com")
    hall.desk.orders = (failing("bad.example.com", hall.desk.now + 60),)
    text = hall.get("/certificates").text
    assert text.index("bad.example.com") < text.index("new.example.com")
    for part in ("failing", "none yet", "NXDOMAIN looking up A", "point an A record here", "Tried again"):
        assert part in text
