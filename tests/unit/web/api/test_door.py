"""Who gets past the door of the API, and with what."""

from __future__ import annotations

import json

import pytest

from vestibule.errors import StoreError
from vestibule.service.admin import FAILURES_MAX

ALL_HEADERS = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
}


def bearer(api, name: str = "deploy") -> str:
    token: str = api.call("POST", "/tokens", {"name": name}).json["token"]
    return token


def by_port(api, *authorization: str, path: str = "/users", **options):
    more = [(b"authorization", value.encode()) for value in authorization]
    return api.call("GET", path, is_owner=False, address="127.0.0.1", more=more, **options)


def test_the_owner_of_the_socket_needs_no_token(api):
    assert api.call("GET", "/users").status == 200


def test_by_the_port_a_token_is_needed_and_enough(api):
    assert by_port(api, f"Bearer {bearer(api)}").status == 200
    assert by_port(api, f"bearer  {bearer(api)}").status == 200


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        ((), "admin_token_required"),
        (("",), "admin_token_required"),
        (("Basic YTpi",), "admin_token_required"),
        (("GOOD",), "admin_token_required"),
        (("Bearer",), "admin_token_invalid"),
        (("Bearer vst_admin_x",), "admin_token_invalid"),
        (("Bearer GOODx",), "admin_token_invalid"),
        (("Bearer GOOD, Bearer GOOD",), "admin_token_invalid"),
        (("Bearer GOOD", "Bearer GOOD"), "admin_token_required"),
        (("Bearer GOOD", "Bearer vst_admin_x"), "admin_token_required"),
    ],
)
@pytest.mark.parametrize("path", ["/users", "/openapi.json", "/nowhere", "/tokens"])
def test_anything_else_is_401_wherever_it_asks(api, authorization, code, path):
    good = bearer(api)
    answer = by_port(api, *(value.replace("GOOD", good) for value in authorization), path=path)
    assert (answer.status, answer.json["code"]) == (401, code)
    assert answer.headers["www-authenticate"] == 'Bearer realm="vestibule admin"'
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("name", ["access_token", "token", "authorization", "bearer"])
def test_a_token_in_the_query_is_refused_and_not_logged(api, name):
    good = bearer(api)
    assert by_port(api, path=f"/users?{name}={good}").status == 401
    known = api.call("GET", f"/users?{name}={good}")
    assert (known.status, known.json["faults"][0]["path"]) == (422, f"?{name}")
    assert good not in api.written.getvalue()


def test_wrong_tokens_without_end_are_429_and_say_when_to_come_again(api):
    answers = [by_port(api, "Bearer vst_admin_x") for _ in range(FAILURES_MAX + 1)]
    assert [answer.status for answer in answers] == [401] * FAILURES_MAX + [429]
    assert answers[-1].headers["retry-after"] == "60"
    assert api.call("GET", "/users").status == 200, "the socket is always open"


@pytest.mark.parametrize(
    "kind",
    [
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain",
        "text/plain; charset=application/json",
        "",
        "application/xml",
        "application/vnd.api+json",
    ],
)
def test_a_body_that_a_web_page_could_send_unasked_is_415(api, kind):
    headers = {"content-type": kind}
    answer = api.call("POST", "/tokens", body=b'{"name": "x"}', headers=headers)
    assert (answer.status, answer.json["code"]) == (415, "body_type")
    assert api.call("GET", "/tokens").json == {"items": []}


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8"])
def test_json_is_taken(api, kind):
    answer = api.call("POST", "/tokens", body=b'{"name": "x"}', headers={"content-type": kind})
    assert answer.status == 201


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"name": "a", "name": "b"}',
        b'{"name": "a", "n\\u0061me": "b"}',
        b'{"name": NaN}',
        b'{"name": "\xff"}',
        b'{"name": "\\ud800"}',
        b'{"name": "a"} {}',
        b"[" * 100_000,
        b'\xef\xbb\xbf{"name": "a"}',
    ],
    ids=lambda body: ascii(body[:24]),
)
def test_a_body_that_reads_in_two_ways_is_400(api, body):
    answer = api.call("POST", "/tokens", body=body)
    assert (answer.status, answer.json["code"]) == (400, "body_unreadable")


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b'"x"', ""),
        (b"[]", ""),
        (b"{}", "name"),
        (b'{"name": 1}', "name"),
        (b'{"name": "x", "admin": true}', "admin"),
        (b'{"name": "x", "expires_in": "1"}', "expires_in"),
        (b'{"name": "x", "expires_in": true}', "expires_in"),
        (b'{"name": "x", "expires_in": 1e99}', "expires_in"),
        (b'{"name": "a\\nb"}', "name"),
        (b'{"name": ""}', "name"),
    ],
    ids=repr,
)
def test_what_can_not_be_taken_is_422_with_its_path(api, body, path):
    answer = api.call("POST", "/tokens", body=body)
    assert answer.status == 422
    assert answer.json["code"] == "invalid"
    assert [fault["path"] for fault in answer.json["faults"]] == [path]


def test_the_values_that_were_sent_are_not_repeated(api):
    body = {"name": 7, "token": "hunter2", "openid_config": {"client_secret": "hunter2"}}
    answer = api.call("POST", "/tokens", body)
    assert answer.status == 422
    assert "hunter2" not in answer.text
    assert "hunter2" not in api.written.getvalue()


@pytest.mark.parametrize("path", ["", "/", "/nowhere", "/users/a/b/c", "/users/", "/tokens/x/y"])
def test_no_such_path_is_404(api, path):
    answer = api.call("GET", path)
    assert (answer.status, answer.json["code"], answer.json["id"]) == (404, "not_found", "req-0123")


def test_another_method_is_405_with_all_that_are_taken(api):
    answer = api.call("DELETE", "/tokens")
    assert (answer.status, answer.json["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, POST"
    assert api.call("POST", "/identity-providers/x").headers["allow"] == "DELETE, GET, PATCH, PUT"
    assert api.call("PUT", "/sessions/introspect").headers["allow"] == "POST"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/users", 200), ("GET", "/x", 404), ("PUT", "/users", 405), ("GET", "/users?limit=x", 422)],
)
def test_every_answer_has_the_same_guards(api, method, path, status):
    answer = api.call(method, path)
    assert answer.status == status
    assert {name: answer.headers[name] for name in ALL_HEADERS} == ALL_HEADERS


def test_a_fault_is_500_with_the_id_that_is_in_the_log_and_nothing_of_it(api, monkeypatch):
    async def broken() -> None:
        raise RuntimeError("hunter2")

    monkeypatch.setattr(api.tokens, "list", broken)
    answer = api.call("GET", "/tokens")
    assert (answer.status, answer.json["code"], answer.json["id"]) == (500, "internal_error", "req-0123")
    assert "hunter2" not in answer.text
    (fault,) = [one for one in api.log if one["event"] == "fault"]
    assert (fault["id"], "hunter2" in fault["error"]) == ("req-0123", True)


def test_the_store_away_is_503(api, monkeypatch):
    async def away(*args: object, **more: object) -> None:
        raise StoreError("The store can't be reached just now.", detail="postgres://secret")

    monkeypatch.setattr(api.store.people, "users", away)
    answer = api.call("GET", "/users")
    assert (answer.status, answer.json["code"], answer.headers["retry-after"]) == (
        503,
        "store_unavailable",
        "2",
    )
    assert "secret" not in answer.text


def test_a_problem_has_all_its_members(api):
    problem = api.call("GET", "/users?limit=0").json
    assert problem == {
        "type": "urn:vestibule:problem:invalid",
        "title": "Unprocessable Content",
        "status": 422,
        "code": "invalid",
        "detail": "?limit: input should be greater than or equal to 1",
        "id": "req-0123",
        "faults": [{"path": "?limit", "message": "input should be greater than or equal to 1"}],
    }


def test_a_refusal_is_one_line_of_the_log_without_the_query(api):
    api.call("GET", "/users?text=secret&limit=0")
    (line,) = api.log
    assert (line["event"], line["status"], line["path"]) == ("refused", 422, "/api/v1/users")
    assert "text" not in json.dumps(line["path"])
