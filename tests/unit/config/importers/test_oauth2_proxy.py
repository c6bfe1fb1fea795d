"""oauth2-proxy's configurations, of the kinds its documentation shows, as ours: what they mean, and what is told."""

from __future__ import annotations

import pytest

from tests.unit.config.importers.desk import DATA, HIDDEN, Facts, facts
from tests.unit.core.issued import Issuer
from vestibule.config.importers.note import About
from vestibule.config.importers.oauth2_proxy.options import (
    BY_FLAG,
    BY_NAME,
    GROUPS,
    OWN_FLAGS,
    flag,
    variable,
)
from vestibule.config.importers.oauth2_proxy.provider import KINDS
from vestibule.config.importers.option import Fate, Kind
from vestibule.errors import ConfigError

#: `FLAG NAME TYPE` of each option, as oauth2-proxy itself declares them
REFERENCE = [
    line.split()
    for line in (DATA / "oauth2_proxy" / "options.txt").read_text("utf-8").splitlines()
    if not line.startswith("#")
]
_KINDS = {"bool": Kind.SWITCH, "int": Kind.NUMBER, "list": Kind.LIST, "span": Kind.SPAN, "text": Kind.TEXT}

IMPORTED = {
    "google.cfg": Facts(
        hosts={"internalapp.yourcompany.com": ("domain:yourcompany.com",)}, routes={}, provider="google"
    ),
    "github.service": Facts(hosts={"grafana.acme.example": ("anyone",)}, routes={}, provider="github"),
    "keycloak.env": Facts(
        hosts={"wiki.acme.example": ("domain:acme.example",)}, routes={}, provider="keycloak"
    ),
    "entra.cfg": Facts(hosts={"app.acme.example": ("domain:acme.example",)}, routes={}, provider="entra"),
    "gitlab.cfg": Facts(
        hosts={"ci.acme.example": ("anyone",)},
        routes={
            "ci.acme.example /metrics/": (),
            "ci.acme.example /public/": ("public",),
            "ci.acme.example /api/hooks/": ("public",),
        },
        provider="gitlab",
    ),
    "nginx.cfg": Facts(hosts={"auth.example.com": ("domain:example.com",)}, routes={}, provider="oidc"),
    "traefik.env": Facts(hosts={"login.apps.example.net": ("anyone",)}, routes={}, provider="oidc"),
    "kubernetes-args.txt": Facts(
        hosts={"app.example.com": ("org:acme", "user:github/contractor1", "user:github/contractor2")},
        routes={},
        provider="github",
    ),
    "many-upstreams.cfg": Facts(
        hosts={"portal.example.org": ("domain:example.org", "domain:example.net")},
        routes={
            "portal.example.org /docs/": (),
            "portal.example.org /legacy/": (),
            "portal.example.org /reports/": (),
            "portal.example.org /reports/public/": ("public",),
        },
        provider="google",
    ),
    "core.cfg alpha.yaml": Facts(
        hosts={"app.example.com": ("domain:example.com",)},
        routes={"app.example.com /api/": (), "app.example.com /files/": ()},
        provider="oidc",
    ),
    "passwords.cfg emails.txt": Facts(
        hosts={"app.example.com": ("email:ann@example.com", "email:bob@example.com", "user:htpasswd/robot")},
        routes={},
        provider="oidc",
    ),
    "tokens.flags": Facts(hosts={"api.example.com": ("domain:example.com",)}, routes={}, provider="oidc"),
    "gitea.cfg": Facts(hosts={"app.example.com": ("anyone",)}, routes={}, provider="gitea"),
    "everything-else.cfg": Facts(
        hosts={"app.example.com": ("domain:example.com",)}, routes={}, provider="google"
    ),
    "logingov.flags": Facts(
        hosts={"app.agency.example": ("domain:agency.example",)}, routes={}, provider="logingov"
    ),
}


def _files() -> dict[str, str]:
    return {"users.htpasswd": (DATA / "oauth2_proxy" / "users.htpasswd").read_text("utf-8")}


# -- whole configurations ---------------------------------------------------------------------


@pytest.mark.parametrize("names", IMPORTED)
def test_it_becomes_a_configuration_without_faults(desk, names: str) -> None:
    found = desk.oauth2_proxy(*names.split(), files=_files())
    leaf, key = Issuer().issue(*IMPORTED[names].hosts)
    (desk.folder / "cert.pem").write_bytes(leaf)
    (desk.folder / "key.pem").write_bytes(key)
    assert facts(desk.load(found)) == IMPORTED[names]


@pytest.mark.parametrize("names", IMPORTED)
def test_the_same_files_give_the_same_text(desk, names: str) -> None:
    assert desk.oauth2_proxy(*names.split()) == desk.oauth2_proxy(*names.split())


@pytest.mark.parametrize("names", IMPORTED)
def test_no_secret_is_printed(desk, names: str) -> None:
    found = desk.oauth2_proxy(*names.split(), files=_files())
    told = found.hcl + "".join(map(str, found.notes))
    assert not [hidden for hidden in (*HIDDEN, "0123456789abcdef", "OQINaRO", "$2y$") if hidden in told]


@pytest.mark.parametrize("names", IMPORTED)
def test_what_is_told_stands_in_the_text_too(desk, names: str) -> None:
    found = desk.oauth2_proxy(*names.split(), files=_files())
    comments = " ".join(line.lstrip("# ") for line in found.hcl.splitlines() if line.startswith("#"))
    assert [note for note in found.notes if " ".join(str(note).split()) not in comments] == []


def test_behind_an_edge_people_sign_in_once_for_all_hosts_that_are_named(desk) -> None:
    found = desk.oauth2_proxy("nginx.cfg", hosts=("a.example.com", "b.example.com"))
    loaded = desk.load(found)
    assert facts(loaded) == Facts(
        hosts=dict.fromkeys(("auth.example.com", "a.example.com", "b.example.com"), ("domain:example.com",)),
        routes={},
        provider="oidc",
        domain="example.com",
    )
    (domain,) = loaded.config.domain
    assert (domain.auth_host, domain.sso) == ("auth.example.com", "cookie")
    gateway = loaded.config.gateway
    assert gateway is not None
    assert [str(listen) for listen in gateway.http] == ["0.0.0.0:4180"]
    assert [host.has("backend") for host in loaded.config.host if host.label != domain.auth_host] == [
        False,
        False,
    ]
    assert loaded.checked.clients["oidc"].config.redirect_url == "https://auth.example.com/oauth2/callback"


def test_a_host_is_what_the_command_line_says(desk) -> None:
    found = desk.oauth2_proxy("google.cfg", hosts=("other.yourcompany.com",))
    assert list(facts(desk.load(found)).hosts) == ["other.yourcompany.com"]


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("", False),
        ('backend_logout_url = "https://id.example.com/logout?id_token_hint={id_token}"\n', True),
    ],
    ids=["here alone", "at the provider"],
)
def test_people_sign_out_where_they_did(desk, line: str, kept: bool) -> None:
    text = (
        'provider = "oidc"\noidc_issuer_url = "https://id.example.com"\nclient_id = "a"\nclient_secret = "b"\n'
        'redirect_url = "https://app.example.com/oauth2/callback"\nupstreams = "http://127.0.0.1:3000"\n'
        + line
    )
    found = desk.oauth2_proxy(text)
    desk.load(found)
    assert ("sign_out_at_provider = false" not in " ".join(found.hcl.split())) is kept
    assert "/@/signedout" in "".join(note.text for note in found.notes)


def test_a_host_that_nothing_names_is_told_of(desk, told) -> None:
    found = desk.oauth2_proxy("kubernetes-args.txt")
    assert told(found, "app.example.com") == [
        "DO no option says what people see the host as: write its name instead, or import again with --host NAME"
    ]


# -- several sources --------------------------------------------------------------------------

_TOML = 'provider = "github"\nclient_id = "toml"\nemail_domains = ["toml.example"]\nclient_secret = "hidden-toml"\n'
_ENV = "OAUTH2_PROXY_CLIENT_ID=env\nOAUTH2_PROXY_EMAIL_DOMAINS=a.example,b.example\nOAUTH2_PROXY_BANNER=\n"
_FLAGS = (
    "oauth2-proxy --client-id=flags --upstream=http://127.0.0.1:1 --redirect-url https://app.a.example/cb\n"
)


@pytest.mark.parametrize(
    ("texts", "client", "rules"),
    [
        ((_TOML, _FLAGS), "flags", ("domain:toml.example",)),
        ((_FLAGS, _TOML), "flags", ("domain:toml.example",)),
        ((_FLAGS, _ENV, _TOML), "flags", ("domain:a.example", "domain:b.example")),
        ((_ENV, _FLAGS.replace("--client-id=flags", "")), "env", ("domain:a.example", "domain:b.example")),
        (
            (_FLAGS + "  --email-domain c.example --email-domain=d.example", _ENV),
            "flags",
            ("domain:c.example", "domain:d.example"),
        ),
    ],
    ids=[
        "flags before file",
        "in any order",
        "environment before file",
        "environment",
        "a flag twice is a list",
    ],
)
def test_flags_go_before_the_environment_and_that_before_the_file(desk, texts, client, rules) -> None:
    loaded = desk.load(desk.oauth2_proxy(*texts))
    (provider,) = loaded.checked.clients.values()
    assert (provider.config.client_id, facts(loaded).hosts["app.a.example"]) == (client, rules)


def test_a_secret_of_the_environment_stays_in_its_variable(desk, told) -> None:
    found = desk.oauth2_proxy("keycloak.env")
    assert '"${env("OAUTH2_PROXY_CLIENT_SECRET")}"' in found.hcl
    assert told(found, "OAUTH2_PROXY_CLIENT_SECRET") == ["SET stays where it is; it was in keycloak.env"]


def test_a_secret_of_a_file_is_to_be_put_into_a_variable(desk, told) -> None:
    found = desk.oauth2_proxy("google.cfg")
    assert told(found, "OAUTH2_PROXY_CLIENT_SECRET") == [
        "SET to what stood as client_secret in google.cfg: a secret is not printed"
    ]


def test_a_secret_that_a_flag_takes_from_a_variable_is_named_by_it(desk, told) -> None:
    found = desk.oauth2_proxy("tokens.flags")
    assert '"${env("API_SECRET")}"' in found.hcl
    assert told(found, "API_SECRET") == ["SET was named in what was imported"]


def test_an_alpha_file_stands_in_the_place_of_the_options_it_replaces(desk, told) -> None:
    found = desk.oauth2_proxy("alpha.yaml", 'client_id = "x"\nemail_domains = "*"\n')
    assert told(found, "client_id") == [
        "NONE counts for nothing beside an alpha file, in oauth2-proxy, too: left out"
    ]
    assert facts(desk.load(found)).hosts == {"app.example.com": ("anyone",)}


def test_old_alpha_files_are_read_too(desk) -> None:
    old = (
        "upstreams:\n- id: a\n  path: /\n  uri: http://127.0.0.1:3000\n"
        "injectRequestHeaders:\n- name: X-Team\n  values:\n  - claim: team\n"
        "providers:\n- provider: oidc\n  clientID: a\n  clientSecret: hidden-b\n  oidcConfig:\n"
        "    issuerUrl: https://id.example.com\n"
    )
    found = desk.oauth2_proxy(old, 'email_domains = "*"\nredirect_url = "https://a.example/cb"\n')
    assert facts(desk.load(found)).provider == "oidc"
    assert '"{claim.team}"' in found.hcl


def test_files_that_flags_name_are_asked_for(desk, told) -> None:
    found = desk.oauth2_proxy(
        "--config=/etc/oauth2-proxy.cfg --alpha-config core.cfg --email-domain=*", "core.cfg"
    )
    assert told(found, "--config") == [
        "DO names /etc/oauth2-proxy.cfg, which was not imported: give both files at once"
    ]
    assert told(found, "--alpha-config") == []


# -- nothing is dropped in silence ------------------------------------------------------------


def test_what_is_not_known_is_named(desk, told) -> None:
    found = desk.oauth2_proxy(
        'upstream = "x"\n',
        "OAUTH2_PROXY_EMAIL_DOMAIN=x",
        "oauth2-proxy --emial-domain=x --reverse-proxy true",
        "providers:\n- provider: google\n  clientIdd: x\nfrobnicate: 1\n",
    )
    unknown = {note.name: note.text for note in found.notes if note.about is About.UNKNOWN}
    assert unknown == {
        "upstream": "no option of oauth2-proxy; did you mean `upstreams`?",
        "OAUTH2_PROXY_EMAIL_DOMAIN": "no variable of oauth2-proxy; did you mean `OAUTH2_PROXY_EMAIL_DOMAINS`?",
        "--emial-domain": "no flag of oauth2-proxy; did you mean `email-domain`?",
        "true": "text-2: belongs to no flag before it",
        "providers[0].clientIdd": "no key of an alpha file; did you mean `clientID`?",
        "frobnicate": "no key of an alpha file",
    }


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("cookie_secure = 3.5\n", "text-0: cookie_secure is neither true nor false"),
        ('cookie_expire = "soon"\n', "text-0: cookie_expire is no span of time: 30s, 10m, 168h"),
        ("redis_connection_idle_timeout = [1]\n", "text-0: redis_connection_idle_timeout is no text"),
        ("services:\n  proxy:\n    image: x\n", "text-0: is no alpha configuration of oauth2-proxy"),
        ("providers: 3\n", "text-0: providers is no list"),
        ("injectRequestHeaders: [3]\n", "text-0: injectRequestHeaders is no mapping"),
        ("hello world\n", "text-0: holds no flags, environment, TOML or YAML of oauth2-proxy"),
    ],
)
def test_what_can_t_be_read_is_a_fault(desk, text: str, fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        desk.oauth2_proxy(text)
    assert caught.value.faults[0].startswith(fault)


_SAMPLE = {
    Kind.TEXT: '"sample"',
    Kind.LIST: '["sample"]',
    Kind.SWITCH: "true",
    Kind.NUMBER: "7",
    Kind.SPAN: '"7m"',
}
_BARE = 'client_id = "a"\nemail_domains = "x.example"\nupstreams = "https://127.0.0.1:1"\nredirect_url = "https://x.example/cb"\n'


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_every_option_is_carried_over_or_told_of(desk, name: str) -> None:
    """Set alone beside a bare configuration: it changes the text, or there is a note that names it."""
    option = BY_NAME[name]
    sample = _SAMPLE[option.kind]
    if option.kind is Kind.SWITCH and True in option.usual:
        sample = "false"
    lines = [line for line in _BARE.splitlines() if not line.startswith(f"{name} ")]
    before = desk.oauth2_proxy("\n".join(lines) + "\n")
    after = desk.oauth2_proxy("\n".join([*lines, f"{name} = {sample}"]) + "\n")
    further = {*after.notes} - {*before.notes}
    is_told = any(
        note.name.startswith((name, variable(option), _TOLD_AS.get(name, name))) for note in further
    )
    is_changed = _blocks(before.hcl) != _blocks(after.hcl)
    assert is_told or is_changed or option.quiet or name in _USUAL_ALREADY


_TOLD_AS = {"google_admin_email": "google_groups", "google_service_account_json": "google_groups"}
#: what they ask for is so already in the bare configuration
_USUAL_ALREADY = frozenset(
    {
        "display_htpasswd_form",
        "pass_basic_auth",
        "pass_host_header",
        "pass_user_headers",
        "set_xauthrequest",
    }
)


def _blocks(hcl: str) -> list[str]:
    return [line for line in hcl.splitlines() if not line.startswith("#")]


# -- the table --------------------------------------------------------------------------------


def test_the_table_has_every_option_and_no_other() -> None:
    assert {name: (flag(option), option.kind) for name, option in BY_NAME.items()} == {
        name: (written, _KINDS[kind]) for written, name, kind in REFERENCE
    }


def test_every_flag_leads_to_an_option() -> None:
    assert {written for written, _, _ in REFERENCE} == set(BY_FLAG)
    assert not OWN_FLAGS & set(BY_FLAG)


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_every_row_says_what_becomes_of_the_option(name: str) -> None:
    option = BY_NAME[name]
    assert option.here[0].islower() or option.here[0] in '`"' or option.here.split()[0] in _PROPER
    assert not option.here.endswith(".")
    if option.fate is Fate.CARRIED:
        assert "`" in option.here or "form" in option.here


_PROPER = frozenset({"PKCE", "TLS", "WebSockets", "HttpOnly,", "SameSite=Lax,", "Secure"})


def test_every_kind_of_provider_is_imported() -> None:
    assert len(KINDS) == 17
    assert len(GROUPS) == 10


def test_its_tls_is_the_gateways(desk) -> None:
    tls = 'https_address = ":8443"\ntls_cert_file = "c.pem"\ntls_key_file = "k.pem"\ntls_min_version = "TLS1.3"\n'
    found = " ".join(desk.oauth2_proxy(_BARE + tls).hcl.split())
    for line in (
        'https = ["0.0.0.0:8443"]',
        'tls_profile = "modern"',
        'tls_certificate = "c.pem"',
        'tls_key = "k.pem"',
    ):
        assert line in found
