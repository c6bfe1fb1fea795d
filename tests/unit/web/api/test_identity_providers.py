"""Identity providers: those of the database, and how those of the configuration are shown."""

from __future__ import annotations

import json

import msgspec
import pytest

from tests.unit.web.api.desk import OKTA

SECRET = "s3cret-of-okta"
PATH = "/identity-providers/okta"


@pytest.fixture
def made(api) -> dict:
    answer = api.call("POST", "/identity-providers", OKTA)
    assert answer.status == 201, answer.text
    return answer.json


def test_a_provider_is_made_and_shown_without_its_secret(api, made):
    assert made == {
        "id": "okta",
        "provider_type": "oidc",
        "enabled": True,
        "title": "okta",
        "email_domains": ["example.com"],
        "openid_config": {"client_id": "0oa1", "issuer_url": "https://example.okta.com"},
        "source": "database",
        "secrets": ["openid_config.client_secret"],
        "faults": [],
        "redirect_urls": ["https://app.example.com/@okta/callback"],
        "version": 0,
        "created_at": "2027-01-15T08:00:00Z",
        "updated_at": "2027-01-15T08:00:00Z",
    }
    assert api.call("GET", PATH).json == made
    assert api.call("GET", "/identity-providers").json == {"items": [made]}
    assert api.changes == [("socket", "provider.created", "provider okta")]


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(
            {
                "enabled": True,
                "provider_type": "oidc",
                "openid_config": {
                    "client_id": "x" * 32,
                    "client_secret": "x" * 64,
                    "issuer_url": "https://audience.auth0.com",
                    "redirect_url": "https://app.example.com/auth",
                },
            },
            id="Auth0 as a generic OpenID provider",
        ),
        pytest.param(
            {
                "enabled": True,
                "provider_type": "github",
                "github_config": {
                    "client_id": "X" * 20,
                    "allowed_orgs": ["999999999"],
                    "redirect_url": "https://app.example.com/auth",
                    "allowed_teams": ["1111111"],
                    "client_secret": "x" * 40,
                },
            },
            id="GitHub",
        ),
    ],
)
def test_the_shapes_of_the_auth_service_are_taken(api, document):
    answer = api.call("POST", "/identity-providers", {**document, "email_domains": ["example.com"]})
    assert answer.status == 201, answer.text
    assert answer.json["id"] == document["provider_type"]
    assert answer.json["faults"] == []


def test_every_fault_is_told_with_its_path(api):
    document = {
        "provider_type": "oidc",
        "email_domains": [],
        "openid_config": {"client_secret": SECRET, "issuer_url": "https://10.0.0.1", "colour": "red"},
        "github_config": {},
    }
    answer = api.call("POST", "/identity-providers", document)
    assert answer.status == 422
    paths = {fault["path"] for fault in answer.json["faults"]}
    assert paths >= {"email_domains", "openid_config.colour", "openid_config.issuer_url", "github_config"}
    assert SECRET not in answer.text
    assert SECRET not in api.written.getvalue()
    assert api.call("GET", "/identity-providers").json == {"items": []}


def test_an_id_that_is_taken_is_409_and_asks_for_one(api, made):
    again = api.call("POST", "/identity-providers", OKTA)
    assert (again.status, again.json["code"]) == (409, "taken")
    assert '"id"' in again.json["detail"]


def test_the_same_client_twice_is_409(api, made):
    twin = api.call("POST", "/identity-providers", {**OKTA, "id": "other"})
    assert (twin.status, twin.json["code"]) == (409, "duplicate")


# -- changes ----------------------------------------------------------------------------------


def test_a_patch_keeps_what_it_does_not_name_and_raises_the_version(api, made):
    changed = api.call("PATCH", PATH, {"title": "Okta", "openid_config": {"scopes": ["openid", "email"]}})
    assert changed.status == 200, changed.text
    assert changed.json["title"] == "Okta"
    assert changed.json["openid_config"]["client_id"] == "0oa1"
    assert changed.json["secrets"] == ["openid_config.client_secret"]
    assert (made["version"], changed.json["version"]) == (0, 1)
    assert changed.headers["etag"] == '"1"'
    assert api.call("GET", PATH).headers["etag"] == '"1"'


def test_a_merge_patch_by_its_own_type_is_taken(api, made):
    kind = {"content-type": "application/merge-patch+json"}
    assert api.call("PATCH", PATH, {"title": "Okta"}, headers=kind).status == 200


def test_what_is_shown_can_be_sent_back(api, made):
    replaced = api.call("PUT", PATH, made | {"title": "Okta"})
    assert replaced.status == 200, replaced.text
    assert replaced.json["title"] == "Okta"
    assert replaced.json["secrets"] == ["openid_config.client_secret"]


@pytest.mark.parametrize("method", ["PATCH", "PUT", "DELETE"])
def test_an_old_version_is_412_and_changes_nothing(api, made, method):
    api.call("PATCH", PATH, {"title": "One"})
    value = None if method == "DELETE" else {**OKTA, "title": "Two"}
    refused = api.call(method, PATH, value, headers={"if-match": '"0"'})
    assert (refused.status, refused.json["code"]) == (412, "changed")
    assert api.call("GET", PATH).json["title"] == "One"


@pytest.mark.parametrize("version", ['"1"', "*"])
def test_the_version_there_is_passes(api, made, version):
    api.call("PATCH", PATH, {"title": "One"})
    assert api.call("PATCH", PATH, {"title": "Two"}, headers={"if-match": version}).status == 200


@pytest.mark.parametrize("version", ["1", 'W/"1"', '"a"', '"1", "2"', "null", '"' + "9" * 30 + '"'])
def test_what_is_no_version_is_422(api, made, version):
    refused = api.call("PATCH", PATH, {"title": "Two"}, headers={"if-match": version})
    assert (refused.status, refused.json["faults"][0]["path"]) == (422, "if-match")


def test_another_address_takes_the_secret_anew(api, made):
    """Threat: who may write but not read secrets points a provider at a server of their own."""
    moved = {"openid_config": {"issuer_url": "https://evil.example"}}
    refused = api.call("PATCH", PATH, moved)
    assert refused.status == 422
    assert refused.json["faults"][0]["path"] == "openid_config.client_secret"


def test_off_and_on_again(api, made):
    off = api.call("POST", f"{PATH}/disable")
    assert (off.status, off.json["enabled"]) == (200, False)
    assert list(api.registry.offer.providers) == []
    on = api.call("POST", f"{PATH}/enable")
    assert (on.status, on.json["enabled"]) == (200, True)
    assert list(api.registry.offer.providers) == ["okta"]
    assert on.headers["etag"] == '"2"'


def test_a_deleted_one_is_gone(api, made):
    assert api.call("DELETE", PATH).status == 204
    assert list(api.registry.offer.providers) == []
    assert api.call("GET", PATH).status == 404
    assert api.call("DELETE", PATH).status == 404
    assert api.changes[-1] == ("socket", "provider.deleted", "provider okta")


@pytest.mark.parametrize(
    ("method", "path", "value"),
    [
        ("GET", "", None),
        ("PATCH", "", {"title": "x"}),
        ("PUT", "", OKTA),
        ("DELETE", "", None),
        ("POST", "/enable", None),
        ("POST", "/disable", None),
        ("POST", "/test", None),
    ],
)
def test_no_such_provider_is_404(api, method, path, value):
    assert api.call(method, f"/identity-providers/nobody{path}", value).status == 404


def test_a_test_says_which_url_to_register_and_what_is_wrong(api, made):
    tested = api.call("POST", f"{PATH}/test")
    assert tested.status == 200
    first, *others = tested.json["findings"]
    assert (first["what"], first["detail"]) == ("redirect URL", "https://app.example.com/@okta/callback")
    assert tested.json["ok"] is False, "nobody is reached from here"
    assert not all(one["ok"] for one in others)
    assert SECRET not in tested.text


# -- rows that are no good, and those of the configuration ------------------------------------


def test_a_malformed_row_is_listed_with_its_faults_and_hurts_no_other(api, made):
    (kept,) = api.do(api.store.identity_providers.all())
    broken = msgspec.structs.replace(kept, id="broken", config="{not json")
    other = msgspec.structs.replace(
        kept, id="odd", config=json.dumps({**OKTA, "id": "odd", "email_domains": []})
    )
    for row in (broken, other):
        assert api.do(api.store.identity_providers.insert(row))
    api.do(api.registry.reload())
    items = {one["id"]: one for one in api.call("GET", "/identity-providers").json["items"]}
    assert items["okta"]["faults"] == []
    assert items["broken"]["faults"]
    assert items["odd"]["faults"]
    assert list(api.registry.offer.providers) == ["okta"]
    assert api.call("POST", "/identity-providers/broken/disable").status == 200
    assert api.call("DELETE", "/identity-providers/broken").status == 204


def test_one_of_the_configuration_is_shown_and_can_not_be_changed(api):
    row = api.do(api.registry.create(OKTA))
    provider = api.registry.offer.providers["okta"]
    api.do(api.registry.delete(row.id))
    api.registry._providers = {"okta": provider, "app.example.com/okta": provider}
    shown = api.call("GET", PATH)
    assert (shown.status, shown.json["source"]) == (200, "configuration")
    assert "etag" not in shown.headers
    inner = api.call("GET", "/identity-providers/app.example.com%2Fokta")
    assert (inner.status, inner.json["id"]) == (200, "app.example.com/okta")
    for method, value in (("PATCH", {"title": "x"}), ("DELETE", None)):
        refused = api.call(method, PATH, value)
        assert (refused.status, refused.json["code"]) == (409, "fixed")
