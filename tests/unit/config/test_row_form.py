"""What a kind takes, as a form has it: every setting that the reader of rows takes, and no fault without a field."""

from __future__ import annotations

import pytest

from vestibule.config.client import class_of, fields_of
from vestibule.config.row import read_row, section_of
from vestibule.config.row_form import (
    Setting,
    document_of,
    faults_by_field,
    filled_from,
    kinds,
    patch_between,
    settings_of,
    value_of,
)
from vestibule.errors import Invalid
from vestibule.providers.oauth2 import AUTH_STYLES

OKTA = {
    "id": "okta",
    "provider_type": "oidc",
    "enabled": True,
    "title": "Okta",
    "email_domains": ["example.com", "example.org"],
    "openid_config": {
        "client_id": "0oa1",
        "issuer_url": "https://example.okta.com",
        "userinfo": False,
        "allowed_groups": ["staff, all", "admins"],
        "claims": {"groups": "realm.groups", "name": "given_name"},
        "authorize_parameters": {"prompt": "consent"},
    },
}


def test_a_kind_that_no_row_can_be_of_has_no_form() -> None:
    assert "oidc" in kinds()
    assert "oauth2" in kinds()
    assert "service_account" not in kinds()
    with pytest.raises(KeyError):
        settings_of("service_account")


@pytest.mark.parametrize("kind", kinds())
def test_the_form_of_a_kind_has_what_the_reader_takes_each_with_its_text(kind: str) -> None:
    cls = class_of(kind)
    assert cls is not None
    taken = {
        field.name for name, field in fields_of(cls).attributes.items() if not name.endswith("_file")
    } - ({"issuer"} if kind == "oauth2" else set())
    settings = settings_of(kind)
    parameters = {"authorize_parameters"} & set(cls.__struct_fields__)
    assert parameters or kind == "saml"
    assert {one.name for one in settings} == taken | parameters
    assert [one.name for one in settings if not one.text] == []
    assert {one.name for one in settings if one.is_required} >= {"email_domains"}


@pytest.mark.parametrize("kind", kinds())
def test_no_secret_of_any_kind_is_ever_filled_in(kind: str) -> None:
    secret = [one for one in settings_of(kind) if one.shape in {"secret", "key"}]
    assert ("private_key" if kind == "saml" else "client_secret") in {one.name for one in secret}
    filled = filled_from(kind, {section_of(kind): {}})
    assert {filled[one.name] for one in secret} == {""}


def test_a_document_goes_through_the_form_unchanged() -> None:
    filled = filled_from("oidc", OKTA)
    assert filled["issuer"] == "https://example.okta.com"
    assert filled["allowed_groups"] == "staff, all\nadmins"
    assert filled["claims"] == "groups = realm.groups\nname = given_name"
    assert document_of("oidc", filled, OKTA) == OKTA
    assert patch_between(OKTA, document_of("oidc", filled, OKTA)) == {}


def test_only_what_was_changed_is_in_the_patch() -> None:
    filled = {
        **filled_from("oidc", OKTA),
        "title": "",
        "enabled": "",
        "userinfo": "yes",
        "claims": "groups = roles",
        "client_secret": "new one",
    }
    assert patch_between(OKTA, document_of("oidc", filled, OKTA)) == {
        "title": None,
        "enabled": False,
        "openid_config": {
            "userinfo": True,
            "client_secret": "new one",
            "claims": {"groups": "roles", "name": None},
        },
    }


def test_what_a_form_makes_is_a_row() -> None:
    filled = {
        "id": " git ",
        "enabled": "yes",
        "email_domains": "example.com,example.org\r\n",
        "client_id": "Iv1",
        "client_secret": "hunter2",
        "allowed_orgs": "example\r\n\r\nother",
        "revoke_at_sign_out": "yes",
    }
    row = read_row(document_of("github", filled))
    assert (row.id, row.kind, row.enabled) == ("git", "github", True)
    assert row.document["email_domains"] == ["example.com", "example.org"]
    assert row.document["github_config"] == {"client_id": "Iv1", "allowed_orgs": ["example", "other"]}
    assert list(row.secrets) == ["github_config.client_secret"]


def test_what_is_ticked_by_default_is_written_when_it_is_not_ticked() -> None:
    assert document_of("github", {"enabled": "yes"})["github_config"] == {"revoke_at_sign_out": False}


def test_what_can_be_chosen_is_what_the_class_takes() -> None:
    (styles,) = [one.choices for one in settings_of("oidc") if one.name == "auth_style"]
    assert styles == ("", *AUTH_STYLES)


def test_the_lines_of_a_key_stay() -> None:
    key = Setting(name="private_key", shape="key", group="client")
    assert value_of(key, "-----BEGIN\r\nabc\r\n-----END\r\n") == "-----BEGIN\nabc\n-----END"


@pytest.mark.parametrize(
    ("kind", "document", "fields"),
    [
        pytest.param(
            "oidc",
            {"provider_type": "oidc", "openid_config": {"issuer_url": "ftp://x"}},
            {"client_id", "email_domains", "issuer"},
            id="what is missing",
        ),
        pytest.param(
            "oidc",
            {
                "provider_type": "oidc",
                "email_domains": ["example.com"],
                "openid_config": {"client_id": "a", "issuer_url": "https://10.0.0.1"},
            },
            {"issuer"},
            id="by another name",
        ),
        pytest.param(
            "github",
            {
                "provider_type": "github",
                "id": "no good",
                "email_domains": ["example.com", "b@"],
                "github_config": {"client_id": "a", "allowed_teams": ["a"]},
            },
            {"id", "email_domains", "allowed_teams"},
            id="an item, and what the class says",
        ),
        pytest.param(
            "oidc",
            {
                "provider_type": "oidc",
                "email_domains": ["example.com"],
                "openid_config": {
                    "client_id": "a",
                    "issuer": "https://x.example",
                    "authorize_parameters": {"state": "x"},
                },
            },
            {"authorize_parameters"},
            id="in an object",
        ),
    ],
)
def test_every_fault_stands_at_its_field(kind: str, document: dict[str, object], fields: set[str]) -> None:
    with pytest.raises(Invalid) as caught:
        read_row(document)
    assert set(faults_by_field(kind, caught.value.faults)) == fields


def test_a_fault_that_is_about_no_field_is_told_above_the_form() -> None:
    faults = (("", "is another of the same type, client ID and issuer"), ("openid_config", "is odd"))
    assert faults_by_field("oidc", faults) == {
        "": "is another of the same type, client ID and issuer; openid_config: is odd"
    }
