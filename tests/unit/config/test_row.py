"""Providers of the database: read like those of files, each fault with its path, nothing that leads inside."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from vestibule.config.client import class_of, fields_of, provider_kinds
from vestibule.config.row import (
    READ_ONLY,
    Row,
    joined,
    moved,
    patched,
    place_of,
    read_row,
    section_of,
    word_of,
)
from vestibule.errors import Invalid
from vestibule.model import Secret
from vestibule.protocol.address import Networks

OIDC: dict[str, Any] = {
    "enabled": True,
    "provider_type": "oidc",
    "email_domains": ["example.com"],
    "openid_config": {
        "client_id": "xxxxxxxx",
        "client_secret": "hunter2",
        "issuer_url": "https://audience.auth0.com",
        "redirect_url": "http://auth.byoc.org.co/auth",
    },
}
GITHUB: dict[str, Any] = {
    "enabled": True,
    "provider_type": "github",
    "email_domains": ["example.com"],
    "github_config": {
        "client_id": "XXXXXXXX",
        "allowed_orgs": ["999999999"],
        "redirect_url": "https://auth.byoc.org.co/auth",
        "allowed_teams": ["1111111"],
        "client_secret": "hunter2",
    },
}
GOOGLE: dict[str, Any] = {
    "provider_type": "google",
    "email_domains": ["example.com"],
    "google_config": {"client_id": "a", "client_secret": "hunter2"},
}
HOSTS = frozenset({"auth.byoc.org.co"})


def faults(document: dict[str, Any], **more: Any) -> dict[str, str]:
    """Message by path."""
    with pytest.raises(Invalid) as caught:
        read_row(document, **more)
    assert "hunter2" not in str(caught.value)
    return dict(caught.value.faults)


def with_settings(document: dict[str, Any], **settings: Any) -> dict[str, Any]:
    section = next(name for name in document if name.endswith("_config"))
    return {**document, section: {**document[section], **settings}}


# -- what is read -----------------------------------------------------------------------------


def test_auth0_as_the_seed_writes_it() -> None:
    row = read_row(OIDC, hosts=HOSTS)
    config: Any = row.config
    assert (row.id, row.kind, row.enabled) == ("oidc", "oidc", True)
    assert config.issuer == "https://audience.auth0.com"
    assert config.redirect_url == "http://auth.byoc.org.co/auth"
    assert config.email_domains == ("example.com",)
    assert config.client_secret.reveal() == "hunter2"
    assert config.is_trusted is False
    assert row.config.open().is_trusted is False


def test_github_as_the_seed_writes_it() -> None:
    config: Any = read_row(GITHUB, hosts=HOSTS).config
    assert config.allowed_orgs == ("999999999",)
    assert config.allowed_teams == ("1111111",)


def test_secrets_are_split_off_and_put_back() -> None:
    row = read_row(OIDC)
    assert "hunter2" not in repr(row)
    assert "client_secret" not in row.document["openid_config"]
    assert row.secrets == {"openid_config.client_secret": Secret("hunter2")}
    assert read_row(joined(row.document, row.secrets)) == row
    assert joined({"id": "x"}, row.secrets) == {"id": "x"}


def test_what_is_shown_can_be_sent_back() -> None:
    assert read_row({**OIDC, **dict.fromkeys(READ_ONLY, "anything")}) == read_row(OIDC)


@pytest.mark.parametrize(
    ("document", "attribute", "expected"),
    [
        ({**GOOGLE, "title": "Work"}, "title", "Work"),
        (with_settings(OIDC, claims={"groups": "realm.roles"}), "claims", {"groups": "realm.roles"}),
        (
            with_settings(OIDC, authorize_parameters={"prompt": "consent"}),
            "authorize_parameters",
            (("prompt", "consent"),),
        ),
        (with_settings(OIDC, client_secret=None), "client_secret", Secret("")),
        ({**GOOGLE, "email_domains": ["Example.COM.", "example.com"]}, "email_domains", ("example.com",)),
        (with_settings(GOOGLE, scopes=["openid"]), "scopes", ("openid",)),
    ],
)
def test_every_setting_of_a_file_may_stand_in_a_row(
    document: dict[str, Any], attribute: str, expected: object
) -> None:
    assert getattr(read_row(document).config, attribute) == expected


def test_the_older_name_of_the_section_is_read() -> None:
    older = {**OIDC, "oidc_config": OIDC["openid_config"]}
    del older["openid_config"]
    assert read_row(older) == read_row(OIDC)


# -- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "path", "message"),
    [
        ({}, "provider_type", "is missing; there are "),
        ({**GOOGLE, "provider_type": "gogle"}, "provider_type", "did you mean `google`?"),
        ({**GOOGLE, "provider_type": ["google"]}, "provider_type", "is one of "),
        ({**GOOGLE, "provider_type": "client_credentials"}, "provider_type", "there is no kind of provider"),
        ({**GOOGLE, "enabled": "yes"}, "enabled", "is true or false"),
        ({**GOOGLE, "id": "a/b"}, "id", "can't stand in /@ID/signin"),
        ({**GOOGLE, "id": 5}, "id", "is text"),
        ({**GOOGLE, "id": ""}, "id", "can't stand in /@ID/signin"),
        ({**GOOGLE, "title": 5}, "title", "`title` is a text in double quotes, not a number"),
        ({**GOOGLE, "titel": "x"}, "titel", "did you mean `title`?"),
        ({**GOOGLE, "is_trusted": True}, "is_trusted", "there is no such setting here"),
        (
            {**GOOGLE, "github_config": {}},
            "github_config",
            "the settings of the type google stand in google_config",
        ),
        ({**GOOGLE, "google_config": []}, "google_config", "is an object"),
        ({"provider_type": "google", "email_domains": ["a.example"]}, "google_config", "is missing"),
        (with_settings(GOOGLE, client_id=""), "google_config.client_id", "`client_id` is empty"),
        (with_settings(GOOGLE, client_secret=""), "google_config.client_secret", "`client_secret` is empty"),
        (with_settings(GOOGLE, client_secret=["a"]), "google_config.client_secret", "not a list"),
        (with_settings(GOOGLE, is_trusted=True), "google_config.is_trusted", "there is no attribute"),
        (
            {
                "provider_type": "entra",
                "email_domains": ["a.example"],
                "entra_config": {"client_id": "a", "tenant": "t", "federated_token_file": "/etc/shadow"},
            },
            "entra_config.federated_token_file",
            "it names a file",
        ),
        (with_settings(GOOGLE, name="x"), "google_config.name", "there is no attribute"),
        (with_settings(GOOGLE, title="x"), "google_config.title", "stands beside google_config"),
        (
            with_settings(GOOGLE, type="oidc"),
            "google_config.type",
            "stands beside google_config, as `provider_type`",
        ),
        (with_settings(GOOGLE, scopes="openid"), "google_config.scopes", "`scopes` is a list"),
        (with_settings(GITHUB, allowed_orgs=["a", 2]), "github_config.allowed_orgs[1]", "not a number"),
        (with_settings(OIDC, claims={"groups": ["a"]}), "openid_config.claims.groups", "is one text"),
        (with_settings(OIDC, issuer="https://b.example"), "openid_config.issuer", "write one of them"),
        (
            with_settings(OIDC, authorize_parameters={"state": "x"}),
            "openid_config.authorize_parameters.state",
            "is set by the gateway",
        ),
        (
            with_settings(OIDC, authorize_parameters=["prompt"]),
            "openid_config.authorize_parameters",
            'is an object: {"prompt": "consent"}',
        ),
        (with_settings(OIDC, auth_style="odd"), "openid_config.auth_style", "auth_style is one of"),
        (
            {
                "provider_type": "oauth2",
                "email_domains": ["a.example"],
                "oauth2_config": {
                    "client_id": "a",
                    "authorize_url": "https://a.example/a",
                    "access_token_url": "https://a.example/t",
                },
            },
            "oauth2_config",
            "says nothing of who people are",
        ),
    ],
)
def test_a_fault_has_its_path(document: dict[str, Any], path: str, message: str) -> None:
    found = faults(document)
    assert message in found.get(path, ""), found


def test_all_faults_are_told_at_once() -> None:
    found = faults(
        {
            "provider_type": "oidc",
            "id": "!",
            "enabled": 1,
            "email_domains": ["ok.example", "@b"],
            "openid_config": {"issuer": "nowhere", "scopes": 5, "bogus": 1},
        }
    )
    assert set(found) == {
        "id",
        "enabled",
        "email_domains[1]",
        "openid_config",
        "openid_config.scopes",
        "openid_config.bogus",
    }


@pytest.mark.parametrize(
    ("domains", "path"),
    [
        (None, "email_domains"),
        ([], "email_domains"),
        ("example.com", "email_domains"),
        ({}, "email_domains"),
        (["example.com", ""], "email_domains[1]"),
        (["@example.com"], "email_domains[0]"),
        (["a@example.com"], "email_domains[0]"),
        (["*"], "email_domains[0]"),
        (["*.example.com"], "email_domains[0]"),
        (["com"], "email_domains[0]"),
        (["https://example.com"], "email_domains[0]"),
        (["example.com:443"], "email_domains[0]"),
        (["10.0.0.1"], "email_domains[0]"),
        ([["example.com"]], "email_domains[0]"),
    ],
)
def test_domains_must_be_named(domains: Any, path: str) -> None:
    assert path in faults({**GOOGLE, "email_domains": domains})


@pytest.mark.parametrize(
    "url",
    [
        "https://localhost/",
        "http://localhost:8080",
        "https://a.localhost",
        "https://127.0.0.1",
        "https://10.0.0.1/",
        "https://192.168.1.1:8443",
        "https://169.254.169.254/latest",
        "https://[::1]",
        "https://[fd00::1]/",
        "https://[::ffff:10.0.0.1]",
        "https://0.0.0.0",
        "https://2130706433",
        "https://127.1",
        "https://localhost.",
    ],
)
def test_a_url_must_not_lead_inside(url: str) -> None:
    assert "openid_config.issuer_url" in faults(with_settings(OIDC, issuer_url=url))


def test_a_url_must_be_https() -> None:
    found = faults(with_settings(OIDC, discovery_url="http://auth0.example/.well-known"))
    assert "must be https" in found["openid_config.discovery_url"]


@pytest.mark.parametrize(
    "url", ["http://localhost:8080", "https://127.0.0.1", "http://127.0.0.1:1/x", "https://[::1]"]
)
def test_where_the_operator_allows_it_a_url_may_lead_inside(url: str) -> None:
    allow = Networks.parse(["127.0.0.0/8", "::1"])
    row = read_row(with_settings(OIDC, issuer_url=url), allow=allow)
    assert row.config.open().is_trusted is False
    assert "openid_config.issuer_url" in faults(
        with_settings(OIDC, issuer_url=url), allow=Networks.parse(["10.0.0.0/8"])
    )


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({**GOOGLE, "title": "a\0b"}, "title"),
        ({**GOOGLE, "title": "\0broken"}, "title"),
        ({**GOOGLE, "title": "\ud800"}, "title"),
        (with_settings(GOOGLE, client_secret="\0broken"), "google_config.client_secret"),
        (with_settings(GOOGLE, scopes=[[[[[[[["a"]]]]]]]]), "google_config.scopes[0][0][0][0][0]"),
        ({**GOOGLE, "title": "x" * 70_000}, "document"),
    ],
    ids=["NUL", "the reader's own mark", "half a character", "in a secret", "nested", "large"],
)
def test_what_nobody_can_keep_is_refused_first(document: dict[str, Any], path: str) -> None:
    assert set(faults(document)) == {path}


def test_nothing_of_a_row_is_worked_out() -> None:
    """In a file `${env("…")}` is replaced when the file is read; what comes by the API is text."""
    row = read_row(with_settings(OIDC, client_id='${env("HOME")}', client_secret='${file("/etc/passwd")}'))
    config: Any = row.config
    assert config.client_id == '${env("HOME")}'
    assert config.client_secret.reveal() == '${file("/etc/passwd")}'


def test_a_redirect_url_leads_to_a_host() -> None:
    path = "openid_config.redirect_url"
    assert "names another host" in faults(OIDC, hosts=frozenset({"app.example"}))[path]


# -- attacks: a row that would be somebody else's provider ---------------------------------------

EVIL = {
    "client_id": "a",
    "client_secret": "hunter2",
    "authorize_url": "https://evil.example/authorize",
    "access_token_url": "https://evil.example/token",
    "userinfo_url": "https://gitlab.com/evil/files/-/raw/main/me.json",
}
BITBUCKET = {
    "provider_type": "bitbucket",
    "email_domains": ["example.com"],
    "bitbucket_config": {"client_id": "a"},
}
DISCORD = {"provider_type": "discord", "email_domains": ["example.com"], "discord_config": {"client_id": "a"}}
OAUTH2 = {"provider_type": "oauth2", "email_domains": ["example.com"], "oauth2_config": EVIL}
ENTRA = {
    "provider_type": "entra",
    "email_domains": ["example.com"],
    "entra_config": {"client_id": "a", "client_secret": "hunter2", "tenant": "example.com"},
}
_LED = "https://evil.example/.well-known/openid-configuration"


@pytest.mark.parametrize(
    ("document", "path"),
    [
        (with_settings(OIDC, discovery_url=_LED), "openid_config.discovery_url"),
        (
            with_settings(
                OIDC,
                issuer_url="https://gitlab.com",
                discovery_url="https://gitlab.com/evil/files/-/raw/main/.well-known/openid-configuration",
            ),
            "openid_config.discovery_url",
        ),
        (with_settings(GOOGLE, discovery_url=_LED), "google_config.discovery_url"),
        (with_settings(ENTRA, discovery_url=_LED), "entra_config.discovery_url"),
        (with_settings(OAUTH2, issuer="https://github.com"), "oauth2_config.issuer"),
        (with_settings(OAUTH2, issuer="indieauth"), "oauth2_config.issuer"),
        (with_settings(GITHUB, api_url="https://evil.example"), "github_config.api_url"),
        (with_settings(GITHUB, api_url="https://github.com/evil/raw"), "github_config.api_url"),
        (with_settings(BITBUCKET, api_url="https://evil.example"), "bitbucket_config.api_url"),
        (with_settings(BITBUCKET, claims={"subject": "display_name"}), "bitbucket_config.claims"),
        (with_settings(DISCORD, claims={"subject": "global_name"}), "discord_config.claims"),
    ],
)
def test_a_row_can_not_vouch_for_the_accounts_of_another_provider(
    document: dict[str, Any], path: str
) -> None:
    """O1: its people would be (issuer, subject) of whoever the row says, without ever asking that issuer."""
    found = faults(document)
    assert list(found) == [path]
    assert "in a database" in found[path]


def test_accounts_of_a_row_with_urls_of_its_own_belong_to_the_whole_url() -> None:
    """O1: at the host of another provider stands much that anybody may put there."""
    provider: Any = read_row(OAUTH2).config.open()
    at = next(_returned(provider.endpoints()))
    assert provider.issuer_of(at) == EVIL["userinfo_url"]
    at = msgspec.structs.replace(at, userinfo_url=EVIL["userinfo_url"] + "?sub=1")
    assert provider.issuer_of(at) == EVIL["userinfo_url"]


def _returned(flow: Any) -> Any:
    yield (yield from flow)


@pytest.mark.parametrize(
    ("kind", "settings", "issuer"),
    [
        ("entra", {"tenant": "example.com"}, "https://login.microsoftonline.com/example.com/v2.0"),
        ("okta", {"domain": "example.okta.com"}, "https://example.okta.com"),
        (
            "keycloak",
            {"base_url": "https://id.example.com", "realm": "staff"},
            "https://id.example.com/realms/staff",
        ),
        ("gitlab", {"web_url": "https://git.example.com/"}, "https://git.example.com"),
        ("auth0", {"domain": "example.auth0.com"}, "https://example.auth0.com/"),
        (
            "cognito",
            {"user_pool": "eu-central-1_AbC"},
            "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbC",
        ),
    ],
)
def test_kinds_that_make_their_issuer_themselves_can_be_rows(
    kind: str, settings: dict[str, str], issuer: str
) -> None:
    section = {"client_id": "a", "client_secret": "hunter2", **settings}
    config: Any = read_row(
        {"provider_type": kind, "email_domains": ["example.com"], f"{kind}_config": section}
    ).config
    assert (config.issuer, config.is_trusted) == (issuer, False)


def test_a_row_reads_no_file_of_this_machine() -> None:
    document = with_settings(ENTRA, federated_token_file="/etc/passwd", client_secret=None)
    assert "names a file" in faults(document)["entra_config.federated_token_file"]


# -- changes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "patch", "expected"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_merge_patch_is_that_of_rfc_7396(document: Any, patch: Any, expected: Any) -> None:
    assert patched(document, patch) == expected


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        ({"issuer": "https://a.example"}, False),
        ({"issuer_url": "https://a.example"}, False),
        ({"issuer": "https://b.example"}, True),
        ({"issuer": "https://a.example", "discovery_url": "https://b.example"}, True),
        ({"issuer": "https://a.example", "redirect_url": "https://b.example"}, False),
        ({"issuer": "https://a.example", "client_id": "other"}, False),
        (None, False),
    ],
)
def test_an_address_that_was_not_there_before_is_noticed(new: Any, expected: bool) -> None:
    assert moved({"issuer": "https://a.example", "client_id": "a"}, new) is expected


def test_two_clients_are_the_same_by_type_client_id_and_place() -> None:
    def place(document: dict[str, Any]) -> tuple[str, ...]:
        row = read_row(document)
        return place_of(row.kind, row.config)

    assert place(OIDC) == place({**with_settings(OIDC, client_secret="other"), "id": "b", "title": "x"})
    okta = {"provider_type": "okta", "email_domains": ["a.example"]}
    by_domain = {**okta, "okta_config": {"client_id": "a", "client_secret": "s", "domain": "a.okta.com"}}
    by_issuer = {
        **okta,
        "okta_config": {"client_id": "a", "client_secret": "s", "issuer": "https://a.okta.com"},
    }
    assert place(by_domain) == place(by_issuer)
    assert place(OIDC) != place(with_settings(OIDC, client_id="other"))
    assert place(OIDC) != place(with_settings(OIDC, issuer_url="https://b.example"))
    assert place(OIDC) != place(GOOGLE)


@pytest.mark.parametrize("kind", provider_kinds())
def test_no_setting_of_any_kind_reads_a_file_or_leads_inside_from_a_row(kind: str) -> None:
    """What a new kind brings is looked at here: files are refused, and whatever is an address is checked."""
    cls = class_of(kind)
    assert cls is not None
    section = section_of(kind)
    named = [name for name in fields_of(cls).attributes if name.endswith(("_file", "url", "issuer", "_path"))]
    document = {
        "provider_type": kind,
        "email_domains": ["a.example"],
        section: {"client_id": "a", **dict.fromkeys(named, "https://127.0.0.1/x")},
    }
    found = faults(document)
    assert {f"{section}.{name}" for name in named if name != "redirect_url"} <= set(found)


def test_a_row_of_saml_keeps_its_key_apart_and_is_another_where_its_metadata_are() -> None:
    document: dict[str, Any] = {
        "id": "corp",
        "provider_type": "saml",
        "email_domains": ["example.com"],
        "saml_config": {"metadata_url": "https://idp.example/metadata", "preset": "okta"},
    }

    def changed(**settings: str) -> Row:
        return read_row({**document, "saml_config": {**document["saml_config"], **settings}})

    row = changed()
    assert (row.kind, row.secrets) == ("saml", {})
    same, moved_on = (
        read_row({**document, "title": "x"}),
        changed(metadata_url="https://other.example/metadata"),
    )
    assert word_of("saml", row.config) == word_of("saml", same.config)
    assert place_of("saml", row.config) != place_of("saml", moved_on.config)
    assert word_of("saml", row.config) != word_of("saml", changed(preset="google").config)
    text = {"preset": "okta", "metadata": "<one/>"}
    pasted = [
        read_row({**document, "saml_config": {**text, **other}}).config
        for other in ({}, {"metadata": "<two/>"})
    ]
    assert place_of("saml", pasted[0]) != place_of("saml", pasted[1])
    with pytest.raises(Invalid):
        changed(metadata_url="https://127.0.0.1/metadata")
